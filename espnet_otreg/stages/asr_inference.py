"""Decode as `espnet2.bin.asr_inference` does, with this package's models among the choices.

Of the files it opens tensors alone are read, so that nothing in a checkpoint is run.
"""

import argparse
from collections.abc import Sequence

from espnet2.bin import asr_inference

import espnet_otreg.tasks.asr  # noqa: F401  (registers)
from espnet_otreg.weights import tensors_only


def get_parser() -> argparse.ArgumentParser:
    """ESPnet's own options, all of them."""
    return asr_inference.get_parser()


def main(cmd: Sequence[str] | None = None) -> None:
    """Decode; all options are ESPnet's, but that packs are opened elsewhere."""
    parser = get_parser()
    if parser.parse_args(cmd).model_tag is not None:
        parser.error(
            "--model_tag opens a pack as ESPnet does, which runs what is in it: use "
            "espnet_otreg.decode.speech2text.Speech2Text.from_pretrained, which runs nothing"
        )
    with tensors_only():
        asr_inference.main(cmd=cmd)


if __name__ == "__main__":
    main()
