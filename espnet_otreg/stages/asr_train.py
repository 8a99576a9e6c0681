"""Train as `espnet2.bin.asr_train` does, with this package's models among the choices.

Whatever ends a training early is told in one line that begins with `error: `; under torchrun the
first process that failed tells it.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from espnet_otreg.errors import UserError
from espnet_otreg.tasks.arguments import check_arguments
from espnet_otreg.tasks.asr import ASRTask
from espnet_otreg.tasks.causes import stop


def get_parser() -> argparse.ArgumentParser:
    """ESPnet's own options, all of them."""
    return ASRTask.get_parser()


def main(cmd: Sequence[str] | None = None) -> None:
    """Train; `--config conf/mini/train_otreg.yaml` and the rest are ESPnet's options."""
    parser = get_parser()
    parser.error = _refuse  # type: ignore[method-assign]  # argparse would print 300 lines of usage
    args = None
    try:
        args = parser.parse_args(cmd)
        if not args.print_config:
            check_arguments(parser, args)
        ASRTask.main(args=args)
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command goes on after the last finished epoch")
    except Exception as error:
        stop(error, args)


def _refuse(message: str) -> NoReturn:
    raise UserError(f"{message} (--help lists the options)")


if __name__ == "__main__":
    main()
