"""Time of an OTReg training step over the stock step: same batch, same config, in one run.

    python benchmarks/train_step.py --config egs2/covost2_otreg/conf/mini/train_otreg.yaml

Steps of both models alternate, so that a machine whose speed drifts is fair to both; the figure is
the median of the step-by-step ratios. On a GPU the peak memory of each is measured too.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from espnet_otreg.compat import espnet_version
from espnet_otreg.tasks.asr import ASRTask

MINI = Path(__file__).parents[1] / "egs2/covost2_otreg/conf/mini/train_otreg.yaml"
LIMIT = 1.05


def get_parser() -> argparse.ArgumentParser:
    """Options of the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, default=MINI, help="an OTReg config")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3.0, help="longest utterance")
    parser.add_argument("--tokens", type=int, default=16, help="longest transcript")
    parser.add_argument("--vocabulary", type=int, default=300)
    parser.add_argument("--steps", type=int, default=30, help="counted steps of each model")
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser


def build(config: Path, vocabulary: int, stock: bool, device: str) -> torch.nn.Module:
    """Build the config's model, or its stock twin, with the same weights."""
    args = ASRTask.get_parser().parse_args(["--config", str(config), "--output_dir", "unused"])
    args.token_list = ["<blank>", "<unk>", *map(str, range(vocabulary - 3)), "<sos/eos>"]
    if stock:
        args.model = "espnet"
        args.model_conf = {k: v for k, v in args.model_conf.items() if k != "ot_conf"}
    torch.manual_seed(0)
    return ASRTask.build_model(args).to(device).train()


def make_batch(args: argparse.Namespace) -> dict[str, torch.Tensor]:
    """Noise of ragged lengths with random transcripts, as long as the mini corpora's."""
    longest = int(16000 * args.seconds)
    lengths = torch.linspace(longest // 2, longest, args.batch_size).long()
    text_lengths = torch.linspace(args.tokens // 2, args.tokens, args.batch_size).long()
    text = torch.randint(2, args.vocabulary - 1, (args.batch_size, args.tokens))
    text[torch.arange(args.tokens)[None] >= text_lengths[:, None]] = -1
    speech = torch.randn(args.batch_size, longest)
    return {
        "speech": speech,
        "speech_lengths": lengths,
        "text": text,
        "text_lengths": text_lengths,
    }


def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, batch: dict) -> float:
    """Forward, backward, update; return the seconds."""
    cuda = batch["speech"].is_cuda
    batch = {key: value.clone() for key, value in batch.items()}
    if cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    with torch.autocast("cuda", torch.bfloat16, enabled=cuda):
        loss = model(**batch)[0].sum()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimizer.step()
    optimizer.zero_grad()
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_memory(model: torch.nn.Module, optimizer: torch.optim.Optimizer, batch: dict) -> float:
    """Return the GiB one step needs at most, the model's own included."""
    torch.cuda.reset_peak_memory_stats()
    step(model, optimizer, batch)
    return torch.cuda.max_memory_allocated() / 2**30


def measure(args: argparse.Namespace) -> dict:
    """Alternate the two models' steps."""
    torch.manual_seed(0)
    np.random.seed(0)
    batch = {key: value.to(args.device) for key, value in make_batch(args).items()}
    models = [build(args.config, args.vocabulary, stock, args.device) for stock in (True, False)]
    runs = [(model, torch.optim.Adam(model.parameters(), 1e-5)) for model in models]
    for _ in range(3):
        for run in runs:
            step(*run, batch)
    pairs = []
    for i in range(args.steps):
        order = (0, 1) if i % 2 == 0 else (1, 0)  # neither model always goes first
        seconds = {which: step(*runs[which], batch) for which in order}
        pairs.append((seconds[0], seconds[1]))
    ratios = sorted(ours / stock for stock, ours in pairs)
    result = {
        "config": str(args.config.name),
        "device": torch.cuda.get_device_name() if args.device == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
        "espnet": espnet_version(),
        "torch": torch.__version__,
        "batch_size": args.batch_size,
        "stock_ms": 1000 * statistics.median(stock for stock, _ in pairs),
        "otreg_ms": 1000 * statistics.median(ours for _, ours in pairs),
        "ratio": statistics.median(ratios),
        "ratio_quartiles": [ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]],
    }
    if args.device == "cuda":
        result["stock_gib"], result["otreg_gib"] = (peak_memory(*run, batch) for run in runs)
    return result


def main() -> None:
    """Measure and print."""
    args = get_parser().parse_args()
    result = measure(args)
    for key, value in result.items():
        print(f"{key:16} {value:.4g}" if isinstance(value, float) else f"{key:16} {value}")
    verdict = "reached" if result["ratio"] <= LIMIT else "missed"
    print(f"OTReg step / stock step: {result['ratio']:.3f}, at most {LIMIT}: {verdict}")
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
