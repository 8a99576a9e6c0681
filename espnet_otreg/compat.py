"""The only place that knows which ESPnet is installed (202511 and 202611 are supported).

202611 moved `espnet.nets` to `espnet2.legacy.nets` and refuses checkpoints that hold anything but
tensors and plain Python types; what is imported here stands in the same place in both. It also
renamed a tensor, which `espnet_otreg.weights` reads by either name.
"""

import importlib
import sys
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from espnet_otreg.files import printing_to_stderr

if TYPE_CHECKING:
    from espnet2.bin import asr_inference
    from espnet2.tasks import asr as asr_task

_STAND_INS: dict[str, ModuleType] = {}  # of modules that are not loaded yet


def load_later(name: str, *parts: str) -> None:
    """Have `import name`, and of its parts, load nothing until something of them is used.

    A package that is there already, or not installed, is left as it is.
    """
    spec = None if name in sys.modules else find_spec(name)
    if spec is None:
        return

    for module in (name, *parts):
        made = ModuleType(module)
        made.__spec__, made.__file__ = spec, spec.origin
        made.__path__ = list(spec.submodule_search_locations or ())
        made.__getattr__ = partial(_load_now, module)  # type: ignore[method-assign]
        _STAND_INS[module] = sys.modules[module] = made
    for part in parts:  # for `import name.part as it`
        setattr(_STAND_INS[name], part.removeprefix(f"{name}."), _STAND_INS[part])


def _load_now(module: str, attribute: str) -> Any:
    """Load a module that something is asked of, in place of all that stand in."""
    if attribute.startswith("__"):  # who looks through all modules wants none of this one
        raise AttributeError(attribute)
    package = module.partition(".")[0]
    for each, made in _STAND_INS.items():
        if each.partition(".")[0] == package and sys.modules.get(each) is made:
            del sys.modules[each]
    return getattr(importlib.import_module(module), attribute)


# For phonemes, BLEU and cleaning English, which few models need; ESPnet loads them for every one,
# for a third of its time, and g2p_en asks a network for what it lacks.
for _name in ("g2p_en", "nltk"):
    load_later(_name)
load_later("tacotron_cleaner", "tacotron_cleaner.cleaners")

with printing_to_stderr():  # 202511 says that it lacks Flash Attention
    from espnet2.asr.espnet_model import ESPnetASRModel
    from espnet2.torch_utils.device_funcs import force_gatherable

__all__ = [
    "ESPnetASRModel",
    "asr_inference",
    "asr_task",
    "ctc_prefix_scorer",
    "espnet_version",
    "force_gatherable",
]


_LATE = {"asr_task": "espnet2.tasks.asr", "asr_inference": "espnet2.bin.asr_inference"}


def __getattr__(name: str) -> Any:
    """Import ESPnet's ASR task and its decoding when they are asked for.

    Not above: where `espnet_otreg.hook` watches, the task's import imports our models, and they
    this module, which must be whole by then.
    """
    if name in _LATE:
        with printing_to_stderr():
            return importlib.import_module(_LATE[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def ctc_prefix_scorer() -> Any:
    """Return ESPnet's class `CTCPrefixScoreTH`, from where this ESPnet has it."""
    nets = "espnet2.legacy.nets" if find_spec("espnet2.legacy") else "espnet.nets"
    return importlib.import_module(f"{nets}.ctc_prefix_score").CTCPrefixScoreTH


def espnet_version() -> str:
    """Return the installed ESPnet's version, such as `202511`."""
    return version("espnet")
