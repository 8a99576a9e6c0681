r"""Run a recipe with several mini foundation models, and join what it finds into one table.

To be run inside a recipe's folder. Each run has a mini speech encoder and a mini language model of
other seeds; what was trained before is found again, so the same command goes on after an
interruption. In a Latin square every encoder meets some language models, each as often: fewer runs
tell as much about encoders and language models, and less about their pairing.

    python -m espnet_otreg.stages.replicate ./run_slm.sh --encoder_seeds "1 2 3" --lm_seeds "1 2 3"
    python -m espnet_otreg.stages.replicate ./run_slm.sh --encoder_seeds "1 2 3 4 5 6" \
        --lm_seeds "1 2 3 4 5 6" --foundation_design latin --cells 12 --arguments "--seeds 1"

Tables go to exp/replicated/RESULTS.md and results.json, those of each run to folders beside them.
The recipes that train no encoder of their own, such as ./run_transfer.sh, take --lm_seeds alone.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from espnet_otreg.errors import UserError
from espnet_otreg.stages import compare
from espnet_otreg.stages.ablate import TABLES_ALONE, run_recipe, tables_folder
from espnet_otreg.stages.command import run

DESIGNS = ("crossed", "latin")
ENCODER_ARGS = "ENCODER_ARGS"  # of egs2/TEMPLATE/mini_encoder.sh
Pair = tuple[str, str]  # seeds of an encoder and of a language model; empty: the recipe's own


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        prog="python -m espnet_otreg.stages.replicate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", help="script of the recipe, such as ./run_slm.sh")
    parser.add_argument(
        "--encoder_seeds", default="", help="of mini speech encoders (default: the recipe's own)"
    )
    parser.add_argument(
        "--lm_seeds", default="", help="of mini language models (default: the recipe's own)"
    )
    parser.add_argument(
        "--foundation_design",
        choices=DESIGNS,
        default=DESIGNS[0],
        help="crossed: every encoder with every language model; latin: a part of them "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--cells",
        type=int,
        help="runs of the Latin square, a multiple of its side (default: 2 each)",
    )
    parser.add_argument(
        "--arguments",
        default="",
        help="further ones of the recipe, as one string, such as '--seeds \"1 2\"' (default: none)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="folder (default: exp/replicated; of dev sets exp/replicated/dev)",
    )
    parser.add_argument(
        "--dry_run", action="store_true", help="only print the commands (default: run them)"
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the recipe pair by pair, and join."""
    args = get_parser().parse_args(sys.argv[1:] if cmd is None else list(cmd))
    run(lambda: _replicate(args))


def _replicate(args: argparse.Namespace) -> None:
    if not (Path(args.recipe).is_file() and os.access(args.recipe, os.X_OK)):
        raise UserError(
            f"recipe {args.recipe} is not a script that can be run from here; run this inside a "
            "recipe's folder such as egs2/covost2_otreg"
        )
    seeds = [_seeds(args, option) for option in ("encoder_seeds", "lm_seeds")]
    pairs = pairs_of(seeds[0], seeds[1], args.foundation_design, args.cells)
    further = _further(args.arguments)
    output = args.output or tables_folder(Path("exp/replicated"), further)
    tables = []
    for pair in pairs:
        folder = output / _name(pair)
        tables.append(folder / "results.json")
        command = [args.recipe, *further, *_lm(pair[1]), "--results", str(folder), *TABLES_ALONE]
        own = os.environ.get(ENCODER_ARGS, "")
        told = f"{own} --seed {pair[0]}".strip() if pair[0] not in ("", "0") else own
        if args.dry_run:
            print(f"{ENCODER_ARGS}={shlex.quote(told)} {shlex.join(command)}")
            continue
        run_recipe(command, {ENCODER_ARGS: told})
        if not tables[-1].is_file():
            raise UserError(
                f"the recipe ended well but wrote no {tables[-1]}; --arguments may stop it before "
                "its tables (--stop_stage)"
            )
    if args.dry_run:
        return
    made = [str(table) for table in tables]
    page = ["--output", str(output / "RESULTS.md"), "--json", str(output / "results.json")]
    compare.main(["--join", *made, *page])


def _seeds(args: argparse.Namespace, option: str) -> list[str]:
    words: list[str] = getattr(args, option).split()
    if len(set(words)) < len(words) or not all(word.isdecimal() for word in words):
        raise UserError(
            f"--{option} {getattr(args, option)!r}: expected whole numbers, none of them twice"
        )
    return words


def _further(arguments: str) -> list[str]:
    try:
        words = shlex.split(arguments)
    except ValueError as error:
        raise UserError(f"--arguments {arguments!r}: {error}; quote it for the shell") from error
    for option in ("--lm_seed", "--results"):
        if any(word.replace("-", "_").startswith(option.replace("-", "_")) for word in words):
            raise UserError(f"--arguments may not hold {option}: this command gives it itself")
    return words


def pairs_of(
    encoders: Sequence[str], lms: Sequence[str], design: str, cells: int | None
) -> list[Pair]:
    """Pair seeds of encoders with those of language models."""
    if max(len(encoders), len(lms)) < 2:
        raise UserError(
            "nothing to replicate: give two or more of --encoder_seeds, of --lm_seeds, or of both"
        )
    if design == DESIGNS[0]:
        if cells is not None:
            raise UserError("--cells belongs to --foundation_design latin; crossed runs all pairs")
        return [(encoder, lm) for encoder in encoders or [""] for lm in lms or [""]]
    side = len(encoders)
    if side != len(lms):
        raise UserError(
            f"a Latin square needs as many --encoder_seeds as --lm_seeds, not {side} and {len(lms)}"
        )
    cells = 2 * side if cells is None else cells
    if cells % side or not 2 <= cells // side <= side:
        raise UserError(
            f"--cells {cells}: expected {side} times 2 to {side}, so that each of {side} encoders "
            "meets as many language models"
        )
    return [
        (encoder, lms[(row + step) % side])
        for row, encoder in enumerate(encoders)
        for step in range(cells // side)
    ]


def _lm(seed: str) -> list[str]:
    return ["--lm_seed", seed] if seed else []


def _name(pair: Pair) -> str:
    parts = zip(("encoder", "lm"), pair, strict=True)
    return "_".join(f"{what}{seed}" for what, seed in parts if seed)


if __name__ == "__main__":
    main()
