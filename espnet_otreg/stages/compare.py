r"""Compare scored experiments with a baseline, in and across domains.

Scores are read from <experiment>/<decode_tag>/<test_set>/score.json. A system that was decoded
elsewhere becomes a row when its hypotheses are scored into <folder>/<test_set>/score.json, with the
same data directory and normaliser, and the folder is named:

    python -m espnet_otreg.stages.score --ref dump/raw/org/fleurs_test --hyp theirs.jsonl \
        --output external/theirs/fleurs_test/score.json
    python -m espnet_otreg.stages.compare ... --external theirs=external/theirs

Or put the hypotheses there as <folder>/<test_set>.jsonl, such as the prediction manifests of public
leaderboards (audio_filepath, text, pred_text): they are scored on the way, with the data directory
and the normaliser of the first system.

Without --baseline the systems are external ones alone, the first of them the baseline.

Several finished tables of one protocol, each of other foundation models, become one whose intervals
cover these too:

    python -m espnet_otreg.stages.compare --join exp/a/results.json exp/b/results.json ...
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from espnet_otreg.files import write_json, writing
from espnet_otreg.scoring.chance import covered, variance_table
from espnet_otreg.scoring.comparison import Comparison
from espnet_otreg.scoring.document import (
    replace_in_readme,
    results_document,
    results_json,
    summary,
)
from espnet_otreg.scoring.external import score_external
from espnet_otreg.scoring.join import join
from espnet_otreg.scoring.matrix import overview, train_test_matrix
from espnet_otreg.scoring.provenance import provenance
from espnet_otreg.scoring.results import (
    SetName,
    compare,
    parse_external,
    parse_systems,
    pooled_sets,
)
from espnet_otreg.scoring.significance import SAMPLES
from espnet_otreg.scoring.tables import main_table, plain, verdicts
from espnet_otreg.scoring.wer import METRICS
from espnet_otreg.stages.command import command_line, run

PROGRAM = "python -m espnet_otreg.stages.compare"


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_systems(parser)
    parser.add_argument(
        "--decode_tag", default="", help="decoding folder in each experiment (default: none)"
    )
    parser.add_argument("--output", type=Path, required=True, help="Markdown page to write")
    parser.add_argument("--json", type=Path, required=True, help="JSON file to write")
    parser.add_argument(
        "--picture",
        type=Path,
        help="also draw what the variance of differences comes from, as SVG and PNG (default: no)",
    )
    parser.add_argument(
        "--readme",
        type=Path,
        help="also put the table between the results markers of this file (default: no)",
    )
    parser.add_argument(
        "--commands",
        nargs="+",
        default=[],
        help="commands that made the experiments, to be listed (default: none)",
    )
    parser.add_argument(
        "--device",
        help="device to be named as the one of decoding and scoring (default: not named)",
    )
    parser.add_argument(
        "--samples", type=int, default=SAMPLES, help="draws of the bootstrap (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the bootstrap (default: %(default)s)"
    )
    return parser


def _add_systems(parser: argparse.ArgumentParser) -> None:
    """What is compared, on what, by which measure."""
    experiments = "experiment folder; one per training seed, joined by commas"
    parser.add_argument(
        "--baseline", help=f"{experiments} (default: none; the first --external is the baseline)"
    )
    parser.add_argument("--systems", nargs="+", default=[], help=f"to be compared: {experiments}")
    parser.add_argument(
        "--external",
        nargs="+",
        default=[],
        metavar="NAME=FOLDER",
        help="to be compared too: systems decoded elsewhere, whose folder holds "
        "<test_set>/score.json, or hypotheses, <test_set>.jsonl, that are scored as the others' "
        "are; of one test set also a file of hypotheses (default: none)",
    )
    parser.add_argument(
        "--names",
        nargs="+",
        help="names for the table, the baseline's first (default: folders); with --join the names "
        "of the systems to be compared, the baseline first (default: all)",
    )
    parser.add_argument(
        "--join",
        type=Path,
        nargs="+",
        default=[],
        help="results.json of finished comparisons, or their folders, in place of all the above "
        "(default: none)",
    )
    parser.add_argument(
        "--trained_on",
        nargs="+",
        help="what each system was trained on, the baseline first and the external ones last, such "
        "as covost2+fleurs: adds the matrix of training corpora, test sets and languages",
    )
    parser.add_argument(
        "--in_domain",
        nargs="+",
        default=[],
        help="test sets like the training data (default: none)",
    )
    parser.add_argument(
        "--cross_domain", nargs="+", default=[], help="test sets unlike it (default: none)"
    )
    parser.add_argument(
        "--pooled",
        nargs="+",
        default=[],
        metavar="SET+SET",
        help="test sets of one domain that are also judged as one, with all their speakers "
        "(default: none)",
    )
    parser.add_argument(
        "--metric",
        choices=METRICS,
        default=METRICS[0],
        help="auto: word error rate, or character error rate for languages without spaces; "
        "cer: character error rate for all (default: %(default)s)",
    )


def main(cmd: Sequence[str] | None = None) -> None:
    """Compare, write the page and the JSON, and print the main table."""
    given = sys.argv[1:] if cmd is None else list(cmd)
    parser = get_parser()
    args = parser.parse_args(given)
    if args.join:
        if args.baseline or args.systems or args.external or args.in_domain or args.cross_domain:
            parser.error("--join takes systems and test sets from its files: give no others")
    elif not args.in_domain and not args.cross_domain:
        parser.error("name at least one test set by --in_domain or --cross_domain")
    elif args.baseline is None and (args.systems or args.names):
        parser.error("--systems and --names need a --baseline")
    elif args.baseline is not None and not args.decode_tag:
        parser.error("name the decoding of the experiments by --decode_tag")
    elif len(args.systems) + len(args.external) + (args.baseline is not None) < 2:
        parser.error("name at least one system to compare by --systems or --external")
    run(lambda: _compare(args, command_line(PROGRAM, given)))


def _compared(args: argparse.Namespace) -> Comparison:
    draws = {"samples": args.samples, "seed": args.seed}
    if args.join:
        joined = join(args.join)
        joined = joined.only(args.names) if args.names else joined
        told = {"metric": joined.metric, "labels": joined.labels, **draws}
        sets = [*joined.sets, *pooled_sets(args.pooled, joined.sets)]
        found = compare(joined.systems, sets, joined.systems[0].tags[0], **told)
        return found._replace(caveats=(*found.caveats, *joined.caveats))
    own = [] if args.baseline is None else [args.baseline, *args.systems]
    systems = parse_systems(own, args.names) + parse_external(args.external)
    sets = [SetName(name, "in-domain") for name in args.in_domain]
    sets += [SetName(name, "cross-domain") for name in args.cross_domain]
    systems = score_external(systems, [each.name for each in sets], args.decode_tag)
    sets += pooled_sets(args.pooled, sets)
    return compare(systems, sets, args.decode_tag, metric=args.metric, **draws)


def _compare(args: argparse.Namespace, command: str) -> None:
    comparison = _compared(args)
    matrix = train_test_matrix(comparison, args.trained_on) if args.trained_on else None
    facts = (comparison, provenance(command), args.commands, args.device, matrix)
    with writing(args.output) as stream:
        stream.write(results_document(*facts))
    content = results_json(*facts)
    write_json(args.json, content)
    if args.picture is not None:
        from espnet_otreg.measure.plots import save
        from espnet_otreg.measure.variance_picture import variance_figure

        save(variance_figure(content), args.picture)
    if args.readme is not None:
        replace_in_readme(args.readme, summary(comparison))
    print(plain(main_table(comparison)))
    table = variance_table(comparison)
    if table is not None:
        print(f"\nWhere the variance of differences comes from, in %:\n{plain(table)}")
    if matrix is not None:
        print(f"\n{plain(overview(matrix))}")
    over = f"Intervals of differences are over {covered(comparison)}."
    print("\n".join(["", *verdicts(comparison), over, *comparison.caveats]).replace("**", ""))


if __name__ == "__main__":
    main()
