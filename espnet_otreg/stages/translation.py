"""Compare translations: BLEU and chrF of every system and test set, by sacrebleu."""

import argparse
import logging
import statistics
from collections.abc import Sequence
from pathlib import Path

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table, write_json, write_lines
from espnet_otreg.scoring.results import parse_systems
from espnet_otreg.scoring.translation import SAMPLES, Judged, judge
from espnet_otreg.stages.command import run

HEADER = ("test set", "system", "BLEU", "p", "chrF", "p")


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--systems",
        nargs="+",
        required=True,
        help="experiments, the baseline first; a system's seeds joined by commas",
    )
    parser.add_argument("--names", nargs="+", help="of the systems [folders]")
    parser.add_argument("--decode_tag", required=True, help="decoding folder in each experiment")
    parser.add_argument("--sets", type=Path, nargs="+", required=True, help="data directories")
    parser.add_argument("--target", required=True, help="language of the translations, such as en")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="draws of the bootstrap")
    parser.add_argument("--output", type=Path, required=True, help="Markdown page")
    parser.add_argument("--json", type=Path, required=True, help="the same numbers")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Write the page and print it."""
    args = get_parser().parse_args(cmd)
    run(lambda: report(args))


def report(args: argparse.Namespace) -> None:
    """Judge every set."""
    systems = parse_systems(args.systems, args.names)
    rows: list[tuple[str, Judged]] = []
    signatures: dict[str, str] = {}
    for folder in args.sets:
        references = _references(folder, args.target)
        translated = [
            (
                system.name,
                [
                    _translations(seed / args.decode_tag / folder.name / "text", references)
                    for seed in system.folders
                ],
            )
            for system in systems
        ]
        judged, signatures = judge(translated, list(references.values()), args.target, args.samples)
        rows += [(folder.name, row) for row in judged]
    page = _page(rows, signatures)
    write_lines(args.output, page)
    found = {f"{row.name}/{place}": row._asdict() for place, row in rows}
    write_json(args.json, {"scores": found, "signatures": signatures})
    print("\n".join(page))
    logging.info("translations in %s", args.output)


def _references(folder: Path, target: str) -> dict[str, str]:
    path = folder / f"text.{target}"
    if not path.is_file():
        present = ", ".join(sorted(found.suffix[1:] for found in folder.glob("text.*")))
        raise UserError(
            f"{path} does not exist: {folder} has translations into {present or 'no language'}: "
            "name one of them, or prepare the data with --target"
        )
    return read_table(path)


def _translations(path: Path, references: dict[str, str]) -> list[str]:
    """In the order of the references; one that is missing is an error, not an empty answer."""
    given = read_table(path)
    missing = [utt for utt in references if utt not in given]
    if missing:
        raise UserError(
            f"{path} lacks {len(missing)} of {len(references)} utterances, first {missing[0]}: "
            "decode again (stage 12)"
        )
    return [given[utt] for utt in references]


def _page(rows: Sequence[tuple[str, Judged]], signatures: dict[str, str]) -> list[str]:
    lines = [
        "# Translations",
        "",
        "Mean over training seeds, ± their standard deviation. p: of sacrebleu's paired bootstrap",
        "over utterances against the first system, seed by seed.",
        "",
        f"| {' | '.join(HEADER)} |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for place, row in rows:
        cells = [place, row.name, _over_seeds(row.bleu), _p(row.bleu_p)]
        lines.append(f"| {' | '.join([*cells, _over_seeds(row.chrf), _p(row.chrf_p)])} |")
    return [*lines, "", *(f"{name}: `{told}`" for name, told in signatures.items())]


def _over_seeds(values: Sequence[float]) -> str:
    mean = f"{statistics.fmean(values):.1f}"
    return f"{mean} ± {statistics.stdev(values):.1f}" if len(values) > 1 else mean


def _p(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values) or "–"


if __name__ == "__main__":
    main()
