"""Register this package's parts when ESPnet's ASR task is imported, and import nothing before.

ESPnet has no plugin mechanism. Once `install()` has run, whatever imports `espnet2.tasks.asr` finds
`model: otreg` and the other parts there; a command that does not need the task (asr.sh pipes what
some of them print) runs as if this package were not there. Two things call it: `espnet_otreg.shim`,
and `asr_sh/sitecustomize.py`, for recipes with this line in their `local/path.sh`:

    export PYTHONPATH=$(python3 -m espnet_otreg.hook --path)${PYTHONPATH:+:$PYTHONPATH}
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from espnet_otreg.files import printing_to_stderr

FOLDER = Path(__file__).resolve().parent / "asr_sh"  # holds sitecustomize.py and nothing else


def register_parts(task: ModuleType) -> None:
    """Add our parts to ESPnet's registries, unless importing them is what imported the task."""
    importlib.import_module("espnet_otreg.tasks.asr")


def mend_packing(packing: ModuleType) -> None:
    """Have `espnet2.bin.pack` write packs that stock ESPnet opens."""
    from espnet_otreg.hub.stock import packing_for_stock

    packing.pack = packing_for_stock(packing.pack)  # type: ignore[attr-defined]


ACTIONS: Mapping[str, Callable[[ModuleType], None]] = {
    "espnet2.tasks.asr": register_parts,
    "espnet2.main_funcs.pack_funcs": mend_packing,
}


class AfterImport(MetaPathFinder):
    """Calls `actions[name]` with the module of that name once it has loaded."""

    def __init__(self, actions: Mapping[str, Callable[[ModuleType], None]]) -> None:
        self.actions = actions

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Find the module as the other finders do, and have its loader call the action."""
        if fullname not in self.actions:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        found = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            load, action = spec.loader.exec_module, self.actions[fullname]

            def load_and_act(module: ModuleType) -> None:
                with printing_to_stderr():
                    load(module)
                    action(module)

            # on the instance: inspect and pickle still meet the loader's own class
            spec.loader.exec_module = load_and_act  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Watch for the imports, once per process; what is there already is seen to at once."""
    if any(isinstance(finder, AfterImport) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, AfterImport(ACTIONS))
    for name, action in ACTIONS.items():
        if name in sys.modules:
            action(sys.modules[name])


def main(cmd: Sequence[str] | None = None) -> None:
    """Tell the folder that recipes put on PYTHONPATH."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--path", action="store_true", required=True, help="print the folder")
    parser.parse_args(cmd)
    print(FOLDER)


if __name__ == "__main__":
    main()
