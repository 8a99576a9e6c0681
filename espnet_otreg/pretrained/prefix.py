"""What stands before the speech, read once: a frozen language model's keys and values of it.

The same instruction opens every input of a language, and a frozen model makes the same of it in
every step. So it is read once, without gradient, and what it left in the attention's cache is
shared by all utterances and steps; speech, and what follows it, alone go through the model.
"""

import inspect
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from espnet_otreg.pretrained.masked_lm import import_transformers

Layers = list[tuple[Tensor, Tensor]]  # keys and values of each layer, (B, H, P, D)
SHIFTS = ("dynamic", "longrope")  # rotations that depend on how long the whole input is
WINDOWS = ("sliding_window", "attention_chunk_size", "window_size")


class Prefix(NamedTuple):
    """What a language model remembers of the beginnings of a batch's inputs."""

    layers: Layers
    mask: Tensor  # (B, P) true where there is something; padding on the left
    config: Any  # of the network

    @property
    def lengths(self) -> Tensor:
        """Tokens of each beginning (B,)."""
        return self.mask.sum(1)

    def cache(self, copies: int = 1) -> Any:
        """Make a cache that the network may add to, each row `copies` times in a row."""
        cache = import_transformers().DynamicCache(config=self.config)
        for number, (keys, values) in enumerate(self.layers):
            cache.update(keys, values, number)
        if copies > 1:
            cache.batch_repeat_interleave(copies)
        return cache


class PrefixCache:
    """Remembers the beginnings that one network has read, for as long as its weights stay.

    Where a network would make something else of an input that comes in two pieces, or might, it
    says None, and the whole is read in every step: where it trains, or recomputes activations,
    where its cache is of a kind not known here, and where an input is longer than the window that
    some of its layers look at, since padding then stands between the two pieces.
    """

    def __init__(self, network: Any) -> None:
        takes = inspect.signature(network.forward).parameters
        self.word = "cache" if "cache" in takes else "past_key_values"  # as transformers calls it
        self._apart = {self.word, "position_ids", "inputs_embeds"} <= set(takes)
        config = network.config.get_text_config()
        self._apart &= not config.is_encoder_decoder and _rotation(config) not in SHIFTS
        windows = [getattr(config, name, None) for name in WINDOWS]
        self._window = min((size for size in windows if isinstance(size, int)), default=None)
        self._made: dict[tuple[int, ...], Layers] = {}
        self._state: object = None  # of the weights that made them

    def look_up(
        self, network: Any, beginnings: Sequence[tuple[int, ...]], following: int
    ) -> Prefix | None:
        """Return what the network remembers of each row's beginning, or None: read the whole.

        Args:
            network: the same at every call
            beginnings: token ids of each row
            following: how many embeddings and tokens may follow at most
        """
        longest = max(map(len, beginnings))
        too_long = self._window is not None and longest + following > self._window
        if not self._apart or not all(beginnings) or too_long or not _rests(network):
            return None
        state = _state(network)
        if state != self._state:
            self._made, self._state = {}, state
        distinct = list(dict.fromkeys(beginnings))
        for ids in distinct:
            if ids not in self._made:
                layers = self._read(network, ids)
                if layers is None:
                    self._apart = False
                    return None
                self._made[ids] = layers
        table = network.get_input_embeddings().weight
        which = torch.tensor([distinct.index(ids) for ids in beginnings], device=table.device)
        lengths = torch.tensor([len(ids) for ids in distinct], device=table.device)[which]
        mask = torch.arange(longest, device=table.device) >= longest - lengths.unsqueeze(1)
        made = [self._made[ids] for ids in distinct]
        joined = [
            (_rows([row[i][0] for row in made], which), _rows([row[i][1] for row in made], which))
            for i in range(len(made[0]))
        ]
        return Prefix(joined, mask, network.config)

    @torch.no_grad()
    def _read(self, network: Any, ids: tuple[int, ...]) -> Layers | None:
        """Let the network read; None where its cache is no list of keys and values."""
        device = network.get_input_embeddings().weight.device
        with torch.inference_mode(False):  # what is made while decoding may serve training
            out = network(input_ids=torch.tensor([ids], device=device), use_cache=True)
        cache = out.get(self.word)
        kinds = import_transformers().cache_utils
        if type(cache) is not kinds.DynamicCache:
            return None
        if any(
            type(layer) not in (kinds.DynamicLayer, kinds.DynamicSlidingWindowLayer)
            or layer.keys is None
            or layer.keys.shape[2] != len(ids)
            for layer in cache.layers
        ):
            return None
        return [(layer.keys, layer.values) for layer in cache.layers]


def _rotation(config: Any) -> str | None:
    """Name the kind of rotary positions, where the configuration tells one."""
    for name in ("rope_parameters", "rope_scaling"):
        told = getattr(config, name, None)
        if isinstance(told, dict):
            nested = [part for part in told.values() if isinstance(part, dict)]  # by kind of layer
            kinds = {part.get("rope_type", part.get("type")) for part in (told, *nested)}
            return next((kind for kind in SHIFTS if kind in kinds), None)
    return None


def _rests(network: Any) -> bool:
    """Tell whether nothing in the network trains or acts as in training."""
    return not network.training and not any(p.requires_grad for p in network.parameters())


def _state(network: Any) -> object:
    """What changes when weights are loaded, moved or cast, and in another precision."""
    device = network.get_input_embeddings().weight.device.type
    mixed = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    return mixed, [(p.data_ptr(), p._version, p.dtype, p.device) for p in network.parameters()]


def _rows(made: Sequence[Tensor], which: Tensor) -> Tensor:
    """Give each row of a batch its (1, H, P, D), padded on the left to one length."""
    if len(made) == 1:
        return made[0].expand(len(which), -1, -1, -1)
    longest = max(x.shape[2] for x in made)
    padded = [torch.nn.functional.pad(x, (0, 0, longest - x.shape[2], 0)) for x in made]
    return torch.cat(padded)[which]
