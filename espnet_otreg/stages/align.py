"""Write the word times of a corpus: the text that it comes with, aligned by a trained model.

    espnet-otreg align packed.zip dump/raw/org/covost2_test --format textgrid --output times

The data directory has wav.scp and text, and utt2lang where prompts name the language. The path is
CTC's, or for a speech language model without a CTC branch that of the transport plan of its
adapter's output with the text. Utterances that have no path are listed in rejected.tsv.
"""

import argparse
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_otreg.errors import UserError
from espnet_otreg.files import printing_to_stderr, read_table
from espnet_otreg.stages.command import run
from espnet_otreg.stages.transcribe import add_model, asked, write_all

if TYPE_CHECKING:
    from espnet_otreg.transcribe.running import Told


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model(parser)
    parser.add_argument("data", type=Path, metavar="DATA_DIR", help="with wav.scp and text")
    parser.add_argument(
        "--format",
        choices=["ctm", "textgrid", "jsonl"],
        default="ctm",
        help="what to write: one file for all, or a TextGrid each (default: %(default)s)",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write into")
    parser.add_argument("--language", help="one code for all (default: utt2lang, if it is there)")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Align."""
    warnings.filterwarnings("ignore", category=FutureWarning)  # of torch, to ESPnet
    args = get_parser().parse_args(cmd)
    run(lambda: align(args))


def align(args: argparse.Namespace) -> None:
    """Align every utterance of the data directory that is not done."""
    told = _read(args.data, args.language)

    with printing_to_stderr():  # some of ESPnet's modules print while they load
        from espnet_otreg.transcribe import running
        from espnet_otreg.transcribe.opening import open_model
        from espnet_otreg.transcribe.outputs import Outputs

    recogniser, stamp = open_model(asked(args))
    settings = {"model": stamp, "text": str(args.data.resolve()), "language": args.language}
    with Outputs(args.output, args.format, settings) as outputs:
        left = set(outputs.left([one.recording for one in told]))
        waiting = [one for one in told if one.recording in left]
        write_all(running.align(recogniser, waiting), outputs, len(waiting), len(told))


def _read(data: Path, language: str | None) -> "list[Told]":
    from espnet_otreg.transcribe.recordings import Recording
    from espnet_otreg.transcribe.running import Told

    if (data / "segments").is_file():
        raise UserError(f"{data} has segments: cut the recordings first (stage 3 of the recipe)")
    audio, texts = read_table(data / "wav.scp"), read_table(data / "text")
    lost = [utt for utt in audio if utt not in texts]
    if lost:
        logging.warning("%d utterances of %s have no text, first %s", len(lost), data, lost[0])
    table = data / "utt2lang"
    languages = read_table(table) if language is None and table.is_file() else {}
    return [
        Told(Recording(Path(path), utt), " ".join(texts[utt].split()), languages.get(utt, language))
        for utt, path in audio.items()
        if utt in texts
    ]


if __name__ == "__main__":
    main()
