#!/usr/bin/env python3
r"""Utterances per second of batched decoding against stock ESPnet's, of the same language model.

Stock is `decoder: hugging_face_transformers` with `causal_lm: true` in espnet2's Speech2Text, one
utterance at a time. Both sides get the same cached frames, the same adapter (in the place of
stock's linear_in), the same prompt and cap, and answer greedily; that their tokens are the same is
checked. Rounds of both alternate; the figures are medians over rounds.

    python benchmarks/decode.py                                     # mini shape, random weights
    python benchmarks/decode.py --lm egs2/downloads/mini-mini-llm   # made by make_mini_llm

and of a trained model on real frames, in a recipe's folder,

    python ../../benchmarks/decode.py --experiment exp/asr_base_seed1_* \
        --frames_scp dump/frames/*/fleurs_test/feats.scp
"""

import argparse
import json
import logging
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from slm_parts import (
    LANGUAGE,
    SHAPES,
    CachedFrames,
    make_adapter,
    make_model,
    make_network,
    make_tokenizer,
)

from espnet_otreg.compat import espnet_version
from espnet_otreg.decode.slm import SpeechLanguageModel
from espnet_otreg.files import read_table
from espnet_otreg.models.adapters import StackAdapter
from espnet_otreg.pretrained.causal_lm import CausalLM, embedding_size

SHAPE = SHAPES["mini"]
AIM, LARGE = 5.0, 16  # times stock's speed, at batches of this size or more


class AdapterOfOne(torch.nn.Module):
    """Our adapter where stock ESPnet has a linear layer: for one utterance without a batch."""

    def __init__(self, adapter: StackAdapter) -> None:
        super().__init__()
        self.adapter = adapter

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """(T, frame) -> (T', D)."""
        return self.adapter(frames[None], torch.tensor([len(frames)]))[0][0]


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lm", type=Path, help="folder of a language model [random weights]")
    parser.add_argument("--experiment", type=Path,
                        help="a trained model: slm to take all from [random adapter]")  # fmt: skip
    parser.add_argument("--frames_scp", type=Path, help="its frames of recordings [noise]")
    parser.add_argument("--batch_size", type=int, nargs="+", default=[1, 8, 16, 32],
                        help="of our decoding [1 8 16 32]")  # fmt: skip
    parser.add_argument("--utterances", type=int, default=64, help="[64]")
    parser.add_argument("--frames", type=int, default=40,
                        help="embeddings of the longest utterance [40]")  # fmt: skip
    parser.add_argument("--max_new_tokens", type=int, default=40, help="cap on answers [40]")
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds [3]")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser


def save_random_lm(folder: Path) -> Path:
    """Save a language model whose answers differ from utterance to utterance."""
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    make_network(SHAPE, tokenizer, "cpu", spread=0.3).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_clips(count: int, longest: int) -> list[np.ndarray]:
    """Frames (T, D) of noise, from a third of the longest on, in no order of length."""
    random = np.random.default_rng(0)
    lengths = random.permutation(np.linspace(longest / 3, longest, count).round().astype(int))
    shape = (SHAPE.stack, SHAPE.frame)
    return [random.standard_normal((n * shape[0], shape[1])).astype(np.float32) for n in lengths]


def read_clips(table: Path, count: int) -> list[np.ndarray]:
    """Cached frames of the first recordings of a feats.scp."""
    return [np.load(path).astype(np.float32) for path in [*read_table(table).values()][:count]]


def ours(lm: Path) -> SpeechLanguageModel:
    """Build `model: slm` with a random adapter."""
    width = embedding_size(str(lm))
    torch.manual_seed(1)
    decoder = CausalLM(0, width, str(lm))
    model = make_model(SHAPE, decoder, make_adapter(SHAPE, width), slm_conf={"freeze": ["decoder"]})
    return SpeechLanguageModel(model)


def stock(lm: str, model: SpeechLanguageModel, size: int, cap: int, folder: Path) -> Any:
    """Build stock ESPnet's Speech2Text from its own configuration, on the same weights.

    `size` is that of a frame.
    """
    from espnet2.bin.asr_inference import Speech2Text
    from espnet2.tasks.asr import ASRTask

    before, after = model.model.prompt.text(LANGUAGE)
    vocabulary = model.tokenizer.get_vocab()
    rows = len(model.model.decoder.table)  # fewer tokens than rows, and stock would cut the table
    tokens = [*sorted(vocabulary, key=vocabulary.__getitem__)]
    tokens += [f"<unused{i}>" for i in range(len(tokens), rows)]
    config = ASRTask.get_default_config() | {
        "token_list": tokens,
        "token_type": "hugging_face",
        "bpemodel": lm,
        "input_size": size,
        "frontend": None,
        "specaug": None,
        "normalize": None,
        "encoder": "transformer",
        "encoder_conf": {
            "num_blocks": 0, "input_layer": None, "output_size": size,
            "normalize_before": False,
        },
        "decoder": "hugging_face_transformers",
        "decoder_conf": {
            "model_name_or_path": lm, "causal_lm": True, "prefix": before, "postfix": after,
        },
        "model": "espnet",
        "model_conf": {"ctc_weight": 0.0, "sym_eos": model.tokenizer.eos_token},
    }  # fmt: skip
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    found = Speech2Text(
        asr_train_config=str(file),
        hugging_face_decoder=True,
        hugging_face_decoder_conf={"num_beams": 1, "do_sample": False, "max_new_tokens": cap},
    )
    found.asr_model.encoder = CachedFrames(size)
    found.hugging_face_linear_in = AdapterOfOne(model.model.adapter)
    return found


