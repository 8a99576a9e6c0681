"""Run any ESPnet command with this package's parts registered.

ESPnet's unmodified `asr.sh` starts `${python} -m espnet2.bin.asr_train ...`; give it

    ./asr.sh --python "python3 -m espnet_otreg.shim" --asr_config conf/train_otreg.yaml ...

and every command it starts knows `model: otreg`. Works as a prefix for any module with `main(cmd)`.
"""

import importlib
import runpy
import sys
from collections.abc import Sequence

import espnet_otreg.tasks.asr  # noqa: F401  (registers, also in spawned workers)

OURS = {"espnet2.bin.asr_train": "espnet_otreg.bin.asr_train"}  # knows text_features, run.json

USAGE = "usage: python -m espnet_otreg.shim -m MODULE [OPTION ...]   (or SCRIPT.py, or -c CODE)"


def main(cmd: Sequence[str] | None = None) -> None:
    """Do what `python` does with these arguments, registered."""
    argv = list(sys.argv[1:] if cmd is None else cmd)
    while argv and argv[0] in ("-u", "-B"):  # interpreter flags asr.sh's launchers may pass on
        argv.pop(0)
    if not argv or argv[0] in ("-h", "--help"):
        sys.exit(USAGE)
    if argv[0] == "-c" and len(argv) > 1:
        sys.argv = ["-c", *argv[2:]]
        exec(compile(argv[1], "<string>", "exec"), {"__name__": "__main__"})
    elif argv[0] == "-m" and len(argv) > 1:
        module = importlib.import_module(OURS.get(argv[1], argv[1]))
        sys.argv = [module.__file__ or argv[1], *argv[2:]]
        if hasattr(module, "main"):
            # Not runpy: a module run twice under two names would register nothing in workers
            module.main(argv[2:]) if argv[1].startswith("espnet") else module.main()
        else:
            runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    elif argv[0].startswith("-"):
        sys.exit(f"error: unknown option {argv[0]!r}\n{USAGE}")
    else:
        sys.argv = argv
        runpy.run_path(argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
