"""Stage 12: decode several test sets with one model, spread over processes, resumable.

All sets are decoded together, since a process spends ten seconds on imports before its first
utterance. Each process is `asr_inference` (beam search), `ctc_inference` (greedy), `slm_inference`
or `whisper_inference` on a part of the utterances; a finished part is kept, so that an interrupted
run goes on, unless the model file has changed since. Results land in `<output>/<set>/text`, and
what they took in `timing.json` beside it. A model whose training is not over is refused.
"""

import argparse
import hashlib
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, read_table, write_json, write_lines
from espnet_otreg.pretrained.feature_cache import features_of
from espnet_otreg.progress import progress
from espnet_otreg.recipe.running import die_with_parent
from espnet_otreg.scoring.timing import (
    FRAMES,
    RECORDINGS,
    SECONDS_TABLE,
    record_timing,
    write_conditions,
)
from espnet_otreg.stages.command import run
from espnet_otreg.tasks.run_record import training_state

TABLES = ("text", "token", "token_int", "score", "shortening")
_LOG_END = 4096  # bytes of a log that are read for its last word on progress


def get_parser() -> argparse.ArgumentParser:
    """Options of stage 12."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--asr_exp",
        required=True,
        help="experiment folder with config.yaml; for whisper the model's folder or hub name",
    )
    parser.add_argument("--model_file", default="valid.acc.ave.pth", help="file in that folder")
    parser.add_argument(
        "--method",
        choices=["beam", "ctc_greedy", "slm", "whisper"],
        default="beam",
        help="beam: stock ESPnet's joint search; ctc_greedy: the CTC branch alone; slm: a speech "
        "language model; whisper: a pretrained Whisper as it came",
    )
    parser.add_argument("--config", help="decoding YAML, for the beam search")
    parser.add_argument("--sets", nargs="+", required=True, help="data directories to decode")
    parser.add_argument("--output", required=True, help="folder; a subfolder per set")
    parser.add_argument("--nj", type=int, default=2, help="processes")
    parser.add_argument("--ngpu", type=int, default=0, help="1: every process uses the GPU")
    parser.add_argument(
        "--lm", help="masked language model whose pieces are the tokens: `text` gets sentences"
    )
    parser.add_argument(
        "--features",
        type=Path,
        nargs="+",
        help="frames of the frozen encoder, to be read instead of recordings: a folder with "
        "feats.scp for each of --sets, or one folder that holds them all by name",
    )
    parser.add_argument(
        "--allow_unfinished",
        choices=["true", "false"],
        default="false",
        help="true: decode a model whose training goes on or has failed, to have a look",
    )
    parser.add_argument(
        "--arguments", default="", help="further options of asr_inference, as one string"
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Decode and collect."""
    args = get_parser().parse_args(cmd)
    run(lambda: decode_sets(args))


def decode_sets(args: argparse.Namespace) -> None:
    """Split, decode in parallel with one line of progress, merge by set."""
    output = Path(args.output)
    model = _whisper(args) if args.method == "whisper" else _trained(args)
    audio: dict[str, str] = {}
    languages: dict[str, str] = {}
    sets = [Path(folder) for folder in args.sets]
    for folder, cached in zip(sets, features_of(args.features, sets), strict=True):
        table = read_table(cached / "feats.scp" if cached else folder / "wav.scp")
        twice = sorted(audio.keys() & table.keys())
        if twice:
            raise UserError(f"{len(twice)} utterances are in two sets, first {twice[0]}")
        audio |= table
        if args.method in ("slm", "whisper"):
            languages |= read_table(folder / "utt2lang")
    work = output / "parts"
    _forget_other_model(work, model)
    write_lines(work / "wav.scp", [f"{utt} {path}" for utt, path in sorted(audio.items())])
    if languages:
        write_lines(work / "utt2lang", [f"{utt} {code}" for utt, code in languages.items()])
    utterances = sorted(audio)
    parts = [utterances[i :: args.nj] for i in range(min(args.nj, len(utterances)))]
    folders = [_prepare(work, i, part) for i, part in enumerate(parts)]
    for folder in folders:
        if not _finished(folder):
            for name in (*TABLES, SECONDS_TABLE):
                (folder / "1best_recog" / name).unlink(missing_ok=True)
            given = FRAMES if args.features else RECORDINGS
            write_conditions(folder, "cuda" if args.ngpu else "cpu", len(folders), given)
    _run_all([_command(args, work, folder) for folder in folders], folders, len(audio))
    _merge(args, output, folders)


