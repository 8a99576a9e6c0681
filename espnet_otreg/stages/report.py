"""One self-contained page of scored experiments: tables, figures, and every utterance to hear."""

import argparse
import importlib.util
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espnet_otreg.errors import UserError
from espnet_otreg.scoring.wer import METRICS
from espnet_otreg.stages.command import command_line, run

PROGRAM = "python -m espnet_otreg.stages.report"


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=__doc__,
        epilog="Besides the page, its figures are written as SVG and PNG to <output>_figures/.",
    )
    parser.add_argument(
        "systems",
        nargs="*",
        help="experiment folders, the baseline first; seeds of one system are joined by commas, or "
        "found by the folders' names; without any, the first --external is the baseline",
    )
    parser.add_argument("--names", nargs="+", help="names of the systems (default: folders)")
    parser.add_argument("--decode_tag", help="decoding in each experiment (default: the only one)")
    parser.add_argument("--in_domain", nargs="+", default=[], help="test sets like the training")
    parser.add_argument("--cross_domain", nargs="+", default=[], help="test sets unlike it")
    parser.add_argument("--trained_on", nargs="+", help="as in stages/compare: adds its matrix")
    parser.add_argument("--external", nargs="+", default=[], help="as in stages/compare")
    parser.add_argument(
        "--metric", choices=METRICS, default=METRICS[0], help="as in stages/compare"
    )
    parser.add_argument("--title", default="Speech recognition, compared", help="of the page")
    parser.add_argument(
        "--data", type=Path, help="folder with a data directory per test set (default: as scored)"
    )
    parser.add_argument(
        "--gap", type=Path, help="output of stages/gap, to be shown (default: none)"
    )
    parser.add_argument(
        "--may_lack_gap", action="store_true", help="go on where --gap holds no pictures"
    )
    parser.add_argument("--audio", choices=("embed", "none"), default="embed", help="in the page")
    parser.add_argument("--commands", nargs="+", default=[], help="that made the experiments")
    parser.add_argument("--samples", type=int, default=10_000, help="draws of the bootstrap")
    parser.add_argument("--nj", type=int, default=os.cpu_count() or 1, help="processes for audio")
    parser.add_argument(
        "--output", type=Path, default=Path("report.html"), help="page to write (%(default)s)"
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Compare, collect, draw and write; print where the page lies."""
    given = sys.argv[1:] if cmd is None else list(cmd)
    args = get_parser().parse_args(given)
    run(lambda: _report(args, command_line(PROGRAM, given)))


def _report(args: argparse.Namespace, command: str) -> None:
    _check_packages()
    from espnet_otreg.report.media import INDEX, pack_clips, read_drawn
    from espnet_otreg.report.page import Page, write_page
    from espnet_otreg.report.utterances import collect_utterances
    from espnet_otreg.scoring.provenance import provenance

    if args.may_lack_gap and args.gap and not (args.gap / INDEX).is_file():
        logging.warning("%s holds no pictures: the page is made without", args.gap)
        args.gap = None
    drawn = read_drawn(args.gap)
    comparison = _compare(args)
    _check_names(drawn, comparison, args.gap)
    browsed = collect_utterances(comparison, args.metric, args.data)
    figures = _draw(comparison, args.output.with_name(f"{args.output.stem}_figures"))
    made = provenance(command)
    audio = browsed.audio if args.audio == "embed" else {}
    page = Page(
        title=args.title,
        facts=_facts(comparison, made.date),
        sections=_sections(comparison, args.trained_on, figures, drawn.figures),
        comparison=comparison,
        browsed=browsed._replace(audio=audio),
        pictures=drawn.pictures,
        made=[
            f"git {made.git}",
            ", ".join(f"{name} {version}" for name, version in made.versions.items()),
            *(f"{s.name}: {' '.join(map(str, s.folders))}" for s in comparison.systems),
        ],
        commands=[*args.commands, made.command],
        notes=browsed.notes if args.audio == "embed" else [],
    )
    for clip in write_page(args.output, page, pack_clips(audio, args.nj)):
        logging.warning("%s has no audio in the page: %s", clip.key, clip.problem)
    size = args.output.stat().st_size / 1e6
    print(f"{args.output}: {len(browsed.entries)} utterances, {len(audio)} to hear, {size:.1f} MB")


def _check_packages() -> None:
    missing = [name for name in ("jinja2", "matplotlib") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"a report needs {' and '.join(missing)}: pip install 'espnet_otreg[report]'"
        )


def _check_names(drawn: Any, comparison: Any, gap: Path) -> None:
    """Refuse pictures that no system of the page would show."""
    pictured = list(dict.fromkeys(picture.system for picture in drawn.pictures))
    names = [system.name for system in comparison.systems]
    if pictured and not set(pictured) & set(names):
        raise UserError(
            f"{gap} has pictures of {', '.join(pictured)}, but the systems here are "
            f"{', '.join(names)}: give stages/gap and stages/report the same --names"
        )


def _compare(args: argparse.Namespace) -> Any:
    from espnet_otreg.report.experiments import find_decoding, find_sets, group_experiments
    from espnet_otreg.scoring.results import SetName, compare, parse_external

    external = parse_external(args.external)
    systems = group_experiments(args.systems, args.names) if args.systems else external
    if not systems:
        raise UserError("nothing to show: name experiment folders, or --external name=folder")
    tag = find_decoding(systems, args.decode_tag)
    sets = [SetName(name, "in-domain") for name in args.in_domain]
    sets += [SetName(name, "cross-domain") for name in args.cross_domain]
    sets = sets or [SetName(name, name) for name in find_sets(systems, tag)]
    everybody = [*systems, *external] if args.systems else external
    return compare(everybody, sets, tag, metric=args.metric, samples=args.samples)


def _draw(comparison: Any, folder: Path) -> list[Any]:
    """Draw what `stages/gap` does not, and return it for the page."""
    from espnet_otreg.measure.plots import save
    from espnet_otreg.report.figures import differences_figure, rates_figure
    from espnet_otreg.report.media import Figure, data_uri

    rates = "Error rates with their 95 % intervals; small ticks are trained models."
    figures = [("rates", "Error rates", rates, rates_figure(comparison))]
    if len(comparison.systems) > 1:
        caption = f"Points against {comparison.systems[0].name}, paired, 95 % intervals."
        figures.append(("differences", "Differences", caption, differences_figure(comparison)))
    drawn = []
    for name, title, caption, figure in figures:
        save(figure, folder / f"{name}.svg")
        drawn.append(Figure(data_uri(folder / f"{name}.svg"), title, caption))
    return drawn


def _facts(comparison: Any, date: str) -> list[str]:
    from espnet_otreg.scoring.chance import covered

    seeds = sorted({len(system.folders) for system in comparison.systems})
    return [
        f"normaliser {comparison.normaliser}",
        *([f"decoding {comparison.decode_tag}"] if comparison.decode_tag else []),
        f"trained models: {' or '.join(map(str, seeds))}",
        f"intervals of differences over {covered(comparison)}",
        date,
    ]


def _sections(
    comparison: Any, trained_on: Sequence[str] | None, figures: Sequence[Any], drawn: Sequence[Any]
) -> list[Any]:
    from espnet_otreg.report.page import Section, as_verdicts
    from espnet_otreg.scoring import tables
    from espnet_otreg.scoring.chance import READING, variance_table
    from espnet_otreg.scoring.matrix import overview, train_test_matrix

    found = [
        Section(
            "results",
            "Results",
            "Error rate in %, lower is better; ± is the standard deviation over trained models. "
            "Click a column's head to sort.",
            [tables.main_table(comparison)],
            figures,
            as_verdicts(tables.verdicts(comparison)),
            comparison.caveats,
        )
    ]
    if trained_on:
        text = "† is in-domain; micro: all words pooled, macro: the mean over languages."
        cells = [overview(train_test_matrix(comparison, trained_on))]
        found.append(Section("matrix", "Trained on, tested on", text, cells))
    if drawn:
        found.append(Section("alignment", "Alignment", figures=drawn))
    if len(comparison.systems) > 1:
        text = f"Points against {comparison.systems[0].name}; negative is better."
        differences = [tables.difference_table(comparison)]
        found.append(Section("differences", "Differences", text, differences))
    shares = variance_table(comparison)
    if shares is not None:
        text = " ".join(READING.split())
        found.append(Section("variance", "Where their variance comes from", text, [shares]))
    text = "In % of the reference words (characters where the metric is CER)."
    found.append(Section("errors", "Errors", text, [tables.detail_table(comparison)]))
    text = "In % of the utterances, which can fail in several ways."
    found.append(Section("failures", "Failures", text, [tables.failure_table(comparison)]))
    speed = tables.speed_table(comparison)
    if speed is not None:
        found.append(Section("speed", "Speed", tables=[speed]))
    return [*found, Section("sets", "Test sets", tables=[tables.set_table(comparison)])]


if __name__ == "__main__":
    main()
