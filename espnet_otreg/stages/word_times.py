"""Tell when each word is said, by a Whisper that reads the transcripts: word_times.jsonl.

For tables of alignments on speech whose times nobody has measured. What a Whisper tells is no
truth: its boundaries are off by some hundredths of a second. An interrupted run goes on.
"""

import argparse
import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table, write_lines
from espnet_otreg.languages import has_spaces
from espnet_otreg.progress import progress
from espnet_otreg.stages.command import run


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--model", required=True, help="folder or hub name of the Whisper")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="data directories")
    parser.add_argument("--output", type=Path, required=True, help="JSON lines to write")
    parser.add_argument(
        "--quiet",
        type=float,
        default=35.0,
        help="dB below a recording's loudest 20 ms from which on a word's ends are cut off",
    )
    parser.add_argument("--ngpu", type=int, default=0, help="1: on the GPU")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    run(lambda: tell_times(args))


def tell_times(args: argparse.Namespace) -> None:
    """Write a line per utterance; all are looked at before the work begins."""
    from espnet_otreg.decode.whisper_times import TimingWhisper

    spoken = list(_spoken(args.data))
    part = args.output.with_name(f"{args.output.name}.part")
    read = hashlib.sha256(repr(spoken).encode()).hexdigest()
    made = {"model": args.model, "quiet": args.quiet, "read": read}
    done = _done(part, made)
    whisper = TimingWhisper(args.model, "cuda" if args.ngpu else "cpu")
    part.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    with (
        open(part, "a", buffering=1, encoding="utf-8") as stream,
        progress("timing", "utt", len(spoken), initial=len(done)) as bar,
    ):
        if not part.stat().st_size:
            stream.write(json.dumps(made) + "\n")
        for utt, audio, text, language in spoken:
            if utt not in done:
                done[utt] = json.dumps(_row(whisper, utt, audio, text, language, args.quiet))
                stream.write(done[utt] + "\n")
                bar.update(1)
            rows.append(done[utt])
    write_lines(args.output, rows)
    part.unlink()
    logging.info("%d utterances in %s", len(rows), args.output)


def _row(
    whisper: Any, utt: str, audio: str, text: str, language: str | None, quiet: float
) -> dict[str, Any]:
    import soundfile

    words = text.split()
    if language is not None and not has_spaces(language):
        words = list("".join(words))
    spans = whisper.times(audio, words, language, quiet)
    found = soundfile.info(audio)
    said = [
        [word, round(start, 3), round(end, 3)]
        for word, (start, end) in zip(words, spans, strict=True)
    ]
    return {"utt": utt, "samples": found.frames, "rate": found.samplerate, "words": said}


def _spoken(folders: Sequence[Path]) -> Iterator[tuple[str, str, str, str | None]]:
    """Yield utterance, recording, transcript and language of every data directory."""
    seen: set[str] = set()
    for folder in folders:
        audio, texts = read_table(folder / "wav.scp"), read_table(folder / "text")
        codes = read_table(folder / "utt2lang") if (folder / "utt2lang").exists() else {}
        lost = sorted(audio.keys() - texts.keys())
        empty = sorted(utt for utt in audio if not texts.get(utt, "x").strip())
        if lost or empty:
            raise UserError(
                f"{folder}/text: {len(lost) + len(empty)} utterances of wav.scp have no words, "
                f"first {(lost + empty)[0]}"
            )
        if twice := sorted(seen & audio.keys()):
            raise UserError(f"{len(twice)} utterances are in two sets, first {twice[0]}")
        seen |= audio.keys()
        for utt, path in audio.items():
            yield utt, path, texts[utt], codes.get(utt)


def _done(part: Path, made: dict[str, Any]) -> dict[str, str]:
    """Return the lines of a run that was interrupted and was asked for the same."""
    if not part.exists():
        return {}
    lines = part.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line.rstrip("\n") for line in lines if line.endswith("\n")]
    if not whole or json.loads(whole[0]) != made:
        part.unlink()
        return {}
    write_lines(part, whole)  # without the line that a kill cut short
    return {json.loads(line)["utt"]: line for line in whole[1:]}


if __name__ == "__main__":
    main()
