#!/usr/bin/env python3
"""Seconds of a speech language model's training step, by how the language model computes it.

The language model is frozen, frames of the encoder come with the batch, the adapter trains (at rate
0, so that all see the same embeddings). What is compared takes turns in one process:

    path       before: the prompt is read in every step, matrices are multiplied by torch's usual
               library, and logits come from a view, for which the output layer is copied;
               products: the last two mended; once: the first alone, the prompt's keys and values
               are kept; both: what the package does
    dtype      of the language model's weights
    attention  transformers' implementation

Without a folder, a model of SmolLM2-135M's size with random weights: its times are right, its
losses say nothing about a real one's. On a machine that does other work at the same time, count
the processor's seconds: --clock cpu --threads 1.

    python benchmarks/slm_paths.py
    python benchmarks/slm_paths.py --language_model downloads/smollm2-135m
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
from slm_parts import Shape, make_adapter, make_model, make_network, make_tokenizer
from slm_step import make_batch, step

from espnet_otreg.models.slm import SLMModel
from espnet_otreg.pretrained import products
from espnet_otreg.pretrained.bases import DTYPES
from espnet_otreg.pretrained.causal_lm import CausalLM, embedding_size

SMALL = Shape(576, 30, 9, 3, 1536, 49152, True, frame=512, stack=4, adapter=768)  # SmolLM2-135M's
AIM = 2.0  # times as fast as with the prompt read in every step, in float32
CLOSE = 1e-4  # of the loss


PATHS = {
    "before": (False, False),
    "products": (False, True),
    "once": (True, False),
    "both": (True, True),
}  # the prompt is read once, products are the package's
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


class Way(NamedTuple):
    """One way to compute a step."""

    path: str
    dtype: str
    attention: str


class Row(NamedTuple):
    """What was measured of it."""

    way: Way
    seconds: float  # median
    quartiles: tuple[float, float]
    ratio: float  # of the median of the first way to this one's
    difference: float  # of the loss to the first way's


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--language_model", help="folder or hub name [random weights]")
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"],
                        choices=["float32", "bfloat16"], help="[both]")  # fmt: skip
    parser.add_argument("--attention", nargs="+", default=["sdpa", "eager"], help="[sdpa eager]")
    parser.add_argument("--path", nargs="+", default=list(PATHS), choices=list(PATHS),
                        help="the first is what others are compared with [all]")  # fmt: skip
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall",
                        help="cpu: the processor's seconds, of all threads [wall]")  # fmt: skip
    parser.add_argument("--batch_size", type=int, default=8, help="utterances [8]")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each utterance [5]")
    parser.add_argument("--stack", type=int, default=4, help="frames of 20 ms that become one [4]")
    parser.add_argument("--tokens", type=int, default=16, help="of each answer [16]")
    parser.add_argument("--steps", type=int, default=7, help="counted steps of each way [7]")
    parser.add_argument("--threads", type=int, help="[as many as torch takes]")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu",
                        choices=["cpu", "cuda"], help="[cuda if there is one]")  # fmt: skip
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser


def make_decoder(args: argparse.Namespace, dtype: str, attention: str, shape: Shape) -> CausalLM:
    """Load the language model, or draw one: the same weights in every dtype."""
    if args.language_model:
        size = embedding_size(args.language_model)
        conf = {"dtype": dtype, "attn_implementation": attention}
        return CausalLM(0, size, args.language_model, **conf).to(args.device).eval()
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    network = make_network(shape, tokenizer, "cpu")
    network.set_attn_implementation(attention)
    network.to(args.device, DTYPES[dtype])
    products.speed_up(network)
    return CausalLM.from_network(network, tokenizer, "random 135M").eval()


def make_models(args: argparse.Namespace) -> dict[Way, SLMModel]:
    """Build a model for each dtype and attention, around one adapter; all paths share it."""
    shape = SMALL._replace(stack=args.stack)
    models: dict[Way, SLMModel] = {}
    adapter = None
    for dtype, attention in product(args.dtype, args.attention):
        decoder = make_decoder(args, dtype, attention, shape)
        torch.manual_seed(0)
        adapter = adapter or make_adapter(shape, decoder.dimension)
        model = make_model(shape, decoder, adapter, slm_conf={"freeze": ["decoder"]})
        model.to(args.device).train()
        models.update({Way(path, dtype, attention): model for path in args.path})
    return models


@contextmanager
def taking(way: Way, model: SLMModel) -> Iterator[None]:
    """Compute this way."""
    once, quick = PATHS[way.path]
    network, least = model.decoder.network, products.LEAST_ROWS
    forward = network.forward
    model.decoder.reuse_prompt = once
    if not quick:
        products.LEAST_ROWS = 1 << 40
    if way.path == "before":
        network.forward = lambda **given: forward(
            **{**given, "logits_to_keep": len(given["logits_to_keep"])}
        )
    try:
        yield
    finally:
        network.forward, products.LEAST_ROWS = forward, least


def measure(args: argparse.Namespace, models: dict[Way, SLMModel]) -> list[Row]:
    """Let all ways take turns on one batch."""
    torch.manual_seed(0)
    first, clock = next(iter(models.values())), CLOCKS[args.clock]
    frames = round(args.seconds * 50 / args.stack)
    batch = make_batch(first, args.batch_size, frames, args.tokens)
    batch["speech_lengths"][:] = batch["speech"].shape[1]  # all of one length
    optimiser = torch.optim.AdamW(first.adapter.parameters(), lr=0.0)
    losses, seconds = {}, {way: list[float]() for way in models}
    for way, model in models.items():
        with taking(way, model), torch.no_grad():
            losses[way] = float(model(**batch)[1]["loss_ce"])
    order = list(models)
    for turn in range(args.steps + 1):
        for way in order:
            with taking(way, models[way]):
                start = clock()
                step(models[way], optimiser, batch)
                if turn:  # the first one warms up
                    seconds[way].append(clock() - start)
        order = order[1:] + order[:1]  # none always goes first
    reference = next(iter(models))
    base = statistics.median(seconds[reference])
    rows = []
    for way, times in seconds.items():
        ordered, middle = sorted(times), statistics.median(times)
        quartiles = (ordered[len(times) // 4], ordered[3 * len(times) // 4])
        rows.append(Row(way, middle, quartiles, base / middle, losses[way] - losses[reference]))
    return rows


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    head = ("path", "dtype", "attention", "s a step", "[quartiles]", "ratio", "loss differs")
    print("{:9} {:9} {:10} {:>9} {:>15} {:>6} {:>12}".format(*head))
    for row in rows:
        low, high = row.quartiles
        print(
            f"{row.way.path:9} {row.way.dtype:9} {row.way.attention:10} {row.seconds:9.3f} "
            f"[{low:6.3f} {high:6.3f}] {row.ratio:6.2f} {row.difference:+12.1e}"
        )


def figures(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Find the fastest way whose loss is the first one's, and the fastest of all."""
    same = [row for row in rows if abs(row.difference) <= CLOSE]
    exact = max(same, key=lambda row: row.ratio)
    fastest = max(rows, key=lambda row: row.ratio)
    return [
        {"figure": f"same loss: {tuple(exact.way)}, times as fast", "value": exact.ratio,
         "aim": AIM},
        {"figure": f"fastest: {tuple(fastest.way)}, times as fast", "value": fastest.ratio,
         "aim": AIM},
    ]  # fmt: skip


