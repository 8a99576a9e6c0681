"""Score one decoded test set: WER and CER per language and in total."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from espnet_otreg.bin import cli
from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table
from espnet_otreg.scoring.normalise import NORMALISERS
from espnet_otreg.scoring.score_file import load_score, save_score
from espnet_otreg.scoring.tables import Table, percent, plain
from espnet_otreg.scoring.wer import Counts, Summary, score


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        prog="python -m espnet_otreg.bin.score",
        description="Compare decoded text with the references of a data directory.",
    )
    parser.add_argument(
        "--ref", type=Path, required=True, help="data directory with text, utt2spk, utt2lang"
    )
    parser.add_argument(
        "--hyp", type=Path, required=True, help="decoded text: `utterance words` per line"
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="JSON file to write; counts per utterance go beside it, as <name>.per_utt.tsv",
    )
    parser.add_argument(
        "--normaliser",
        choices=sorted(NORMALISERS),
        default="basic",
        help="what is done to both texts first (default: %(default)s)",
    )
    parser.add_argument(
        "--languages",
        type=Path,
        help="table of `utterance language` (default: utt2lang of --ref)",
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Score, write, and print a table."""
    args = get_parser().parse_args(cmd)
    cli.run(lambda: _score(args))


def _score(args: argparse.Namespace) -> None:
    if args.output.suffix != ".json":
        raise UserError(f"--output should end in .json, not {args.output}")
    utterances = score(
        read_table(args.ref / "text"),
        read_table(args.hyp),
        normaliser=args.normaliser,
        speakers=_optional_table(
            args.ref / "utt2spk", "each utterance counts as a speaker of its own"
        ),
        languages=read_table(args.languages)
        if args.languages
        else _optional_table(args.ref / "utt2lang", "everything counts as one language"),
    )
    facts = {"reference": str(args.ref), "hypothesis": str(args.hyp)}
    save_score(args.output, utterances, args.normaliser, facts)
    scored = load_score(args.output)
    print(f"{args.hyp} against {args.ref}, normaliser {args.normaliser}, in %")
    print(plain(_table(scored.summaries)))


def _optional_table(path: Path, otherwise: str) -> dict[str, str] | None:
    if path.is_file():
        return read_table(path)
    logging.warning("%s does not exist: %s", path, otherwise)
    return None


def _table(summaries: dict[str, Summary]) -> Table:
    header = ["language", "read", "utterances", "speakers", "words"]
    header += ["WER", "sub", "del", "ins", "CER", "sentence", "empty"]
    rows = []
    for language, part in summaries.items():
        words = part.words
        sizes = [f"{n:,}" for n in (part.utterances, part.speakers, words.reference)]
        kinds = [_share(n, words) for n in (words.substitutions, words.deletions, words.insertions)]
        figures = [_share(words.errors, words), *kinds]
        figures += [_share(part.characters.errors, part.characters)]
        figures += [percent(part.sentence_error_rate), percent(part.empty_share)]
        rows.append([language, part.metric, *sizes, *figures])
    return Table(header, rows, text_columns=2)


def _share(count: int, counts: Counts) -> str:
    return percent(count / counts.reference if counts.reference else float("nan"))


if __name__ == "__main__":
    main()
