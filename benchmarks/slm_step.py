#!/usr/bin/env python3
"""Time and peak memory of a speech language model's training step with OTReg, over one without.

Language models of Qwen2.5's sizes with random weights, frozen; the encoder's frames come with the
batch, as from their cache; the adapter trains. Three arms share the language model, the adapter
and its optimiser (at rate 0, so that all see the same embeddings) and take turns:

    base         cross-entropy, no compression
    transport    the same with the transport term
    otreg        with the transport term and its compression

Random embeddings give compression next to nothing to merge or drop (column kept), so its gain, a
shorter input of the language model, is not in these figures: only its cost is.

    python benchmarks/slm_step.py                          # mini on a CPU, 0.5B to 14B on a GPU
    python benchmarks/slm_step.py --shape 7B --batch_size 48 --frames 60 --tokens 20
"""

import argparse
import gc
import json
import platform
import statistics
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
from slm_parts import LANGUAGE, SHAPES, make_adapter, make_model, make_network, make_tokenizer

from espnet_otreg.models.slm import SLMModel
from espnet_otreg.pretrained.causal_lm import CausalLM

ARMS: dict[str, dict[str, Any]] = {
    "base": {"slm_conf": {"compression": "none"}},
    "transport": {"slm_conf": {"compression": "none"}, "ot_conf": {"weight": 0.3}},
    "otreg": {"slm_conf": {"compression": "ot"}, "ot_conf": {"weight": 0.3}},
}
MEMORY_AIM = 3.0  # per cent


class Row(NamedTuple):
    """One shape at one size of input."""

    shape: str
    frames: int  # embeddings of the longest utterance
    tokens: int  # of the longest answer
    seconds: dict[str, float]  # by arm, medians
    overhead: dict[str, tuple[float, float, float]]  # by arm, per cent: quartiles and median
    memory: dict[str, float]  # by arm, bytes
    kept: float  # share of embeddings after compression

    def more_memory(self, arm: str) -> float:
        """Per cent over the base arm's."""
        return 100 * (self.memory[arm] / self.memory["base"] - 1)


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu",
                        choices=["cpu", "cuda"], help="[cuda if there is one]")  # fmt: skip
    parser.add_argument("--shape", nargs="+", choices=list(SHAPES),
                        help="[mini on cpu, all others on cuda]")  # fmt: skip
    parser.add_argument("--batch_size", type=int, default=16, help="utterances [16]")
    parser.add_argument("--frames", type=int, nargs="+", default=[32, 64, 128],
                        help="embeddings of the longest utterance [32 64 128]")  # fmt: skip
    parser.add_argument("--tokens", type=int, nargs="+", default=[16, 32, 64],
                        help="tokens of the longest answer [16 32 64]")  # fmt: skip
    parser.add_argument("--steps", type=int, default=15, help="counted steps of each arm [15]")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser


def time_aim(shape: str, device: str) -> float | None:
    """Return the overhead aimed at in per cent, where there is one."""
    if device == "cuda":
        return 3.0 if shape in ("1.5B", "7B", "14B") else None
    return 8.0 if shape == "mini" else None


