"""Stage 4, second half: refuse to test on clips or speakers that training has heard.

Everything shared is counted, and listed in REPORT. Sentences that occur on both sides are counted
too, but are an error only where asked for: read corpora repeat sentences by design.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.corpora.overlap import Count, Shared, find_shared
from espnet_otreg.corpora.record import Rejected, by_category, counts, write_rejected
from espnet_otreg.errors import UserError
from espnet_otreg.files import write_lines
from espnet_otreg.stages.command import run

SHOWN = 3  # examples in a message


def get_parser() -> argparse.ArgumentParser:
    """Options of the check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--train",
        type=Path,
        nargs="+",
        required=True,
        help="formatted data directories that training reads, those for validation included",
    )
    parser.add_argument(
        "--test", type=Path, nargs="+", required=True, help="formatted data directories to test on"
    )
    parser.add_argument("--report", type=Path, required=True, help="TSV of all that is shared")
    parser.add_argument(
        "--overlap",
        choices=("error", "drop", "allow"),
        default="error",
        help="what to do about shared clips and speakers: stop; write the training sets without "
        "them under --output; only report them",
    )
    parser.add_argument(
        "--sentences",
        choices=("error", "drop", "allow"),
        default="allow",
        help="the same about shared sentences",
    )
    parser.add_argument(
        "--output", type=Path, help="parent of the training sets that `drop` leaves"
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Compare training sets with test sets."""
    args = get_parser().parse_args(cmd)
    run(lambda: check_overlap(args))


def check_overlap(args: argparse.Namespace) -> None:
    """List what is shared, then stop, drop, or go on."""
    dropping = "drop" in (args.overlap, args.sentences)
    if dropping and args.output is None:
        raise UserError("--output is needed with drop: where the remaining training sets go.")
    if dropping and args.output.resolve() in [folder.resolve().parent for folder in args.train]:
        raise UserError(f"--output {args.output} holds --train; name another folder.")
    train, test = _load(args.train), _load(args.test)
    shared, counted = find_shared(train, test)
    write_lines(args.report, ("\t".join(entry) for entry in shared))
    for (kind, ours, theirs), count in counted.items():
        logging.warning("%s", _in_words(kind, ours, theirs, count))
    if not counted:
        logging.info("training shares no clip, speaker or sentence with the test sets")
    wished = {"clip": args.overlap, "speaker": args.overlap, "sentence": args.sentences}
    refused = [entry for entry in shared if wished[entry.kind] == "error"]
    if refused:
        raise UserError(_refusal(refused, counted, args.report))
    if dropping:
        unwanted = [entry for entry in shared if wished[entry.kind] == "drop"]
        for name, data in train.items():
            _write_rest(name, data, unwanted, args.output / name)


def _load(folders: Sequence[Path]) -> dict[str, DataDir]:
    """Read data directories by their names."""
    sets: dict[str, DataDir] = {}
    for folder in dict.fromkeys(folders):
        if folder.name in sets:
            raise UserError(f"two data directories are called {folder.name}: rename one")
        sets[folder.name] = DataDir.load(folder)
        sets[folder.name].validate(folder)
    return sets


def _in_words(kind: str, ours: str, theirs: str, count: Count) -> str:
    return (
        f"{count.items} {kind}(s) of {theirs} are in {ours} too: {count.train_utterances} "
        f"utterances for training, {count.test_utterances} for testing"
    )


def _refusal(
    refused: Sequence[Shared], counted: dict[tuple[str, str, str], Count], report: Path
) -> str:
    """Write counts, examples and the remedy."""
    kinds = {entry.kind for entry in refused}
    lines = ["the test sets are not independent of what is trained on."]
    for place, count in counted.items():
        if place[0] in kinds:
            lines.append(f"  {_in_words(*place, count)}, such as")
            those = [e for e in refused if (e.kind, e.train_set, e.test_set) == place]
            lines += [f"    {e.utt_id} and {e.like} ({e.what[:60]})" for e in those[:SHOWN]]
    option = "--overlap" if kinds != {"sentence"} else "--sentences"
    lines.append(
        f"Leave one of the corpora out; or drop the training utterances concerned, {option} drop; "
        f"or accept it knowingly, {option} allow. All of them are in {report}."
    )
    return "\n".join(lines)


def _write_rest(name: str, data: DataDir, unwanted: Sequence[Shared], folder: Path) -> None:
    """Write a training set without what is shared, and the list of that."""
    reasons = {
        entry.utt_id: f"{entry.kind} is in {entry.test_set}: as {entry.like}"
        for entry in reversed(unwanted)
        if entry.train_set == name
    }
    rejected = [Rejected(utt, reason) for utt, reason in reasons.items()]
    kept = data.subset(utt for utt in data.ids if utt not in reasons)
    write_rejected(folder / "rejected.tsv", rejected)
    if not kept.ids:
        raise UserError(
            f"nothing is left of {name}: every utterance shares a clip or speaker with the test "
            f"sets ({counts(by_category(rejected))}). Train on another corpus."
        )
    kept.save(folder)
    logging.info("%s: %d of %d utterances kept", folder, len(kept.ids), len(data.ids))


if __name__ == "__main__":
    main()
