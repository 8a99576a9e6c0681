"""Write a formatted data directory as Parquet, NeMo's JSONL manifest, or lhotse's cuts.

    python -m espnet_otreg.stages.export_data --data dump/raw/org/KEY/fleurs_test --format parquet \
        --output exported

OUTPUT/<split>-00000-of-00003.parquet holds the recordings and is what `datasets` loads;
OUTPUT/<split>.jsonl and <split>.jsonl.gz (cuts) name them where they are. Splits of one corpus may
share OUTPUT. OUTPUT/table.yaml lets corpus `table` read all of it back, ids included.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from espnet_otreg.corpora.audio import rate_of
from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.corpora.export import FORMATS, export
from espnet_otreg.corpora.record import split_span
from espnet_otreg.errors import UserError
from espnet_otreg.stages.command import run


def get_parser() -> argparse.ArgumentParser:
    """Options of the export."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="formatted data directory")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--format", choices=list(FORMATS), default="parquet", help="[parquet]")
    parser.add_argument(
        "--split", help="name of the files [what follows the last _ in the name of --data]"
    )
    parser.add_argument(
        "--clips_per_file", type=int, default=5000, help="of Parquet, at most [5000]"
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Export one data directory."""
    args = get_parser().parse_args(cmd)
    run(lambda: export_data(args))


def export_data(args: argparse.Namespace) -> None:
    """Check what is asked for, and write it."""
    if args.clips_per_file < 1:
        raise UserError(f"--clips_per_file {args.clips_per_file}: expected a number from 1")
    data = DataDir.load(args.data)
    data.validate(args.data)
    first = data.tables["wav.scp"][data.ids[0]]
    if "utt2num_samples" not in data.tables or split_span(first)[0] != first:
        raise UserError(
            f"{args.data} has recordings as they came: run stages/format_audio on it first"
        )
    split = args.split or args.data.resolve().name.rpartition("_")[2]
    files = export(args.output, split, data, rate_of(Path(first)), args.format, args.clips_per_file)
    logging.info("%s: %d utterances in %d file(s)", args.output, len(data.ids), len(files))


if __name__ == "__main__":
    main()
