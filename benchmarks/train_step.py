"""Time of a training step with optimal transport over the stock step: same batch, same config.

    python benchmarks/train_step.py --config egs2/covost2_otreg/conf/mini/train_otreg.yaml
    python benchmarks/train_step.py --config egs2/covost2_otreg/conf/transfer/mini/unbalanced.yaml

The stock model is the config's own without its transport; for `ot_transfer` that is CTC with the
same adapter, and the language model's features come with the batch, as from their cache.

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
from espnet_otreg.hub.stock import OWN_OPTIONS
from espnet_otreg.tasks.asr import ASRTask

MINI = Path(__file__).parents[1] / "egs2/covost2_otreg/conf/mini/train_otreg.yaml"
LIMITS = {"otreg": 1.05, "ot_transfer": 1.15, "graph matching": 1.6}


def get_parser() -> argparse.ArgumentParser:
    """Options of the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, default=MINI, help="an otreg or ot_transfer config")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3.0, help="longest utterance")
    parser.add_argument("--tokens", type=int, default=16, help="longest transcript")
    parser.add_argument("--vocabulary", type=int, default=300)
    parser.add_argument("--steps", type=int, default=30, help="counted steps of each model")
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser


def read_config(path: Path, vocabulary: int) -> argparse.Namespace:
    """Read a training config with a made-up vocabulary."""
    args = ASRTask.get_parser().parse_args(["--config", str(path), "--output_dir", "unused"])
    args.token_list = ["<blank>", "<unk>", *map(str, range(vocabulary - 3)), "<sos/eos>"]
    return args


def build(config: Path, vocabulary: int, stock: bool, device: str) -> torch.nn.Module:
    """Build the config's model, or its stock twin, with the same weights."""
    args = read_config(config, vocabulary)
    if stock:
        args.model = "espnet"
        args.model_conf = {k: v for k, v in args.model_conf.items() if k not in OWN_OPTIONS}
    torch.manual_seed(0)
    return ASRTask.build_model(args).to(device).train()


def make_batch(args: argparse.Namespace) -> dict[str, torch.Tensor]:
    """Noise of ragged lengths with random transcripts, as long as the mini corpora's."""
    longest = int(16000 * args.seconds)
    lengths = torch.linspace(longest // 2, longest, args.batch_size).long()
    text_lengths = torch.linspace(args.tokens // 2, args.tokens, args.batch_size).long()
    text = torch.randint(2, args.vocabulary - 1, (args.batch_size, args.tokens))
    text[torch.arange(args.tokens)[None] >= text_lengths[:, None]] = -1
    batch = {
        "speech": torch.randn(args.batch_size, longest),
        "speech_lengths": lengths,
        "text": text,
        "text_lengths": text_lengths,
    }
    config = read_config(args.config, args.vocabulary)
    if config.model == "ot_transfer":
        width = config.postencoder_conf["text_size"]
        batch["text_features"] = torch.randn(args.batch_size, args.tokens + 2, width)
        batch["text_features_lengths"] = text_lengths + 2
    return batch


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


def limit(config: argparse.Namespace) -> float:
    """Return the ratio aimed at."""
    graphs = config.model_conf.get("alignment_conf", {}).get("structure_weight", 0) > 0
    return LIMITS["graph matching" if graphs else config.model]


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
        "limit": limit(read_config(args.config, args.vocabulary)),
        "device": torch.cuda.get_device_name() if args.device == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
        "espnet": espnet_version(),
        "torch": torch.__version__,
        "batch_size": args.batch_size,
        "stock_ms": 1000 * statistics.median(stock for stock, _ in pairs),
        "ours_ms": 1000 * statistics.median(ours for _, ours in pairs),
        "ratio": statistics.median(ratios),
        "ratio_quartiles": [ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]],
    }
    if args.device == "cuda":
        result["stock_gib"], result["ours_gib"] = (peak_memory(*run, batch) for run in runs)
    return result


def main() -> None:
    """Measure and print."""
    args = get_parser().parse_args()
    result = measure(args)
    for key, value in result.items():
        print(f"{key:16} {value:.4g}" if isinstance(value, float) else f"{key:16} {value}")
    verdict = "reached" if result["ratio"] <= result["limit"] else "missed"
    print(f"step / stock step: {result['ratio']:.3f}, at most {result['limit']}: {verdict}")
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
