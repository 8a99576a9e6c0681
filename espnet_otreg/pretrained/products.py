"""Products with frozen float32 weights, by the quicker of the libraries that torch brings.

On a CPU torch multiplies float32 matrices by MKL, which has its fastest code for Intel's processors
alone; oneDNN, which torch brings too, writes code for what it finds. On an AMD EPYC it took half
the time, and the results are equal up to the order of summation. Nothing here acts on a GPU, on
Intel's processors, in another precision, or on weights that train.
"""

import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

LEAST_WEIGHTS = 1 << 16  # of a matrix; below, there is nothing to gain
LEAST_ROWS = 64  # of what is multiplied: oneDNN prepares the matrix anew each time
CPUINFO = Path("/proc/cpuinfo")


@functools.cache
def quicker() -> bool:
    """Tell whether oneDNN is there and MKL slow: where the processor is known to be no Intel's."""
    known = torch.backends.mkldnn.is_available() and torch.backends.mkl.is_available()
    if not known or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    try:
        told = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "AuthenticAMD" in told


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return x W' + b by oneDNN, for x (..., I) and W (O, I)."""
    rows = x.reshape(-1, x.shape[-1]).contiguous()
    found = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return found.view(*x.shape[:-1], weight.shape[0])


class Product(torch.autograd.Function):
    """x W' + b with the gradient of x alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """(..., I), (O, I), (O,) -> (..., O)."""
        ctx.save_for_backward(weight)
        return _multiply(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """(..., O) -> (..., I)."""
        (weight,) = ctx.saved_tensors
        return _multiply(grad, weight.t(), None), None, None


class FrozenLinear(nn.Linear):
    """A linear layer that multiplies by oneDNN while it is frozen, on a CPU and in float32."""

    def forward(self, input: Tensor) -> Tensor:
        """(..., I) -> (..., O)."""
        frozen = not self.weight.requires_grad and (
            self.bias is None or not self.bias.requires_grad
        )
        plain = input.dtype == self.weight.dtype == torch.float32 and input.device.type == "cpu"
        many = input.numel() >= LEAST_ROWS * self.in_features
        if frozen and plain and many and not torch.is_autocast_enabled("cpu"):
            return Product.apply(input, self.weight, self.bias)
        return super().forward(input)


def speed_up(network: nn.Module) -> int:
    """Let the large linear layers of a network multiply so where that is quicker; return how many.

    Layers of another class than torch's own are left alone; weights and their names stay.
    """
    found = 0
    for module in network.modules() if quicker() else ():
        if type(module) is nn.Linear and module.weight.numel() >= LEAST_WEIGHTS:
            module.__class__ = FrozenLinear
            found += 1
    return found
