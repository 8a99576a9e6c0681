"""Stages 2 and 3: every recording of a data directory as mono FLAC or WAV at one rate.

Parallel and resumable: what an interrupted run finished is not done again. Recordings that cannot
be used are listed in OUTPUT/rejected.tsv with the reason. OUTPUT/manifest.jsonl is the same tables
for other toolkits. A run that made recordings compares all of them with the tables at the end; what
does not agree is listed in OUTPUT/mismatches.tsv and made anew by the next run.
"""

import argparse
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.corpora.format_set import FORMATS, Formatted, Settings, forget, format_set
from espnet_otreg.corpora.manifest import is_current, write_manifest, wrong_lines
from espnet_otreg.corpora.record import Rejected, by_category, counts, write_rejected
from espnet_otreg.corpora.validate import refuse_mismatches, wrong_recordings
from espnet_otreg.errors import UserError
from espnet_otreg.stages.command import run


def sampling_rate(text: str) -> int:
    """Read 16000 or, as ESPnet's recipes write it, 16k."""
    return int(text[:-1]) * 1000 if text.endswith("k") else int(text)


def get_parser() -> argparse.ArgumentParser:
    """Options of stages 2 and 3."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--input", type=Path, required=True, help="data directory of stage 1")
    parser.add_argument("--output", type=Path, required=True, help="data directory to make")
    parser.add_argument("--fs", type=sampling_rate, default=16000, help="sampling rate: 16000, 16k")
    parser.add_argument("--audio_format", choices=FORMATS, default="flac", help="16 bit either way")
    parser.add_argument("--nj", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument(
        "--speed",
        type=float,
        default=1.0,
        help="speed perturbation; other than 1.0, ids and speakers get the prefix sp<speed>-",
    )
    parser.add_argument(
        "--max_rejected",
        type=float,
        default=0.1,
        help="share of unusable recordings from which on the set is refused",
    )
    parser.add_argument(
        "--validate",
        action="store_true",
        help="compare the recordings with the tables even if none is new",
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Format one data directory."""
    args = get_parser().parse_args(cmd)
    run(lambda: format_audio(args))


def format_audio(args: argparse.Namespace) -> None:
    """Make the recordings, then the tables."""
    _check(args)
    data = DataDir.load(args.input)
    data.validate(args.input)
    (args.output / "wav.scp").unlink(missing_ok=True)  # its presence says that the set is complete
    settings = Settings(args.fs, args.audio_format, args.speed)
    result = format_set(data, args.output, settings, args.nj)
    write_rejected(args.output / "rejected.tsv", result.rejected)
    _report(args.output, result)
    share = len(result.rejected) / len(data.ids)
    if share > args.max_rejected or share == 1:
        raise UserError(
            f"{len(result.rejected)} of {len(data.ids)} recordings of {args.input} cannot be used "
            f"({counts(by_category(result.rejected))}); --max_rejected allows a share of "
            f"{args.max_rejected:g}. Each one is in {args.output / 'rejected.tsv'}."
        )
    _verify(args, settings, result)
    result.data.save(args.output)


def _verify(args: argparse.Namespace, settings: Settings, result: Formatted) -> None:
    """Write the manifest, and compare it and the recordings with the tables."""
    folder, data = args.output, result.data
    problems: list[Rejected] = []
    if args.validate or len(data.tables["wav.scp"]) > result.reused:
        problems += wrong_recordings(folder, data, args.fs, args.nj)
        forget(folder, settings, problems)
    if not is_current(folder, data, args.fs):
        write_manifest(folder, data, args.fs)
        problems += wrong_lines(folder, data, args.fs)
    refuse_mismatches(folder, problems)


def _check(args: argparse.Namespace) -> None:
    """Refuse values out of range before any data is read."""
    if args.input.resolve() == args.output.resolve():
        raise UserError(f"--output {args.output} is also --input; name another folder.")
    if args.fs <= 0 or args.nj <= 0:
        raise UserError(f"--fs {args.fs} and --nj {args.nj} must be positive")
    if not 0.1 <= args.speed <= 10:
        raise UserError(f"--speed {args.speed:g}: expected a factor such as 0.9, from 0.1 to 10")
    if not 0 <= args.max_rejected <= 1:
        raise UserError(f"--max_rejected {args.max_rejected:g}: expected a share from 0 to 1")


def _report(output: Path, result: Formatted) -> None:
    """Say what came out."""
    lengths = result.data.tables["utt2num_samples"] if result.data.ids else {}
    logging.info("%s: %d utterances, %d already there", output, len(lengths), result.reused)
    if result.notes:
        logging.info("%s: %s", output, counts(result.notes))
    if result.rejected:
        reasons = counts(by_category(result.rejected))
        logging.warning("%s: %d rejected: %s", output, len(result.rejected), reasons)


if __name__ == "__main__":
    main()
