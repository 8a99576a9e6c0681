"""`run.json` beside a trained model: what was run, for how long and on what, and if it ended."""

import argparse
import logging
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from espnet_otreg.files import read_json, write_json

RUN_JSON = "run.json"
STOPPED = "it was interrupted, or is still running"  # what a record says until its end


class TrainingState(NamedTuple):
    """Whether a training is over; if not, why."""

    finished: bool
    reason: str = ""


class Record:
    """The `run.json` of a training; a resumed one adds to the runs before."""

    def __init__(self, args: argparse.Namespace) -> None:
        import torch  # slow to import, and decoding reads records too

        from espnet_otreg.compat import espnet_version

        self.path = Path(args.output_dir) / RUN_JSON
        self.clock = time.monotonic()
        earlier: dict[str, Any] = {}
        if args.resume and self.path.exists():
            earlier = read_json(self.path)
        self.before: float = earlier.get("wall_time_s", 0)
        self.content: dict[str, Any] = {
            "command": shlex.join(["python", *sys.orig_argv[1:]]),
            "started": earlier.get("started", time.strftime("%Y-%m-%d %H:%M:%S")),
            "wall_time_s": self.before,
            "finished": False,
            "reason": STOPPED,
            "max_epoch": getattr(args, "max_epoch", None),
            "updates": earlier.get("updates", 0),
            "skipped_updates": earlier.get("skipped_updates", 0),
            "clipped_updates": earlier.get("clipped_updates"),  # None: not known of all
            "epochs": earlier.get("epochs", {}),  # epoch -> updates tried, skipped, clipped of them
            "device": device_name(args.ngpu),
            "seed": args.seed,
            "espnet": espnet_version(),
            "torch": torch.__version__,
        }

    def note_epoch(
        self, epoch: int, updates: int, skipped: int, clipped: int | None = None
    ) -> None:
        """Note an epoch's updates, those skipped for want of a finite gradient, those clipped."""
        counts = self.content["epochs"]
        kept = {key: value for key, value in counts.items() if int(key) < epoch}  # one redone
        kept[str(epoch)] = [updates, skipped, *(() if clipped is None else (clipped,))]
        self.content["epochs"] = kept
        self.content["updates"] = sum(tried for tried, *_ in kept.values())
        self.content["skipped_updates"] = sum(skips for _, skips, *_ in kept.values())
        known = all(len(each) > 2 for each in kept.values())  # not by ESPnet3 or earlier versions
        self.content["clipped_updates"] = sum(c[2] for c in kept.values()) if known else None
        self.write()

    def write(self) -> None:
        """Write what is known now."""
        self.content["wall_time_s"] = self.before + time.monotonic() - self.clock
        write_json(self.path, self.content)


@contextmanager
def recording(args: argparse.Namespace) -> Iterator[Record | None]:
    """Keep the record of the body, a training; None where this process keeps none."""
    rank = args.dist_rank if args.dist_rank is not None else int(os.environ.get("RANK", 0))
    if rank != 0 or args.collect_stats or args.dry_run:
        yield None
        return
    record = Record(args)
    if record.path.exists():  # from now on the model in this folder is not the one recorded
        record.write()
    try:
        yield record
    except BaseException as error:
        record.content["reason"] = " ".join(str(error).split()) or type(error).__name__
        if record.path.parent.is_dir():
            try:
                record.write()
            except OSError as second:  # the disk that is full is the news, not this
                logging.warning("%s was not written: %s", record.path, second)
        raise
    record.content.update(finished=True, reason="")
    record.write()


def training_state(folder: Path) -> TrainingState:
    """Tell whether the training of an experiment folder is over.

    Folders of before the record had a reason have `.done` or no trace of a training at all (a
    model from elsewhere).
    """
    path = folder / RUN_JSON
    if path.is_file():
        content = read_json(path)
        if content.get("finished") is True:
            return TrainingState(True)
        return TrainingState(False, _reason(content))
    if (folder / ".done").exists() or not (folder / "checkpoint.pth").exists():
        return TrainingState(True)
    return TrainingState(False, f"{folder} has a checkpoint, but neither {RUN_JSON} nor .done")


def _reason(content: dict[str, Any]) -> str:
    reason = content.get("reason") or STOPPED
    epochs, of = content.get("epochs") or {}, content.get("max_epoch")
    return reason if of is None else f"{reason} (epoch {len(epochs)} of {of})"


def device_name(ngpu: int) -> str:
    """Name the GPUs, or the processor and the threads used."""
    import torch

    if ngpu > 0:
        return f"{ngpu} x {torch.cuda.get_device_name()}"
    processes = int(os.environ.get("WORLD_SIZE", 1))
    return f"CPU {platform.machine()}, {processes} x {torch.get_num_threads()} threads"