def main(cmd: Sequence[str] | None = None) -> None:
    """Build, measure, print the table and the figures."""
    args = get_parser().parse_args(cmd)
    if args.threads:
        torch.set_num_threads(args.threads)
    cuda = args.device == "cuda"
    name = torch.cuda.get_device_name() if cuda else platform.machine()
    threads = f"{torch.get_num_threads()} thread(s), {args.clock} clock"
    device = f"{name}, {threads}, torch {torch.__version__}"
    models = make_models(args)
    model = next(iter(models.values()))
    before, after = (len(side) for side in model.prompt.ids("en"))
    print(f"{device}; {args.language_model or 'random weights'}; {args.batch_size} utterances")
    print(f"tokens: {before} before speech, {after} behind it, {args.tokens} of an answer")
    rows = measure(args, models)
    show(rows)
    found = figures(rows)
    for figure in found:
        verdict = "pass" if figure["value"] >= figure["aim"] else "MISS"
        print(f"{verdict}  {figure['figure']}: {figure['value']:.2f} (at least {figure['aim']:g})")
    if args.json:
        result = {"device": device, "rows": [row._asdict() for row in rows], "figures": found}
        temporary = args.json.with_name(args.json.name + ".tmp")
        temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        temporary.replace(args.json)


if __name__ == "__main__":
    main()
