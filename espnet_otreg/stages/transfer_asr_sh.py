r"""Run ESPnet's own asr.sh with `model: ot_transfer`, whose tokens are a language model's pieces.

    python -m espnet_otreg.stages.transfer_asr_sh --lm bert-base-multilingual-cased \
        --train data/train --valid data/dev -- ./asr.sh --test_sets test --stage 2 --stop_stage 13 \
        --asr_config conf/train_transfer.yaml --inference_config conf/decode.yaml

Writes data/train_pieces and data/dev_pieces, the same directories with pieces for words; what
cannot be said in pieces is left out and listed in their rejected.tsv. Then asr.sh is started, with
its options and those that follow from this: sets, token type, the shim, and the language model,
from which training makes the text's features anew and by which decoding joins pieces to words. So
test sets keep their words, and stage 13 counts words.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table
from espnet_otreg.stages.command import run

SUFFIX = "_pieces"
OURS = ("--python", "--token_type", "--train_set", "--valid_set")  # that the user cannot give
SHIM = "python3 -m espnet_otreg.shim"


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lm", required=True, help="masked language model: folder or hub name")
    parser.add_argument("--train", type=Path, required=True, help="data directory")
    parser.add_argument("--valid", type=Path, required=True, help="data directory")
    parser.add_argument(
        "command", nargs="+", help="behind `--`: asr.sh and its options; without it, they are told"
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Cut the texts, and become asr.sh."""
    args = get_parser().parse_args(cmd)
    run(lambda: start(args))


def start(args: argparse.Namespace) -> None:
    """Make the directories and start the command."""
    command = whole_command(args)
    for folder in (args.train, args.valid):
        write_pieces(args.lm, folder)
    print(shlex.join(command), file=sys.stderr, flush=True)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise UserError(f"{command[0]} cannot be started: {error}") from error


def whole_command(args: argparse.Namespace) -> list[str]:
    """Add to asr.sh's options what follows from the language model."""
    given = list(args.command)
    taken = [name for name in OURS if name in given]
    if taken:
        raise UserError(f"leave {' '.join(taken)} out of asr.sh's options: they follow from --lm")
    lm = shlex.quote(args.lm)
    added = {
        "--asr_args": f"--model_conf transfer_conf.language_model={lm}",
        # of the model that the training's config names: asr.sh puts all that stands here into the
        # name of the decoding's folder, slashes too, and would not find its scores below them
        "--inference_args": "--join_pieces",
    }
    for name, value in added.items():
        if name in given:  # asr.sh would take the last one alone
            place = given.index(name) + 1
            if place == len(given):
                raise UserError(f"{name} of asr.sh needs a value")
            value = f"{given[place]} {value}"
            del given[place - 1 : place + 1]
        given += [name, value]
    sets = ("--train_set", args.train.name + SUFFIX, "--valid_set", args.valid.name + SUFFIX)
    return [*given, *sets, "--token_type", "word", "--python", SHIM]


def write_pieces(lm: str, folder: Path) -> Path:
    """Write a data directory's copy, with pieces of the language model for words."""
    from espnet_otreg.pretrained.masked_lm import LMTokenizer  # slow to import
    from espnet_otreg.stages.lm_tokens import split_text

    data = DataDir.load(folder)
    data.validate(folder)
    output = folder.with_name(folder.name + SUFFIX)
    (output / "wav.scp").unlink(missing_ok=True)  # its presence says that the set is complete
    split_text(LMTokenizer(lm), folder / "text", output / "text")
    pieces = read_table(output / "text")
    kept = data.subset(pieces)
    DataDir({**kept.tables, "text": pieces}).save(output)
    return output


if __name__ == "__main__":
    main()
