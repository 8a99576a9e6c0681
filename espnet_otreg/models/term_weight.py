"""How much the transport term pulls: its weight, and the measured share of its gradient.

At the frames, where the term leaves the main loss's way, backward passes the gradient of either.
Two norms of what passes there tell how hard each pulls, at no cost worth the name; a backward of
its own for them would cost as much as the decoder's. `weight_mode: value` only reports their ratio.
`gradient_share` chooses λ by it, so that a weight of 0.3 is three tenths of the main pull whatever
the model, the scale of its losses and the length of its frames.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from espnet_otreg.errors import UserError

MODES = ("value", "gradient_share")
RATIO_KEY = "otreg_gradient_ratio"  # in the state dict's metadata: the keys stay the stock model's
_MEMORY = 0.01  # weight of the newest step in the mean of logarithms, once there are so many
_PATIENCE = 20  # steps after which there must have been two gradients


class TermWeight:
    """Puts the term into the loss.

    λ is the weight itself, or by share the weight times the geometric mean of |main| / |term| over
    the steps so far, older ones fading: a constant of the step, and 0 in the first, which only
    measures. Squared norms are summed over processes, so λ is the same on all of them and that of
    one process with the whole batch. Every backward counts, those of `accum_grad` too. The mean
    lives in the metadata of checkpoints, so that a resumed training is the same training.
    """

    def __init__(self, model: nn.Module | None, weight: float, mode: str) -> None:
        self.weight, self.by_share = weight, mode == "gradient_share"
        self._passed: Tensor | None = None  # squared norms (main, term) of the last backward
        self._mean = torch.zeros(2)  # of log |main| / |term|, and the steps it is over
        self._share = torch.zeros(())  # of the last step, λ |term| / |main|
        self._seen = 0
        if self.by_share and model is not None:
            model.register_state_dict_post_hook(partial(self._write))  # takes no bound method
            model.register_load_state_dict_pre_hook(self._read)

    @property
    def factor(self) -> Tensor:
        """λ of this step."""
        if not self.by_share:
            return torch.tensor(self.weight)
        return self.weight * torch.where(self._mean[1] > 0, self._mean[0].exp(), 0)

    def branch(self, frames: Tensor) -> Tensor:
        """Return frames (B, T, D) for the term alone; what comes back through them is measured."""
        self._take()
        if not (torch.is_grad_enabled() and frames.requires_grad):
            return frames
        self._mean = self._mean.to(frames.device)
        scale = self.factor if self.by_share else None
        found: dict[str, Tensor] = {}
        frames.register_hook(partial(self._note, found, scale))
        return _Branch.apply(frames, found, scale)

    def join(self, loss: Tensor, term: Tensor, scale: Tensor | float = 1.0) -> Tensor:
        """Return the loss with λ times `scale` times the term.

        By share, validation has the main loss alone: λ differs between epochs, and a sum with it
        could not choose among them.
        """
        if not self.by_share:
            return loss + self.weight * scale * term
        if not term.requires_grad:
            return loss
        whole = scale * term
        still = whole.detach()
        return loss + (whole - still) + self.factor * still  # the branch gives the gradient its λ

    def told(self) -> dict[str, Tensor]:
        """Return what the training log says: the last step's share, and λ where it moves."""
        told = {"ot_gradient_share": self._share}
        return {**told, "ot_weight": self.factor} if self.by_share else told

    def _note(self, found: dict[str, Tensor], scale: Tensor | None, total: Tensor) -> None:
        term = found.pop("term", None)  # the sum of all ways back is complete, so this one came
        if term is None:
            return
        pull = term if scale is None else term * scale.to(term.dtype)
        norms = [x.float().square().sum() for x in (total - pull, term)]
        self._passed = torch.stack(norms)

    def _take(self) -> None:
        """Let the last backward count."""
        if self._passed is None:
            return
        squares, self._passed = self._passed, None
        ranks = torch.distributed
        if self.by_share and ranks.is_available() and ranks.is_initialized():
            ranks.all_reduce(squares)
        factor = self.factor if self.by_share else 1.0
        main, term = squares.sqrt().unbind()
        usable = (squares.isfinite() & (squares > 0)).all()
        one = torch.ones_like(main)
        ratio = torch.where(usable, main, one) / torch.where(usable, term, one)
        self._share = torch.where(usable, factor / ratio, 0)
        mean, steps = self._mean.to(squares.device).unbind()
        steps = steps + usable
        rate = (1 / steps.clamp(min=1)).clamp(min=_MEMORY) * usable
        self._mean = torch.stack([mean + rate * (ratio.log() - mean), steps])
        self._seen += 1
        if self.by_share and self._seen == _PATIENCE and not bool(self._mean[1]):
            which = "main loss" if not bool(main) else "term"
            raise UserError(
                f"ot_conf.weight_mode: gradient_share: in {_PATIENCE} steps the {which} had no "
                "finite gradient above 0 at the frames that the term pulls, so there is no share "
                "of it: set weight_mode: value, or a start_epoch when it has"
            )

    def _write(self, model: nn.Module, state: dict, prefix: str, metadata: dict) -> None:
        metadata[RATIO_KEY] = self._mean.tolist()

    def _read(self, model: nn.Module, state: dict, prefix: str, metadata: dict, *_: Any) -> None:
        self._mean = torch.tensor(metadata.get(RATIO_KEY, [0.0, 0.0]))
        self._passed = None


class _Branch(torch.autograd.Function):
    """The identity, whose gradient is noted and then scaled."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, found: dict[str, Tensor], scale: Tensor | None) -> Tensor:
        ctx.found, ctx.scale = found, scale
        return x.view_as(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        ctx.found["term"] = gradient
        scaled = gradient if ctx.scale is None else gradient * ctx.scale.to(gradient.dtype)
        return scaled, None, None