def _trained(args: argparse.Namespace) -> Path:
    """Return the model file of a training that is over."""
    experiment = Path(args.asr_exp)
    if args.method == "beam" and not args.config:
        raise UserError("--method beam needs --config, a decoding YAML such as conf/decode.yaml")
    needs = [experiment / "config.yaml", experiment / args.model_file]
    for needed in [*needs, Path(args.config)] if args.method == "beam" else needs:
        if not needed.exists():
            raise UserError(f"{needed} does not exist: train first (stage 11), or check its name")
    state = training_state(experiment)
    if not state.finished and args.allow_unfinished == "false":
        raise UserError(
            f"the training in {experiment} is not finished: {state.reason}: run it again (stage "
            "11), it goes on where it stopped; --allow_unfinished true decodes what there is"
        )
    return needs[1]


def _whisper(args: argparse.Namespace) -> Path:
    """Return the first file of a pretrained Whisper's weights."""
    from espnet_otreg.pretrained.hf_checkpoint import find  # slow to import
    from espnet_otreg.pretrained.lm_features import weight_files

    if args.features:
        raise UserError("--method whisper hears recordings: leave --features out")
    return weight_files(find(args.asr_exp, False))[0]


def _forget_other_model(work: Path, model: Path) -> None:
    """Remove what another content of the model file decoded; what made the parts is noted there."""
    note = work / "model.json"
    stat = model.stat()
    now: dict[str, Any] = {"file": model.name, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    before = read_json(note) if note.exists() else {}
    if now.items() <= before.items():
        return
    with open(model, "rb") as stream:
        now["sha256"] = hashlib.file_digest(stream, "sha256").hexdigest()
    if now["sha256"] != before.get("sha256"):
        stale = [found for found in work.glob("*/1best_recog/*") if found.is_file()]
        if stale:
            logging.warning("decoding anew: %s is not the file that decoded %s", model, work)
        for path in stale:
            path.unlink()
    write_json(note, now)


def _prepare(work: Path, number: int, part: list[str]) -> Path:
    """Write a part's keys; an older result for other keys is not taken for this one's."""
    folder = work / str(number)
    keys = folder / "keys"
    if not keys.exists() or keys.read_text().split() != part:
        for old in ("text", SECONDS_TABLE):
            (folder / "1best_recog" / old).unlink(missing_ok=True)
        write_lines(keys, part)
    return folder


def _command(args: argparse.Namespace, work: Path, folder: Path) -> list[str]:
    wav_scp = work / "wav.scp"
    if args.method == "beam":
        data = f"{wav_scp},speech,{'npy' if args.features else 'sound'}"
        program = ["asr_inference", "--config", args.config, "--batch_size", "1"]
        program += ["--data_path_and_name_and_type", data]
    elif args.method == "slm":
        program = ["slm_inference", "--wav_scp", str(wav_scp)]
        program += ["--utt2lang", str(work / "utt2lang")]
    elif args.method == "whisper":
        program = ["whisper_inference", "--wav_scp", str(wav_scp), "--model", args.asr_exp]
        program += ["--utt2lang", str(work / "utt2lang")]
    else:
        program = ["ctc_inference", "--wav_scp", str(wav_scp)]
    if args.method != "whisper":
        program += ["--asr_train_config", str(Path(args.asr_exp) / "config.yaml")]
        program += ["--asr_model_file", str(Path(args.asr_exp) / args.model_file)]
    return [
        *(sys.executable, "-m", f"espnet_otreg.stages.{program[0]}", *program[1:]),
        *("--key_file", str(folder / "keys"), "--output_dir", str(folder)),
        *("--ngpu", str(args.ngpu), *args.arguments.split()),
    ]


def _run_all(commands: list[list[str]], folders: list[Path], total: int) -> None:
    """Run the parts that are not finished; the first failure stops the others."""
    threads = max(1, (os.cpu_count() or 1) // max(1, len(commands)))
    if (asked := os.environ.get("OMP_NUM_THREADS", "")).isdecimal():
        threads = min(threads, max(1, int(asked)))  # a user may ask for fewer
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    running: dict[Path, subprocess.Popen] = {}
    try:
        for command, folder in zip(commands, folders, strict=True):
            if _finished(folder):
                continue
            with open(folder / "log", "w", encoding="utf-8") as log:
                running[folder] = subprocess.Popen(
                    command,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    preexec_fn=die_with_parent,  # or a second run would decode beside it
                )
        there = sum(map(decoded_so_far, folders))
        with progress("decoding", "utt", total, initial=there) as bar:
            while any(process.poll() is None for process in running.values()):
                bar.update(sum(map(decoded_so_far, folders)) - bar.n)
                for folder, process in running.items():
                    if process.poll():
                        raise UserError(f"decoding failed: {_tail(folder / 'log')}")
                time.sleep(0.5)
            bar.update(sum(map(decoded_so_far, folders)) - bar.n)
    finally:
        for process in running.values():
            process.terminate()
    for folder in folders:
        if not _finished(folder):
            raise UserError(f"decoding ended without a result for all: {_tail(folder / 'log')}")


def _finished(folder: Path) -> bool:
    """Tell whether no table lacks a line: a kill may have cut those of a beam search short."""
    wanted = len((folder / "keys").read_text().split())
    tables = [name for name in TABLES if (folder / "1best_recog" / name).exists()]
    return "text" in tables and all(_decoded(folder, name) == wanted for name in tables)


def _decoded(folder: Path, table: str = "text") -> int:
    """Count whole lines."""
    path = folder / "1best_recog" / table
    return path.read_bytes().count(b"\n") if path.exists() else 0


def decoded_so_far(folder: Path) -> int:
    """Count a part's utterances: in its table, or, before there is one, what its log says."""
    log = folder / "log"
    written = _decoded(folder)
    if written or not log.exists():
        return written
    with open(log, "rb") as stream:
        stream.seek(max(0, log.stat().st_size - _LOG_END))
        told = re.findall(rb"decoded (\d+) of \d+\r", stream.read())
    return int(told[-1]) if told else 0


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"see {log}, which ends\n" + "\n".join(lines[-5:])


def _merge(args: argparse.Namespace, output: Path, folders: list[Path]) -> None:
    """Sort the parts' tables into one folder per set."""
    for name in TABLES:
        rows = dict(_rows(folders, name))
        if args.lm and name == "text":
            from espnet_otreg.pretrained.masked_lm import LMTokenizer  # slow to import

            join = LMTokenizer(args.lm).join
            rows = {utt: join(pieces.split()) for utt, pieces in rows.items()}
        for folder in map(Path, args.sets):
            found = [f"{utt} {rows[utt]}" for utt in read_table(folder / "wav.scp") if utt in rows]
            if found:
                write_lines(output / folder.name / name, found)
    for folder in map(Path, args.sets):
        record_timing(folder, output / folder.name, folders)
    logging.info("results in %s/{%s}", output, ",".join(Path(s).name for s in args.sets))


def _rows(folders: list[Path], name: str) -> Iterator[tuple[str, str]]:
    for folder in folders:
        path = folder / "1best_recog" / name
        if path.exists():
            yield from read_table(path).items()


if __name__ == "__main__":
    main()
