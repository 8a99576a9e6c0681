"""Cache the frames of a frozen speech encoder: one array per utterance, for training.

Writes OUTPUT/feats.scp and OUTPUT/features.json, which says what the frames were made of. An
interrupted run goes on where it stopped, if it is asked for the same; a folder made of anything
else is refused.
"""

import argparse
import json
import logging
import multiprocessing
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from espnet_otreg.corpora.workers import map_batches
from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table, writing
from espnet_otreg.pretrained import feature_cache
from espnet_otreg.progress import progress
from espnet_otreg.stages.command import run

RATE = 16000


class Item(NamedTuple):
    """One utterance and where its array goes."""

    utt: str
    audio: str
    samples: int
    path: Path


class Job(NamedTuple):
    """What every process must know."""

    encoder: str
    conf: str  # JSON, since a process keeps one encoder per Job
    model: str  # its name, for messages
    device: str
    dtype: str


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--config",
        type=Path,
        help="training YAML, with encoder: hf_speech or espnet_speech, or frontend: hf_speech",
    )
    parser.add_argument("--type", help="its `encoder`, in place of --config")
    parser.add_argument("--conf", type=json.loads, help="its `encoder_conf` as JSON, beside --type")
    parser.add_argument(
        "--encoder", help="folder or hub name of the encoder, in place of the configuration's"
    )
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, help="data directories with wav.scp"
    )
    parser.add_argument(
        "--output", type=Path, nargs="+", required=True, help="folder to fill for each of them"
    )
    parser.add_argument(
        "--dtype", choices=("float16", "float32"), default="float16", help="of the arrays on disk"
    )
    parser.add_argument("--batch_size", type=int, default=8, help="utterances at a time")
    parser.add_argument(
        "--device", default="auto", help="auto takes the first GPU if there is one; cpu; cuda:1"
    )
    parser.add_argument("--nj", type=int, default=1, help="processes, each with the encoder loaded")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    run(lambda: cache_frames(args))


def cache_frames(args: argparse.Namespace) -> None:
    """Encode what is not there yet; `features.json` comes last."""
    for option in ("batch_size", "nj"):
        if getattr(args, option) < 1:
            raise UserError(f"--{option} must be 1 or more, not {getattr(args, option)}")
    if len(args.data) != len(args.output):
        raise UserError(
            f"--data and --output go together: {len(args.data)} and {len(args.output)} folders"
        )
    for data, output in zip(args.data, args.output, strict=True):
        with feature_cache.telling_when_full(output):
            _cache(argparse.Namespace(**{**vars(args), "data": data, "output": output}))


def _cache(args: argparse.Namespace) -> None:
    from espnet_otreg.pretrained.bases import file_hash
    from espnet_otreg.pretrained.speech_features import source_of

    encoder, conf = _configured(args)
    source = source_of(encoder, conf)
    items = _items(args.output, args.data / "wav.scp")
    made_of = {
        "encoder": encoder,
        "base": source.base.name,
        "sha256": source.base.sha256,
        "layer": source.layer,
        "options": source.options,
        "dtype": args.dtype,
        "wav_scp": file_hash(args.data / "wav.scp"),
    }
    feature_cache.refuse_strangers(args.output, made_of, "base", "encoder")

    def complete(item: Item, dimension: int) -> bool:
        return feature_cache.is_whole(item.path, dimension, args.dtype)

    if feature_cache.is_done(args.output, items, complete):
        return
    feature_cache.start(args.output, made_of)
    job = Job(
        encoder, json.dumps(conf), source.base.name, feature_cache.device(args.device), args.dtype
    )
    dimension = _encoder(job).output_size()
    todo = [item for item in items if not complete(item, dimension)]
    if todo:
        rows = _rows(job, todo)
        feature_cache.check_room(args.output, rows, len(todo), dimension, args.dtype)
    _encode(job, items, todo, args)
    paths = {item.utt: item.path for item in items}
    feature_cache.finish(args.output, paths, made_of, dimension)


