"""ESPnet's trainer, whose files a kill cannot hurt and whose end says whether it was one."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from espnet2.train.reporter import Reporter
from espnet2.train.trainer import Trainer

from espnet_otreg.errors import UserError
from espnet_otreg.tasks.checkpoints import (
    PREVIOUS,
    find_resume_point,
    move_resume_point,
    remove_parts,
    save_beside,
    saving_whole,
)
from espnet_otreg.tasks.run_record import Record

NO_UPDATE = "epoch {epoch} had no update: fewer batches than accum_grad, or no batch at all"
NOTHING_FINITE = (
    "no step of epoch {epoch} had a finite gradient ({updates} tried): lower the learning rate or "
    "the weight of a loss term, raise epsilon, or train in float32"
)


class WholeTrainer(Trainer):
    """ESPnet's trainer; what it computes is ESPnet's, every bit.

    Like its base it has class methods alone: the attributes below belong to the running training.
    """

    record: Record | None = None  # where the counts go; set by the task
    _options: Any = None
    _follows = False  # the resume point in the folder is of this training
    _epoch = 0  # the last one that ended
    _failure: str | None = None

    @classmethod
    def run(cls, **given: Any) -> None:  # type: ignore[override]
        """Train; an end before the last epoch is an error, unless it is early stopping."""
        options = given["trainer_options"]
        folder = Path(options.output_dir)
        cls._options, cls._follows, cls._epoch, cls._failure = options, False, 0, None
        if _is_first():
            remove_parts(folder)
        try:
            with saving_whole(folder):
                super().run(**given)
            if cls._failure is not None:
                raise UserError(cls._failure)
            if cls._epoch < options.max_epoch and options.patience is None:
                raise UserError(f"training ended at epoch {cls._epoch} of {options.max_epoch}")
        except BaseException:
            if _is_first():
                remove_parts(folder)  # the same command tries this epoch again
            raise
        cls._keep()
        if _is_first():
            (folder / PREVIOUS).unlink(missing_ok=True)  # a training that is over needs one

    @classmethod
    def resume(cls, checkpoint: Path, reporter: Reporter, **given: Any) -> None:  # type: ignore[override]
        """Go on from the newest resume point that is whole."""
        checkpoint = find_resume_point(Path(checkpoint).parent)
        super().resume(checkpoint=checkpoint, reporter=reporter, **given)
        options = cls._options
        cls._follows, cls._epoch = True, reporter.get_epoch()
        _mend(checkpoint, reporter, options.best_model_criterion, options.keep_nbest_models)
        criterion = options.early_stopping_criterion
        patient = options.patience is not None and reporter.has(*criterion[:2])
        if patient and reporter.check_early_stopping(options.patience, *criterion):
            options.max_epoch = reporter.get_epoch()  # or one epoch more would be trained

    @classmethod
    def train_one_epoch(cls, **given: Any) -> bool:  # type: ignore[override]
        """Train as ESPnet does; the epoch before is complete when the next one begins."""
        cls._keep()
        reporter = given["reporter"]
        nothing_finite = super().train_one_epoch(**given)
        tried, taken = (_registered(reporter.stats, key) for key in ("train_time", "grad_norm"))
        cls._epoch = reporter.get_epoch()
        if nothing_finite:
            failure = NOTHING_FINITE if tried else NO_UPDATE
            cls._failure = failure.format(epoch=cls._epoch, updates=tried)
        if cls.record is not None:
            clipped = sum(value.value > 0 for value in reporter.stats.get("clip", ()))
            cls.record.note_epoch(cls._epoch, tried, tried - taken, clipped)
        return nothing_finite

    @classmethod
    def _keep(cls) -> None:
        """Let the last epoch count, now that all its files are there."""
        if _is_first():
            moved = move_resume_point(Path(cls._options.output_dir), keep_previous=cls._follows)
            cls._follows = cls._follows or moved


def _is_first() -> bool:
    """Tell whether this process is the one that writes."""
    distributed = torch.distributed
    ranks = distributed.is_available() and distributed.is_initialized()
    return not ranks or distributed.get_rank() == 0


def _registered(stats: Any, key: str) -> int:
    """Count the steps of an epoch in which a value was reported; the others are filled with nan."""
    return sum(value.value == value.value for value in stats.get(key, ()))


def _mend(
    checkpoint: Path, reporter: Reporter, criteria: Sequence[Sequence[str]], keep: int | list[int]
) -> None:
    """Make up for models of epochs that are missing: the averages at the end would read them."""
    best = max([keep] if isinstance(keep, int) else keep)
    needed = {
        epoch
        for phase, name, mode in criteria
        if reporter.has(phase, name)
        for epoch in reporter.sort_epochs(phase, name, mode)[:best]
    }
    folder, last = checkpoint.parent, reporter.get_epoch()
    if last in needed and not (folder / f"{last}epoch.pth").exists() and _is_first():
        logging.warning("%depoch.pth is missing: made again from %s", last, checkpoint.name)
        _write_again(checkpoint, folder / f"{last}epoch.pth")
    lost = [e for e in reporter.stats if e != last and not (folder / f"{e}epoch.pth").exists()]
    missing = sorted(needed.intersection(lost))
    if missing:
        logging.warning(
            "%s: %s missing: left out of the best models and of their average",
            *(folder, ", ".join(f"{epoch}epoch.pth" for epoch in missing)),
        )
        for epoch in lost:  # those of lower rank, removed long ago, would take their place
            del reporter.stats[epoch]


def _write_again(checkpoint: Path, path: Path) -> None:
    states = torch.load(checkpoint, map_location="cpu", weights_only=False)
    save_beside(torch.save, states["model"], path).replace(path)
