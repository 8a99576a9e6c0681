"""A bounded pool of processes: few tasks wait at a time, and a failure stops all of them."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

from espnet_otreg.errors import UserError

Job = TypeVar("Job")
Argument = TypeVar("Argument")
Result = TypeVar("Result")

BATCH = 16  # small enough that an interruption loses little, large enough to cost no overhead
AHEAD = 4  # batches waiting per worker: bounds memory whatever the number of jobs


def map_batches(
    function: Callable[[Sequence[Job], Argument], list[Result]],
    jobs: Iterable[Job],
    argument: Argument,
    nj: int,
) -> Iterator[list[Result]]:
    """Yield `function(batch, argument)` in order; with one job everything stays in this process."""
    batches = _batches(jobs)
    if nj == 1:
        for batch in batches:
            yield function(batch, argument)
        return
    # spawn: forking a process that has threads (progress bars, torch) can hang
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(nj, mp_context=context, initializer=_start_worker)
    waiting: deque[Future[list[Result]]] = deque()
    try:
        for batch in batches:
            waiting.append(pool.submit(function, batch, argument))
            if len(waiting) >= nj * AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process died: too little memory for so many of them, or a file that crashes "
            "the decoder. Run again with --nj 1 to see which."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _batches(jobs: Iterable[Job]) -> Iterator[list[Job]]:
    remaining = iter(jobs)
    while batch := list(islice(remaining, BATCH)):
        yield batch


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
