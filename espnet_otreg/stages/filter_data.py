"""Stage 4: join formatted sets and drop utterances that are empty, too short or too long.

What is dropped is counted and listed in OUTPUT/rejected.tsv. The audio stays where it is.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from espnet_otreg.corpora.audio import rate_of
from espnet_otreg.corpora.datadir import DataDir, combine
from espnet_otreg.corpora.record import by_category, counts, write_rejected
from espnet_otreg.corpora.trainable import Limits, filter_set
from espnet_otreg.errors import UserError
from espnet_otreg.stages.command import run


def get_parser() -> argparse.ArgumentParser:
    """Options of stage 4."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--input",
        type=Path,
        nargs="+",
        required=True,
        help="data directories of stage 3; several are joined",
    )
    parser.add_argument("--output", type=Path, required=True, help="data directory to make")
    parser.add_argument("--min_wav_duration", type=float, default=0.1, help="seconds")
    parser.add_argument("--max_wav_duration", type=float, default=20.0, help="seconds")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Filter one set."""
    args = get_parser().parse_args(cmd)
    run(lambda: filter_data(args))


def filter_data(args: argparse.Namespace) -> None:
    """Join, filter and write."""
    if args.output.resolve() in [folder.resolve() for folder in args.input]:
        raise UserError(f"--output {args.output} is also --input; name another folder.")
    sets: dict[Path, DataDir] = {}
    for folder in args.input:
        if folder in sets:
            raise UserError(f"--input names {folder} twice.")
        sets[folder] = DataDir.load(folder)
        sets[folder].validate(folder)
    data, partial = combine(sets)
    for name in partial:
        logging.warning("%s: %s left out, not all inputs have it", args.output, name)
    limits = Limits(args.min_wav_duration, args.max_wav_duration)
    kept, rejected = filter_set(data, _common_rate(sets), limits)
    write_rejected(args.output / "rejected.tsv", rejected)
    if not kept.ids:
        raise UserError(
            f"nothing is left of {len(data.ids)} utterances: {counts(by_category(rejected))}. "
            f"Each one is in {args.output / 'rejected.tsv'}."
        )
    kept.save(args.output)
    logging.info("%s: %d of %d utterances kept", args.output, len(kept.ids), len(data.ids))
    if rejected:
        reasons = counts(by_category(rejected))
        logging.warning("%s: %d dropped: %s", args.output, len(rejected), reasons)


def _common_rate(sets: dict[Path, DataDir]) -> int:
    """Return the sampling rate of the sets, as the first recording of each has it."""
    rates = {
        folder: rate_of(Path(data.tables["wav.scp"][data.ids[0]])) for folder, data in sets.items()
    }
    if len(set(rates.values())) > 1:
        listed = ", ".join(f"{folder} has {rate} Hz" for folder, rate in rates.items())
        raise UserError(f"the inputs differ in sampling rate: {listed}. Format them alike.")
    return next(iter(rates.values()))


if __name__ == "__main__":
    main()