def _configured(args: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Return `encoder` and `encoder_conf`, of a training YAML or as they are given."""
    from espnet_otreg.pretrained.speech_features import NAMES
    from espnet_otreg.yaml_files import read_yaml

    if (args.config is None) == (args.type is None) or (args.config and args.conf is not None):
        raise UserError("expected --config, a training YAML, or --type and --conf, not both")
    if not isinstance(args.conf, dict | None):
        raise UserError(f"--conf: expected a mapping as JSON, got {args.conf!r}")
    kind, conf = args.type, dict(args.conf or {})
    if args.config is not None:
        if not args.config.is_file():
            raise UserError(
                f"{args.config} does not exist: name the YAML that the model is trained with"
            )
        options = read_yaml(args.config)
        part = "frontend" if options.get("frontend") in NAMES else "encoder"
        kind, conf = options.get(part), dict(options.get(f"{part}_conf") or {})
    if kind is None:
        raise UserError(
            f"{args.config} has no encoder: name the YAML that the model is trained with"
        )
    if args.encoder is not None and kind in NAMES:
        conf[NAMES[kind]] = args.encoder
    return kind, conf


def _items(output: Path, wav_scp: Path) -> list[Item]:
    """Number the utterances; all recordings that cannot be used are found before the work."""
    import soundfile

    items, problems = [], []
    for number, (utt, audio) in enumerate(read_table(wav_scp).items()):
        try:
            found = soundfile.info(audio)
        except (soundfile.SoundFileError, OSError) as error:
            problems.append(f"{utt}: {error}")
            continue
        if (found.samplerate, found.channels) != (RATE, 1) or not found.frames:
            got = f"{found.samplerate} Hz, {found.channels} channels, {found.frames} samples"
            problems.append(f"{utt}: {got}")
        path = feature_cache.array_path(output, number)
        items.append(Item(utt, audio, found.frames, path))
    if problems:
        raise UserError(
            f"{wav_scp}: {len(problems)} recordings cannot be used, first {problems[0]}; it must "
            f"name files of one channel and {RATE} Hz, as stage 3 makes them"
        )
    return items


@cache
def _encoder(job: Job) -> Any:
    """Load the encoder, once per process."""
    import torch

    from espnet_otreg.pretrained.speech_features import ENCODERS

    if multiprocessing.parent_process() is not None:
        torch.set_num_threads(1)  # the processes share the cores
    if job.encoder == "espnet_speech":
        import espnet_otreg.tasks.asr  # noqa: F401 - tells ESPnet of our models
    encoder = ENCODERS[job.encoder](input_size=1, **json.loads(job.conf))
    return encoder.eval().requires_grad_(False).to(job.device)


def _frames(batch: Sequence[Item], job: Job) -> list[Any]:
    """Encode a padded batch: an array (T, D) per utterance."""
    import soundfile
    import torch
    from torch.nn.utils.rnn import pad_sequence

    encoder = _encoder(job)
    try:
        clips = [torch.from_numpy(soundfile.read(it.audio, dtype="float32")[0]) for it in batch]
        lengths = torch.tensor([len(clip) for clip in clips], device=job.device)
        with torch.inference_mode():
            speech = pad_sequence(clips, batch_first=True).to(job.device)
            frames, sizes, _ = encoder(speech, lengths)
    except (soundfile.SoundFileError, UserError) as error:
        names = " ".join(item.utt for item in batch)
        raise UserError(f"one of {names}: {error}") from error
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"the memory is too small for {len(batch)} utterances of up to "
            f"{int(lengths.max()) / RATE:.1f} s: lower --batch_size or --nj, or use --device cpu"
        ) from error
    rows = frames.float().cpu().numpy()
    return [row[:size] for row, size in zip(rows, sizes.tolist(), strict=True)]


def _rows(job: Job, todo: Sequence[Item]) -> int:
    """Estimate the frames that are to come, from those of the longest utterance."""
    longest = max(todo, key=lambda item: item.samples)
    per_sample = len(_frames([longest], job)[0]) / longest.samples
    return sum(int(item.samples * per_sample) + 1 for item in todo)


def _write(batches: Sequence[Sequence[Item]], job: Job) -> list[int]:
    """Encode and store batches; return how many utterances each had."""
    for batch in batches:
        for item, array in zip(batch, _frames(batch, job), strict=True):
            content = feature_cache.npy(array, job.dtype, item.utt, job.model)
            with writing(item.path, "wb") as stream:
                stream.write(content)
    return [len(batch) for batch in batches]


def _encode(
    job: Job, items: Sequence[Item], todo: Sequence[Item], args: argparse.Namespace
) -> None:
    there = len(items) - len(todo)
    if there:
        logging.info("%d of %d utterances are there already", there, len(items))
    batches = feature_cache.batches(todo, lambda item: item.samples, args.batch_size)
    done: Iterator[list[int]] = (
        (_write([batch], job) for batch in batches)
        if args.nj == 1
        else map_batches(_write, batches, job, args.nj)
    )
    with progress("encoding", "utt", len(items), initial=there) as bar:
        for counts in done:
            bar.update(sum(counts))


if __name__ == "__main__":
    main()
