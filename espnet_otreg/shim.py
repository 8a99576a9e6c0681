"""Run any ESPnet command with this package's parts at hand.

ESPnet's unmodified `asr.sh` starts `${python} -m espnet2.bin.asr_train ...`; give it

    ./asr.sh --python "python3 -m espnet_otreg.shim" --asr_config conf/train_otreg.yaml ...

and every command it starts knows `model: otreg`. Works as a prefix for any module with `main(cmd)`.
A command that does not import ESPnet's ASR task starts as fast, and prints exactly what it prints
without the prefix.
"""

import importlib
import runpy
import sys
from collections.abc import Sequence

from espnet_otreg import hook
from espnet_otreg.files import printing_to_stderr

hook.install()  # on import: a spawned worker imports this module again, and never calls `main`

OURS = {
    "espnet2.bin.asr_train": "espnet_otreg.stages.asr_train",  # knows text_features, run.json
    "espnet2.bin.asr_inference": "espnet_otreg.stages.asr_inference",
}

USAGE = "usage: python -m espnet_otreg.shim -m MODULE [OPTION ...]   (or SCRIPT.py, or -c CODE)"


def main(cmd: Sequence[str] | None = None) -> None:
    """Do what `python` does with these arguments, the parts at hand."""
    argv = list(sys.argv[1:] if cmd is None else cmd)
    while argv and argv[0] in ("-u", "-B"):  # interpreter flags asr.sh's launchers may pass on
        argv.pop(0)
    if not argv or argv[0] in ("-h", "--help"):
        sys.exit(USAGE)
    if argv[0] == "-c" and len(argv) > 1:
        sys.argv = ["-c", *argv[2:]]
        exec(compile(argv[1], "<string>", "exec"), {"__name__": "__main__"})
    elif argv[0] == "-m" and len(argv) > 1:
        _run_module(argv[1], argv[2:])
    elif argv[0].startswith("-"):
        sys.exit(f"error: unknown option {argv[0]!r}\n{USAGE}")
    else:
        sys.argv = argv
        runpy.run_path(argv[0], run_name="__main__")


def _run_module(name: str, options: list[str]) -> None:
    if name in OURS:
        with printing_to_stderr():
            module = importlib.import_module(OURS[name])
    else:
        module = importlib.import_module(name)
    sys.argv = [module.__file__ or name, *options]
    if hasattr(module, "main"):
        # Not runpy: a module run twice under two names would register nothing in workers
        module.main(options) if name.startswith("espnet") else module.main()
    else:
        runpy.run_module(name, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
