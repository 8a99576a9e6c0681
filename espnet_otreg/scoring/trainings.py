"""What a page says of the trainings behind it: where, how long, and if their steps were alike."""

from collections.abc import Sequence
from math import nan
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from espnet_otreg.scoring.comparison import Comparison
from espnet_otreg.scoring.provenance import NOT_RECORDED, TrainingRun, read_training_run
from espnet_otreg.scoring.tables import Table

CLIPPED_UNLIKE = 10.0  # points between two systems' shares of clipped steps


def training_table(comparison: Comparison) -> Table:
    """Return a row for each training."""
    header = ["system", "experiment", "started", "device", "seed", "clipped", "training time"]
    rows = []
    for system in comparison.systems:
        for folder in system.folders:
            run = read_training_run(folder)
            facts = (run.started, run.device, run.seed)
            if system.external:
                elsewhere = ["decoded elsewhere", *([NOT_RECORDED] * 4)]
                rows.append([system.name, str(folder), *elsewhere])
                continue
            known = [NOT_RECORDED if fact is None else str(fact) for fact in facts]
            clipped = NOT_RECORDED if run.clipped is None else f"{run.clipped:.0f} %"
            rows.append([system.name, str(folder), *known, clipped, _duration(run)])
    return Table(header, rows, text_columns=4)


def unlike_steps(comparison: Comparison) -> str:
    """Say which systems of as many steps as the baseline had their gradients clipped unlike it."""
    steps = [(system.name, _clipped(system.folders)) for system in comparison.systems]
    (baseline, of_base), *others = steps
    far = [
        f"{name} {share:.0f} %"
        for name, (updates, share) in others
        if updates == of_base.updates and abs(share - of_base.share) > CLIPPED_UNLIKE  # nan: no
    ]
    if not far:
        return ""
    return (
        f"**Unlike steps.** Gradients were clipped in {of_base.share:.0f} % of {baseline}'s steps, "
        f"but: {', '.join(far)}. Clipping moves error rates by itself: compare with a system whose "
        "loss is as large, or clip none."
    )


class _Steps(NamedTuple):
    updates: float
    share: float  # of them that were clipped, in %; nan where a training has no record of it


def _clipped(folders: Sequence[Path]) -> _Steps:
    runs = [read_training_run(folder) for folder in folders]
    shares = [nan if run.clipped is None else run.clipped for run in runs]
    return _Steps(fmean(run.updates or nan for run in runs), fmean(shares))


def skipped_updates(comparison: Comparison) -> str:
    """Name the trainings that lost updates to gradients that were not finite."""
    lines = []
    for folder in (folder for system in comparison.systems for folder in system.folders):
        run = read_training_run(folder)
        if run.updates and run.skipped_updates:
            share = 100 * run.skipped_updates / run.updates
            of = f"{run.skipped_updates} of {run.updates}"
            lines.append(f"- `{folder}`: {share:.2g} % of updates skipped (not finite), {of}")
    return "\n".join(lines)


def _duration(run: TrainingRun) -> str:
    if run.wall_time_s is None:
        return NOT_RECORDED
    minutes, seconds = divmod(round(run.wall_time_s), 60)
    hours, minutes = divmod(minutes, 60)
    unfinished = " (unfinished)" if run.finished is False else ""
    return f"{hours}:{minutes:02d}:{seconds:02d}{unfinished}"
