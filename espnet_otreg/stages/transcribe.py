"""Write down recordings with any model of this package, or of stock ESPnet, with word times.

    espnet-otreg transcribe packed.zip speech.wav
    espnet-otreg transcribe exp/asr_train_otreg_seed1_... folder/ --format srt --output texts
    espnet-otreg transcribe packed.zip --microphone

MODEL is a pack, the folder of a training, or a hub name. Folders are searched at any depth. Long
recordings are cut in pauses. With --output, finished recordings are written as they come, and the
same command again goes on from there; without it, all goes to standard output.
"""

import argparse
import logging
import tempfile
import warnings
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espnet_otreg.errors import UserError
from espnet_otreg.files import printing_to_stderr
from espnet_otreg.progress import progress
from espnet_otreg.stages.command import run

if TYPE_CHECKING:
    from espnet_otreg.transcribe.microphone import Microphone
    from espnet_otreg.transcribe.opening import Asked
    from espnet_otreg.transcribe.recordings import Recording

KINDS = ("txt", "jsonl", "srt", "ctm", "textgrid")
ALONE = ("srt", "textgrid")  # of which one cannot follow another on standard output


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model(parser)
    parser.add_argument("inputs", nargs="*", metavar="RECORDING", help="files, folders of files")
    parser.add_argument(
        "--microphone",
        action="store_true",
        help="in place of recordings: record now, until Enter; kept as a file in --output alone",
    )
    parser.add_argument("--seconds", type=float, help="after which that ends too")
    parser.add_argument("--language", help="code such as fr, for models whose prompt names it")
    parser.add_argument(
        "--format", choices=KINDS, default="txt", help="what to write (default: %(default)s)"
    )
    parser.add_argument("--output", type=Path, help="folder (default: standard output)")
    parser.add_argument(
        "--longest",
        type=float,
        default=20.0,
        help="seconds from which on a recording is cut in its pauses (default: %(default)g)",
    )
    parser.add_argument(
        "--exact",
        action="store_true",
        help="decode as the pack's results were: for CTC/attention models by ESPnet's beam search, "
        "which is slow (default: by the CTC branch where there is one)",
    )
    add_search(parser)
    parser.add_argument(
        "--batch_size",
        type=int,
        help="stretches at a time (default: as many as change no answer: 1 for encoders that see "
        "their neighbours' padding)",
    )
    return parser


def add_model(parser: argparse.ArgumentParser) -> None:
    """Describe the model, and how it is opened."""
    parser.add_argument("model", metavar="MODEL", help="pack, folder of a training, or user/name")
    parser.add_argument(
        "--model_file", help="checkpoint in the folder of a training (default: its best)"
    )
    parser.add_argument("--encoder", help="folder of the base model that a pack lacks")
    parser.add_argument("--decoder", help="the same of its language model")
    parser.add_argument("--ngpu", type=int, default=0, help="1: on the GPU")
    parser.add_argument(
        "--trust_remote_code", action="store_true", help="run code that comes with a base model"
    )


def add_search(parser: argparse.ArgumentParser) -> None:
    """Describe how the model searches for its text; what is not given is the pack's."""
    parser.add_argument("--beam_size", type=int, help="of the search (default: the pack's)")
    parser.add_argument(
        "--ctc_weight", type=float, help="share of CTC in the search (default: the pack's)"
    )
    parser.add_argument(
        "--max_new_tokens",
        type=int,
        help="longest answer of a speech language model (default: the pack's, or 200)",
    )


def search_options(args: argparse.Namespace) -> dict[str, int | float]:
    """Return what of them was given."""
    given = {name: getattr(args, name) for name in ("beam_size", "ctc_weight", "max_new_tokens")}
    options = {name: value for name, value in given.items() if value is not None}
    for name, value in options.items():
        if name == "ctc_weight" and not 0 <= value <= 1:
            raise UserError(f"--ctc_weight must be from 0 to 1, got {value:g}")
        if name != "ctc_weight" and value < 1:
            raise UserError(f"--{name} must be 1 or more, got {value}")
    return options


def asked(args: argparse.Namespace, **further: Any) -> "Asked":
    """Say how the model is to be opened."""
    from espnet_otreg.transcribe.opening import Asked

    bases = {part: getattr(args, part) for part in ("encoder", "decoder")}
    return Asked(
        model=args.model,
        model_file=args.model_file,
        device="cuda" if args.ngpu else "cpu",
        trust_remote_code=args.trust_remote_code,
        bases={part: name for part, name in bases.items() if name is not None},
        **further,
    )


def main(cmd: Sequence[str] | None = None) -> None:
    """Transcribe."""
    warnings.filterwarnings("ignore", category=FutureWarning)  # of torch, to ESPnet
    args = get_parser().parse_intermixed_args(cmd)  # recordings may stand behind options
    run(lambda: transcribe(args))