def stock_answers(speech2text: Any, clips: Sequence[np.ndarray], eos: int) -> list[list[str]]:
    """Decode one by one; the ids are read before stock drops the last one and every 0."""
    answers = []
    for clip in clips:
        ids = speech2text(clip)[0][3].yseq[1:].tolist()
        ids = ids[: ids.index(eos)] if eos in ids else ids
        answers.append(speech2text.converter.ids2tokens(ids))
    return answers


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Decode in alternating rounds; return speeds and what was answered."""
    if args.experiment:
        model = SpeechLanguageModel.from_pretrained(args.experiment)
        lm = model.model.decoder.base.name
        if model.model.slm_conf.compression != "none":
            raise SystemExit("error: stock ESPnet compresses nothing: give an experiment of base")
    else:
        lm = str(args.lm or save_random_lm(folder / "lm"))
        model = ours(Path(lm))
    if args.frames_scp:
        clips = read_clips(args.frames_scp, args.utterances)
    else:
        clips = make_clips(args.utterances, args.frames)
    speech2text = stock(lm, model, clips[0].shape[1], args.max_new_tokens, folder)
    eos = model.model.decoder.eos

    def batched(size: int, some: Sequence[np.ndarray]) -> list[list[str]]:
        found = model.transcribe(
            some, LANGUAGE, batch_size=size, max_new_tokens=args.max_new_tokens
        )
        return [answer.tokens for answer in found]

    decoders: dict[str, Callable[[Sequence[np.ndarray]], list[list[str]]]] = {
        "stock": lambda some: stock_answers(speech2text, some, eos)
    }
    for size in args.batch_size:
        decoders[f"ours, batch {size}"] = lambda some, size=size: batched(size, some)
    seconds: dict[str, list[float]] = {name: [] for name in decoders}
    answers: dict[str, list[list[str]]] = {}
    for decode in decoders.values():
        decode(clips[:4])
    for _ in range(args.rounds):
        for name, decode in decoders.items():
            start = time.perf_counter()
            answers[name] = decode(clips)
            seconds[name].append(time.perf_counter() - start)
    speed = {name: len(clips) / statistics.median(times) for name, times in seconds.items()}
    return {"speed": speed, "answers": answers}


def differing(answers: dict[str, list[list[str]]]) -> dict[str, int]:
    """Count each decoder's answers that are not stock's."""
    reference = answers["stock"]
    return {
        name: sum(a != b for a, b in zip(reference, given, strict=True))
        for name, given in answers.items()
        if name != "stock"
    }


def report(args: argparse.Namespace, result: dict[str, Any]) -> dict[str, Any]:
    """Print the table and the figures; return what belongs into the JSON file."""
    speed, answers = result["speed"], result["answers"]
    lengths = [len(answer) for answer in answers["stock"]]
    distinct = len({tuple(answer) for answer in answers["stock"]})
    print(
        f"{platform.machine()}, {torch.get_num_threads()} thread(s), torch {torch.__version__}, "
        f"espnet {espnet_version()}"
    )
    print(
        f"{len(lengths)} utterances, {distinct} distinct answers of {statistics.mean(lengths):.1f} "
        f"tokens, {lengths.count(args.max_new_tokens)} cut off at {args.max_new_tokens}"
    )
    wrong = differing(answers)
    print(f"{'decoder':16}{'utterances/s':>14}{'stock x':>9}{'differing':>11}")
    for name, rate in speed.items():
        print(f"{name:16}{rate:14.2f}{rate / speed['stock']:9.2f}{wrong.get(name, 0):11}")
    same = not any(wrong.values())
    print(f"{'pass' if same else 'MISS'}  tokens identical to stock's: {'yes' if same else 'NO'}")
    figures = []
    for name in [f"ours, batch {size}" for size in args.batch_size if size >= LARGE]:
        value = speed[name] / speed["stock"]
        figures.append({"figure": f"{name}: times stock's speed", "value": value, "aim": AIM})
        verdict = "pass" if value >= AIM else "MISS"
        print(f"{verdict}  {name}: {value:.2f} x stock (at least {AIM:g})")
    return {
        "utterances_per_second": speed,
        "differing": wrong,
        "identical": same,
        "figures": figures,
    }


def main(cmd: Sequence[str] | None = None) -> None:
    """Measure and print; exit with an error if any answer differs."""
    args = get_parser().parse_args(cmd)
    logging.disable(logging.WARNING)  # stock logs every utterance
    with tempfile.TemporaryDirectory() as folder:
        result = report(args, measure(args, Path(folder)))
    if args.json:
        temporary = args.json.with_name(args.json.name + ".tmp")
        temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        temporary.replace(args.json)
    if not result["identical"]:
        raise SystemExit("error: batched decoding and stock ESPnet's answer differently")


if __name__ == "__main__":
    main()
