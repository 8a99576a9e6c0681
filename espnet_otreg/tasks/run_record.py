"""`run.json` beside a trained model: what was run, for how long and on what, for the results."""

import argparse
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from espnet_otreg.compat import espnet_version
from espnet_otreg.files import read_json, write_json


@contextmanager
def recording(args: argparse.Namespace) -> Iterator[None]:
    """Time the body; a resumed training adds to the time of the runs before."""
    path = Path(args.output_dir) / "run.json"
    rank = args.dist_rank if args.dist_rank is not None else int(os.environ.get("RANK", 0))
    trains = rank == 0 and not args.collect_stats and not args.dry_run
    started, clock = time.strftime("%Y-%m-%d %H:%M:%S"), time.monotonic()
    ended = False
    try:
        yield
        ended = True
    finally:
        if trains and Path(args.output_dir).is_dir():
            earlier = read_json(path) if args.resume and path.exists() else {}
            write_json(
                path,
                {
                    "command": shlex.join(["python", *sys.orig_argv[1:]]),
                    "started": earlier.get("started", started),
                    "wall_time_s": earlier.get("wall_time_s", 0) + time.monotonic() - clock,
                    "finished": ended,
                    "device": device_name(args.ngpu),
                    "seed": args.seed,
                    "espnet": espnet_version(),
                    "torch": torch.__version__,
                },
            )


def device_name(ngpu: int) -> str:
    """Name the GPUs, or the processor and the threads used."""
    if ngpu > 0:
        return f"{ngpu} x {torch.cuda.get_device_name()}"
    processes = int(os.environ.get("WORLD_SIZE", 1))
    return f"CPU {platform.machine()}, {processes} x {torch.get_num_threads()} threads"
