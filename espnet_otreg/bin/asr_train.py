"""Train as `espnet2.bin.asr_train` does, with this package's models among the choices."""

import argparse
import logging
import sys
from collections.abc import Sequence

from espnet_otreg.errors import UserError
from espnet_otreg.tasks.asr import ASRTask


def get_parser() -> argparse.ArgumentParser:
    """ESPnet's own options, all of them."""
    return ASRTask.get_parser()


def main(cmd: Sequence[str] | None = None) -> None:
    """Train; `--config conf/mini/train_otreg.yaml` and the rest are ESPnet's options."""
    try:
        ASRTask.main(cmd=cmd)
    except UserError as error:
        logging.error(error)
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
