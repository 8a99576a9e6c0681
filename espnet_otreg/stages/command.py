"""What every command shares: logging, and errors told without a traceback."""

import logging
import sys
from collections.abc import Callable, Sequence

from espnet_otreg.commands import shown
from espnet_otreg.errors import UserError

LOG_FORMAT = "%(asctime)s %(name)s %(levelname)s: %(message)s"


def run(command: Callable[[], None]) -> None:
    """Run a command's body: a UserError, a full disk or Ctrl-C becomes one line and exit code 1."""
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT, datefmt="%H:%M:%S")
    try:
        command()
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error} (nothing half-written is kept; mend this and run again)")
    except KeyboardInterrupt:
        sys.exit("interrupted: what is finished is kept; the same command goes on from there")


def command_line(program: str, given: Sequence[str]) -> str:
    """Write a command as pages show it: with paths that do not name folders of this machine."""
    return f"{program} {shown(given)}"
