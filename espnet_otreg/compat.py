"""The only place that knows which ESPnet is installed (202511 and 202611 are supported).

202611 moved `espnet.nets` to `espnet2.legacy.nets` and refuses checkpoints that hold anything but
tensors and plain Python types; what is imported here stands in the same place in both. It also
renamed a tensor, which `espnet_otreg.weights` reads by either name.
"""

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from espnet_otreg.files import printing_to_stderr

if TYPE_CHECKING:
    from espnet2.tasks import asr as asr_task

with printing_to_stderr():  # 202511 says that it lacks Flash Attention
    from espnet2.asr.espnet_model import ESPnetASRModel
    from espnet2.torch_utils.device_funcs import force_gatherable

__all__ = [
    "ESPnetASRModel",
    "asr_task",
    "espnet_version",
    "force_gatherable",
]


def __getattr__(name: str) -> Any:
    """Import ESPnet's ASR task as `asr_task` when it is asked for.

    Not above: where `espnet_otreg.hook` watches, the task's import imports our models, and they
    this module, which must be whole by then.
    """
    if name == "asr_task":
        with printing_to_stderr():
            return importlib.import_module("espnet2.tasks.asr")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def espnet_version() -> str:
    """Return the installed ESPnet's version, such as `202511`."""
    return version("espnet")
