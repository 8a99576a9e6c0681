"""Report how far each speech language model shortens its input, and what it drops."""

import argparse
import logging
import math
from collections.abc import Sequence
from pathlib import Path

from espnet_otreg.errors import UserError
from espnet_otreg.files import nan_to_null, read_table, write_json, write_lines
from espnet_otreg.measure.compression import Report, Shortened, read_shortening, summarise
from espnet_otreg.measure.truth import read_word_times
from espnet_otreg.stages.command import run

HEADER = (
    *("system", "test set", "embeddings/s", "after merge", "after drop"),
    *("merged", "dropped", "dropped that was silence", "silence that was dropped", "cut off"),
)


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--systems", nargs="+", required=True, help="experiments; a system's seeds joined by commas"
    )
    parser.add_argument("--names", nargs="+", required=True, help="of the systems")
    parser.add_argument("--decode_tag", required=True, help="decoding folder in each experiment")
    parser.add_argument("--sets", type=Path, nargs="+", required=True, help="data directories")
    parser.add_argument("--fs", type=int, default=16000, help="sampling rate of the sets")
    parser.add_argument("--word_times", type=Path, help="true word times, of mini corpora")
    parser.add_argument("--output", type=Path, required=True, help="Markdown page")
    parser.add_argument("--json", type=Path, required=True, help="the same numbers")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Write the page."""
    args = get_parser().parse_args(cmd)
    run(lambda: report(args))


def report(args: argparse.Namespace) -> None:
    """Sum up every system on every set, all seeds together."""
    if len(args.systems) != len(args.names):
        raise UserError(f"{len(args.systems)} systems and {len(args.names)} names: give one each")
    rows: list[tuple[str, str, Report]] = []
    for folder in args.sets:
        counts = read_table(folder / "utt2num_samples")
        seconds = {utt: int(count) / args.fs for utt, count in counts.items()}
        words = read_word_times(args.word_times, seconds) if args.word_times else None
        for name, system in zip(args.names, args.systems, strict=True):
            found: dict[tuple[str, int], Shortened] = {}
            capped = 0
            for seed, experiment in enumerate(system.split(",")):
                path = Path(experiment) / args.decode_tag / folder.name / "shortening"
                table, cut = read_shortening(path)
                found |= {(utt, seed): row for utt, row in table.items()}
                capped += cut
            keyed = {f"{utt} {seed}": row for (utt, seed), row in found.items()}
            known = {f"{utt} {seed}": seconds[utt] for utt, seed in found}
            times = words and {f"{utt} {seed}": words[utt] for utt, seed in found}
            rows.append((name, folder.name, summarise(keyed, known, times, capped)))
    write_lines(args.output, _page(rows))
    content = {f"{name}/{place}": nan_to_null(row._asdict()) for name, place, row in rows}
    write_json(args.json, content)
    logging.info("compression in %s", args.output)


def _page(rows: Sequence[tuple[str, str, Report]]) -> list[str]:
    lines = [
        "# What the language model reads",
        "",
        "Embeddings per second of speech before and after merging alike neighbours and dropping",
        "silence; all seeds of a system together. Silence: more than half of an embedding's time",
        "lies outside the true word times. Cut off: answers that reached the longest allowed.",
        "",
        f"| {' | '.join(HEADER)} |",
        f"|{'---|' * 2}{'---:|' * (len(HEADER) - 2)}",
    ]
    for name, place, row in rows:
        rates = [f"{rate:.2f}" for rate in (row.before, row.after_merge, row.after_drop)]
        shares = (row.merged, row.dropped, row.drops_silent, row.silence_dropped)
        told = ["–" if math.isnan(share) else f"{100 * share:.1f} %" for share in shares]
        lines.append(f"| {' | '.join([name, place, *rates, *told, str(row.capped)])} |")
    return lines


if __name__ == "__main__":
    main()
