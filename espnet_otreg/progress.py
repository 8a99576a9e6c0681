"""One way to show progress: a bar in a terminal, now and then a line in a log."""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

IN_TERMINAL, IN_LOG = 0.5, 30.0  # seconds from one sign of life to the next


def progress(desc: str, unit: str, total: int | None = None, **options: Any) -> "tqdm[Any]":
    """Return tqdm's bar; its `initial` and `unit_scale` may be given."""
    from tqdm import tqdm  # here, so that commands start fast

    pause = IN_TERMINAL if sys.stderr.isatty() else IN_LOG
    return tqdm(
        desc=desc, unit=unit, total=total, mininterval=pause, maxinterval=max(pause, 10), **options
    )