def transcribe(args: argparse.Namespace) -> None:
    """Write down what the arguments name."""
    options = search_options(args)
    for name in ("longest", "batch_size", "seconds"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} must be 1 or more, got {value:g}")
    source = sound(args)  # what is missing there is told before the model loads
    with printing_to_stderr():  # some of ESPnet's modules print while they load
        from espnet_otreg.transcribe import running
        from espnet_otreg.transcribe.opening import open_model

    recogniser, stamp = open_model(asked(args, exact=args.exact, options=options))
    recogniser.check(args.language)
    further = {"longest": args.longest, "batch_size": args.batch_size}
    if args.output is None:
        with tempfile.TemporaryDirectory() as folder:
            recordings = listen(source, Path(folder))
            outcomes = running.transcribe(recogniser, recordings, args.language, **further)
            print_all(outcomes, args.format, len(recordings))
        return

    from espnet_otreg.transcribe.outputs import Outputs

    settings = {"model": stamp, "language": args.language, "exact": args.exact, **options}
    with Outputs(args.output, args.format, {**settings, "longest": args.longest}) as outputs:
        recordings = listen(source, args.output)
        left = outputs.left(recordings)
        outcomes = running.transcribe(recogniser, left, args.language, **further)
        write_all(outcomes, outputs, len(left), len(recordings))


def sound(args: argparse.Namespace) -> "Microphone | list[Recording]":
    """Find what is to be written down: files, or a microphone."""
    from espnet_otreg.transcribe.recordings import find

    if args.microphone == bool(args.inputs):
        raise UserError("give recordings, folders of them, or --microphone, and not both")
    if args.microphone:
        from espnet_otreg.transcribe.microphone import Microphone

        return Microphone(args.seconds)
    if args.seconds is not None:
        raise UserError("--seconds is for --microphone: leave it out, recordings are read whole")
    found = find(args.inputs)
    if found.others:
        logging.warning("%d files in folders are no recordings by their names", found.others)
    if args.output is None and args.format in ALONE and len(found.recordings) > 1:
        raise UserError(
            f"--format {args.format} of {len(found.recordings)} recordings needs --output, a folder"
        )
    return found.recordings


def listen(source: "Microphone | list[Recording]", folder: Path) -> "list[Recording]":
    """Return the recordings; a microphone's is made now, after those that the folder has of it."""
    from espnet_otreg.transcribe.recordings import Recording

    if isinstance(source, list):
        return source
    name = f"microphone_{datetime.now():%Y%m%d_%H%M%S}"
    source.record(folder / f"{name}.wav")
    return [Recording(path, path.stem) for path in sorted(folder.glob("microphone_*.wav"))]


def print_all(outcomes: Any, kind: str, count: int) -> None:
    """Write transcripts to standard output as they come."""
    from espnet_otreg.transcribe import Transcript
    from espnet_otreg.transcribe.formats import FORMATS

    rejected = []
    for recording, outcome in outcomes:
        if isinstance(outcome, Transcript):
            named = f"{recording.name}\t" if kind == "txt" and count > 1 else ""
            print(named + FORMATS[kind].render(recording.name, outcome), end="", flush=True)
            tell_guessed([outcome.guessed])
        else:
            rejected.append((recording, outcome))
    tell_rejected(rejected, count, "are listed above")


def write_all(outcomes: Any, outputs: Any, left: int, count: int) -> None:
    """Write transcripts into a folder as they come."""
    from espnet_otreg.transcribe import Transcript

    guessed = []
    with progress("transcribed", "file", count, initial=count - left) as bar:
        for recording, outcome in outcomes:
            if isinstance(outcome, Transcript):
                outputs.write(recording, outcome)
                guessed.append(outcome.guessed)
            else:
                outputs.reject(recording, outcome)
            bar.update()
    tell_guessed(guessed)
    logging.info("%d recordings in %s", count - len(outputs.rejected), outputs.folder)
    tell_rejected(outputs.rejected, count, f"are listed in {outputs.folder / 'rejected.tsv'}")


def tell_guessed(reasons: Sequence[str]) -> None:
    """Say how many recordings have words whose times are no model's."""
    given = [reason for reason in reasons if reason]
    if given:
        logging.warning(
            "in %d of %d recordings words are spread evenly in places, the first since %s",
            *(len(given), len(reasons), given[0]),
        )


def tell_rejected(rejected: "Sequence[tuple[Recording, str]]", count: int, where: str) -> None:
    """Say what could not be used; if that is all, it is an error."""
    for recording, reason in rejected[:10]:
        logging.warning("rejected %s: %s", recording.path, reason)
    if rejected and len(rejected) == count:
        raise UserError(f"none of {count} could be used, the first since {rejected[0][1]}")
    if rejected:
        logging.warning("%d of %d were rejected and %s", len(rejected), count, where)


if __name__ == "__main__":
    main()
