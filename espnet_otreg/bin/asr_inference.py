"""Decode as `espnet2.bin.asr_inference` does, with this package's models among the choices."""

import argparse
from collections.abc import Sequence

from espnet2.bin import asr_inference

import espnet_otreg.tasks.asr  # noqa: F401  (registers)


def get_parser() -> argparse.ArgumentParser:
    """ESPnet's own options, all of them."""
    return asr_inference.get_parser()


def main(cmd: Sequence[str] | None = None) -> None:
    """Decode; all options are ESPnet's."""
    asr_inference.main(cmd=cmd)


if __name__ == "__main__":
    main()
