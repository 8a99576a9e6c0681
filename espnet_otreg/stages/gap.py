"""Measure the gap between speech and text in trained models, and draw what alignment does to it.

For every experiment and set: a panel of measures that can disagree, the same for a stock model and
a regularised one; transport plans and distance matrices of some utterances; the solver's figures
during training. OUTPUT/ gets GAP.md, gap.json, panel.svg, training.svg, plans/<set>/, each picture
as .png too, and pictures.json, which lists them.
"""

import argparse
import importlib.util
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from espnet_otreg.errors import UserError
from espnet_otreg.files import nan_to_null, write_json, write_lines
from espnet_otreg.pretrained.feature_cache import features_of
from espnet_otreg.stages.command import command_line, run

PROGRAM = "python -m espnet_otreg.stages.gap"


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    experiments = (
        "experiment folders, the baseline's first; seeds of one system joined by commas, or found "
        "by the folders' names"
    )
    parser.add_argument("--systems", nargs="+", required=True, help=experiments)
    parser.add_argument("--names", nargs="+", help="names for the page (default: folders)")
    parser.add_argument("--model_file", default="valid.acc.ave.pth", help="in each folder")
    parser.add_argument("--sets", nargs="+", required=True, help="data directories (dump/raw/...)")
    parser.add_argument(
        "--features",
        type=Path,
        nargs="+",
        help="cached frames of an slm's encoder: a folder for each of --sets, or one for all",
    )
    parser.add_argument("--word_times", type=Path, help="word_times.jsonl of the mini corpora")
    parser.add_argument("--utterances", type=int, default=100, help="measured in each set")
    parser.add_argument("--pictures", type=int, default=6, help="utterances to draw of each set")
    parser.add_argument("--hop", type=float, help="seconds per frame (default: found by trying)")
    parser.add_argument("--batch_size", type=int, default=8, help="utterances at a time")
    parser.add_argument("--ngpu", type=int, default=0, help="1: on the GPU")
    parser.add_argument("--output", type=Path, required=True, help="folder to fill")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Measure, draw, write the page and the JSON, and print the table."""
    given = sys.argv[1:] if cmd is None else list(cmd)
    args = get_parser().parse_args(given)
    run(lambda: _measure_all(args, command_line(PROGRAM, given)))


def _measure_all(args: argparse.Namespace, command: str) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("pictures need matplotlib: pip install 'espnet_otreg[report]'")
    from espnet_otreg.measure.gap_of_models import (
        Findings,
        Means,
        measure_system,
        read_set,
        shared_conf,
    )
    from espnet_otreg.measure.gap_page import Report, content, how_sure, page, rows_of, value_table
    from espnet_otreg.measure.gap_pictures import draw_all
    from espnet_otreg.report.experiments import group_experiments
    from espnet_otreg.scoring.provenance import provenance
    from espnet_otreg.scoring.tables import plain

    for option in ("utterances", "batch_size"):
        if getattr(args, option) < 1:
            raise UserError(f"--{option} must be 1 or more, got {getattr(args, option)}")
    systems = group_experiments(args.systems, args.names)
    limits = {"utterances": args.utterances, "pictures": args.pictures}
    sets = [Path(folder) for folder in args.sets]
    tests = [
        read_set(folder, **limits, word_times=args.word_times, features=features)
        for folder, features in zip(sets, features_of(args.features, sets), strict=True)
    ]
    conf, whose = shared_conf([folder for system in systems for folder in system.folders])
    device = "cuda" if args.ngpu else "cpu"
    means = Means(args.model_file, args.batch_size, device, args.hop)
    findings = Findings(tests)
    for system in systems:
        for seed, folder in enumerate(system.folders):
            measure_system(findings, system.name, folder, tests, conf, means, draw=seed == 0)
            logging.info("%s: measured", folder)
    findings.keep_common()
    rows = rows_of(findings.found)
    draw_all(args.output, findings.kept, rows, {one.name: one.folders for one in systems})
    report = Report(
        rows=rows,
        found=findings.found,
        sure={test.name: how_sure(findings.found[test.name], test.speakers) for test in tests},
        sizes={test.name: test.size for test in tests},
        left_out=findings.left_out,
        spaces=findings.spaces,
        conf=conf,
        conf_of=whose,
        provenance=provenance(command),
    )
    write_json(args.output / "gap.json", nan_to_null(content(report)))
    write_lines(args.output / "GAP.md", page(report, args.output))
    print(plain(value_table(rows)))


if __name__ == "__main__":
    main()