def make_batch(model: SLMModel, size: int, frames: int, tokens: int) -> dict[str, torch.Tensor]:
    """Make noise and random answers, of half to full length."""
    stack, width = model.adapter.stack, model.encoder.output_size()
    lengths = torch.linspace(frames // 2, frames, size).long() * stack
    text_lengths = torch.linspace(tokens // 2, tokens, size).long()
    text = torch.randint(2, len(model.token_list) - 1, (size, tokens))
    text[torch.arange(tokens)[None] >= text_lengths[:, None]] = -1
    batch = {
        "speech": torch.randn(size, frames * stack, width),
        "speech_lengths": lengths,
        "text": text,
        "text_lengths": text_lengths,
        "language": torch.tensor(list(LANGUAGE.encode())).expand(size, -1),
    }
    return {key: value.to(model.decoder.table.device) for key, value in batch.items()}


def step(
    model: SLMModel, optimiser: torch.optim.Optimizer, batch: dict[str, torch.Tensor]
) -> tuple[float, float]:
    """Forward, backward, update; return the seconds and the share of embeddings kept."""
    cuda = batch["speech"].is_cuda
    if cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    loss, stats, _ = model(**batch)
    loss.sum().backward()
    optimiser.step()
    optimiser.zero_grad()
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start, stats["kept"].item()


def memory(
    model: SLMModel, optimiser: torch.optim.Optimizer, batch: dict[str, torch.Tensor]
) -> float:
    """Return a step's peak on a GPU; elsewhere what is saved for backward, each storage once."""
    if batch["speech"].is_cuda:
        torch.cuda.reset_peak_memory_stats()
        step(model, optimiser, batch)
        return torch.cuda.max_memory_allocated()
    held: dict[int, int] = {}

    def pack(x: torch.Tensor) -> torch.Tensor:
        held[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        loss = model(**batch)[0]
    del loss
    return sum(held.values())


def compare(
    name: str, models: dict[str, SLMModel], args: argparse.Namespace, frames: int, tokens: int
) -> Row:
    """Let the arms take turns on one batch."""
    torch.manual_seed(0)
    first = models["base"]
    batch = make_batch(first, args.batch_size, frames, tokens)
    optimiser = torch.optim.AdamW(first.adapter.parameters(), lr=0.0)
    for model in (*models.values(),) * 2:
        step(model, optimiser, batch)
    held = {arm: memory(model, optimiser, batch) for arm, model in models.items()}
    seconds: dict[str, list[float]] = {arm: [] for arm in models}
    order, kept = list(models), 1.0
    for _ in range(args.steps):
        for arm in order:
            took, share = step(models[arm], optimiser, batch)
            seconds[arm].append(took)
            kept = share if arm == "otreg" else kept
        order = order[1:] + order[:1]  # no arm always goes first
    overhead = {}
    for arm in ("transport", "otreg"):
        pairs = zip(seconds[arm], seconds["base"], strict=True)
        overhead[arm] = quartiles([100 * (ours / base - 1) for ours, base in pairs])
    medians = {arm: statistics.median(times) for arm, times in seconds.items()}
    return Row(name, frames, tokens, medians, overhead, held, kept)


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile."""
    ordered = sorted(values)
    return (
        ordered[len(ordered) // 4],
        statistics.median(ordered),
        ordered[3 * len(ordered) // 4],
    )


def measure(name: str, args: argparse.Namespace, tokenizer: Any) -> list[Row]:
    """Build one shape and sweep the sizes of the input; what does not fit is said."""
    shape, rows = SHAPES[name], []
    torch.manual_seed(0)
    try:
        decoder = CausalLM.from_network(
            make_network(shape, tokenizer, args.device), tokenizer, f"random {name}"
        )
        adapter = make_adapter(shape, decoder.dimension)
        models = {}
        for arm, options in ARMS.items():
            slm_conf = {**options["slm_conf"], "freeze": ["decoder"]}  # the frames have no weights
            model = make_model(shape, decoder, adapter, **{**options, "slm_conf": slm_conf})
            models[arm] = model.to(args.device).train()
    except torch.OutOfMemoryError:
        print(f"{name}: the weights alone do not fit on this device")
        return []
    for frames, tokens in product(args.frames, args.tokens):
        try:
            rows.append(compare(name, models, args, frames, tokens))
            show(rows[-1])
        except torch.OutOfMemoryError:
            print(f"{name:6}{frames:5}{tokens:5}  out of memory: lower --batch_size")
        gc.collect()
        if args.device == "cuda":
            torch.cuda.empty_cache()
    return rows


def show(row: Row) -> None:
    """Print a row of the table."""
    line = f"{row.shape:6}{row.frames:5}{row.tokens:5}{1000 * row.seconds['base']:10.1f}"
    for arm in ("transport", "otreg"):
        low, middle, high = row.overhead[arm]
        line += f"{middle:+12.2f} [{low:+6.2f} {high:+7.2f}]{row.more_memory(arm):+8.2f}"
    print(f"{line}{row.kept:7.2f}", flush=True)


def figures(rows: Sequence[Row], device: str) -> list[dict[str, Any]]:
    """Set the worst row of each shape against its aims, where it has any."""
    found = []
    for shape in dict.fromkeys(row.shape for row in rows):
        own, aim = [row for row in rows if row.shape == shape], time_aim(shape, device)
        if aim is None:
            continue
        for arm in ("transport", "otreg"):
            slowest = max(row.overhead[arm][1] for row in own)
            largest = max(row.more_memory(arm) for row in own)
            for what, value, limit in (("time", slowest, aim), ("memory", largest, MEMORY_AIM)):
                figure = f"{shape}, {arm}: {what} over base in per cent, worst row"
                found.append({"figure": figure, "value": value, "aim": limit})
    return found


def main(cmd: Sequence[str] | None = None) -> None:
    """Sweep, print the table and the figures."""
    args = get_parser().parse_args(cmd)
    shapes = args.shape or (["mini"] if args.device == "cpu" else [*SHAPES][1:])
    cuda = args.device == "cuda"
    name = torch.cuda.get_device_name() if cuda else platform.machine()
    device = f"{name}, bfloat16" if cuda else f"{name}, {torch.get_num_threads()} thread(s)"
    print(f"{device}, torch {torch.__version__}, batch of {args.batch_size}, {args.steps} steps")
    print(f"memory is {'the peak on the GPU' if cuda else 'what is saved for backward'}")
    head = f"{'shape':6}{'T':>5}{'U':>5}{'base ms':>10}"
    for arm in ("transport", "otreg"):
        head += f"{arm + ' %':>12}{'[quartiles]':>17}{'mem %':>8}"
    print(f"{head}{'kept':>7}")
    tokenizer = make_tokenizer()
    rows: list[Row] = []
    for shape in shapes:
        rows += measure(shape, args, tokenizer)
        gc.collect()
    found = figures(rows, args.device)
    for figure in found:
        verdict = "pass" if figure["value"] <= figure["aim"] else "MISS"
        print(f"{verdict}  {figure['figure']}: {figure['value']:.2f} (at most {figure['aim']:g})")
    if args.json:
        result = {"device": device, "rows": [row._asdict() for row in rows], "figures": found}
        temporary = args.json.with_name(args.json.name + ".tmp")
        temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        temporary.replace(args.json)


if __name__ == "__main__":
    main()
