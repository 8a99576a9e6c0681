"""The only place that knows which ESPnet is installed (202511 and 202611 are supported).

202611 moved `espnet.nets` to `espnet2.legacy.nets` and loads checkpoints through `safe_torch_load`,
which refuses everything but tensors and plain Python types.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.tasks import asr as asr_task
from espnet2.torch_utils.device_funcs import force_gatherable

__all__ = [
    "ESPnetASRModel",
    "asr_task",
    "espnet_version",
    "force_gatherable",
    "load_checkpoint",
]


def espnet_version() -> str:
    """Return the installed ESPnet's version, such as `202511`."""
    return version("espnet")


def load_checkpoint(path: str | Path) -> Any:
    """Load a checkpoint of tensors and plain Python types to the CPU; anything else is refused."""
    return torch.load(path, map_location="cpu", weights_only=True)
