"""The only place that knows which ESPnet is installed (202511 and 202611 are supported).

202611 moved `espnet.nets` to `espnet2.legacy.nets` and refuses checkpoints that hold anything but
tensors and plain Python types; what is imported here stands in the same place in both.
"""

from importlib.metadata import version

from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.tasks import asr as asr_task
from espnet2.torch_utils.device_funcs import force_gatherable

__all__ = [
    "ESPnetASRModel",
    "asr_task",
    "espnet_version",
    "force_gatherable",
]


def espnet_version() -> str:
    """Return the installed ESPnet's version, such as `202511`."""
    return version("espnet")
