#!/usr/bin/env python3
"""Time our transport solver against POT and GeomLoss, on the same ragged batch, in one run.

Each solver goes from embeddings to the gradient of both embeddings. Repeats are interleaved so
that a busy moment of the machine hits all alike; the table gives medians and their ratio to
POT's batched log solver with a detached plan. Ends with the three figures the solver must reach.

    python benchmarks/ot_solver.py --json exp/ot_solver.json
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from importlib import metadata, util
from pathlib import Path
from typing import NamedTuple

import torch

from espnet_otreg.ot import OTRegLoss, cosine_cost, sinkhorn
from espnet_otreg.ot.tensors import length_mask

REFERENCE = "POT ot.batch, log, detached"
OURS = "ours, auto"


class Batch(NamedTuple):
    """The common input of all solvers."""

    speech: torch.Tensor  # (B, T, D)
    speech_lengths: torch.Tensor  # (B,)
    text: torch.Tensor  # (B, U, D)
    text_lengths: torch.Tensor  # (B,)
    a: torch.Tensor  # (B, T) frame weights
    b: torch.Tensor  # (B, U) token weights
    padding: torch.Tensor  # (B, T, U)


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, default=16, help="utterances")
    parser.add_argument("--frames", type=int, default=300, help="longest speech side")
    parser.add_argument("--tokens", type=int, default=40, help="longest text side")
    parser.add_argument("--dimension", type=int, default=256, help="of the embeddings")
    parser.add_argument("--epsilon", type=float, default=0.05, help="entropic regularisation")
    parser.add_argument("--iterations", type=int, default=50, help="of every solver")
    parser.add_argument("--noise", type=float, default=1.0, help="of speech around its tokens")
    parser.add_argument("--repeats", type=int, default=7, help="interleaved timings of each")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--seed", type=int, default=0, help="of the embeddings and lengths")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser


def make_batch(args: argparse.Namespace) -> Batch:
    """Make frames that scatter around the tokens they belong to, lengths from half to full."""
    torch.manual_seed(args.seed)
    n = torch.randint(args.frames // 2, args.frames + 1, (args.batch,))
    m = torch.randint(args.tokens // 2, args.tokens + 1, (args.batch,))
    n[0], m[0] = args.frames, args.tokens
    text = torch.randn(args.batch, args.tokens, args.dimension)
    order = (torch.rand(args.batch, args.frames) * m.unsqueeze(1)).long().sort(1).values
    speech = text.gather(1, order.unsqueeze(2).expand(-1, -1, args.dimension))
    speech = speech + args.noise * torch.randn_like(speech)
    rows, columns = length_mask(n, args.frames), length_mask(m, args.tokens)
    batch = Batch(
        speech.to(args.device).requires_grad_(),
        n.to(args.device),
        text.to(args.device).requires_grad_(),
        m.to(args.device),
        (rows / n.unsqueeze(1)).to(args.device),
        (columns / m.unsqueeze(1)).to(args.device),
        ~(rows.unsqueeze(2) & columns.unsqueeze(1)).to(args.device),
    )
    return batch


def ours(batch: Batch, args: argparse.Namespace, **options) -> torch.Tensor:
    """Solve with our own solver and return the summed linear cost."""
    cost = cosine_cost(batch.speech, batch.text)
    lengths = batch.speech_lengths, batch.text_lengths
    fixed = {"epsilon": args.epsilon, "max_iters": args.iterations, "tol": 0.0}
    return sinkhorn(cost, *lengths, **fixed, **options).cost.sum()


def ours_loss(batch: Batch, args: argparse.Namespace) -> torch.Tensor:
    """Compute the whole regulariser, sparsity term included."""
    loss = OTRegLoss(epsilon=args.epsilon, max_iters=args.iterations, tol=0.0)
    loss.watch.look = lambda plan, tol: None  # tol=0 is never met, and that is no news here
    return loss(batch.speech, batch.speech_lengths, batch.text, batch.text_lengths).loss


def pot_plan(cost: torch.Tensor, batch: Batch, args: argparse.Namespace) -> torch.Tensor:
    """Solve with POT's batched log solver; a high cost keeps padding out of its first step."""
    from ot.batch import solve_batch

    far = cost.detach().masked_fill(batch.padding, 1e4)
    weights = batch.a.to(cost), batch.b.to(cost)
    return solve_batch(
        far, args.epsilon, *weights, max_iter=args.iterations, tol=0.0,
        method="log_sinkhorn", grad="detach",
    ).plan  # fmt: skip


def pot_batched(batch: Batch, args: argparse.Namespace) -> torch.Tensor:
    """Weigh the cost with POT's detached plan."""
    cost = cosine_cost(batch.speech, batch.text)
    return (pot_plan(cost, batch, args) * cost).sum()


def pot_loop(batch: Batch, args: argparse.Namespace) -> torch.Tensor:
    """Call POT once for each utterance, plans detached."""
    import ot

    cost, total = cosine_cost(batch.speech, batch.text), batch.speech.new_zeros(())
    sizes = zip(batch.speech_lengths.tolist(), batch.text_lengths.tolist(), strict=True)
    for i, (n, m) in enumerate(sizes):
        own = cost[i, :n, :m]
        plan = ot.sinkhorn(
            batch.a[i, :n], batch.b[i, :m], own.detach(), args.epsilon, method="sinkhorn_log",
            numItermax=args.iterations, stopThr=0.0, warn=False,
        )  # fmt: skip
        total = total + (plan * own).sum()
    return total


def geomloss(batch: Batch, args: argparse.Namespace) -> torch.Tensor:
    """Call GeomLoss, whose annealing schedule is set to take about the same iterations."""
    from geomloss import SamplesLoss

    x, y = (torch.nn.functional.normalize(side, dim=2) for side in (batch.speech, batch.text))
    # |x - y|² / 2 of unit vectors is the cosine cost; epsilon = blur², from diameter 2 down
    blur = args.epsilon**0.5
    solver = SamplesLoss(
        "sinkhorn", p=2, blur=blur, scaling=(blur / 2) ** (1 / args.iterations), diameter=2,
        debias=False, backend="tensorized",
    )  # fmt: skip
    return solver(batch.a, x, batch.b, y).sum()


def solvers(batch: Batch, args: argparse.Namespace) -> dict[str, Callable[[], torch.Tensor]]:
    """Return every solver that can run here, by the name it has in the table."""
    found: dict[str, Callable[[], torch.Tensor]] = {
        OURS: lambda: ours(batch, args, cost_range=2.0),
        "ours, exp": lambda: ours(batch, args, method="exp"),
        "ours, log": lambda: ours(batch, args, method="log"),
        "ours, unrolled": lambda: ours(batch, args, unroll=True),
        "ours, OTRegLoss with sparsity": lambda: ours_loss(batch, args),
        REFERENCE: lambda: pot_batched(batch, args),
        "POT loop, sinkhorn_log, detached": lambda: pot_loop(batch, args),
    }
    if util.find_spec("geomloss"):
        found["GeomLoss SamplesLoss"] = lambda: geomloss(batch, args)
    return found


def measure(batch: Batch, args: argparse.Namespace) -> dict[str, float]:
    """Return the median seconds of forward and backward for each solver."""
    times: dict[str, list[float]] = {}
    for repeat in range(args.repeats + 1):
        for name, solve in solvers(batch, args).items():
            batch.speech.grad = batch.text.grad = None
            start = time.perf_counter()
            solve().backward()
            if args.device == "cuda":
                torch.cuda.synchronize()
            if repeat:  # the first round warms up
                times.setdefault(name, []).append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def saved_matrices(batch: Batch, args: argparse.Namespace, **options) -> float:
    """Return what autograd keeps for the solver, in cost matrices."""
    cost = cosine_cost(batch.speech, batch.text).detach().requires_grad_()
    held: dict[int, int] = {}

    def pack(x: torch.Tensor) -> torch.Tensor:
        held[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    lengths = batch.speech_lengths, batch.text_lengths
    fixed = {"epsilon": args.epsilon, "max_iters": args.iterations, "tol": 0.0}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        plan = sinkhorn(cost, *lengths, **fixed, **options)
    del plan
    return sum(held.values()) / (cost.numel() * cost.element_size())


def disagreement(batch: Batch, args: argparse.Namespace) -> float:
    """Return the largest relative L1 distance of an utterance's plan from POT's."""
    cost = cosine_cost(batch.speech, batch.text).detach()
    lengths = batch.speech_lengths, batch.text_lengths
    fixed = {"epsilon": args.epsilon, "max_iters": args.iterations, "tol": 0.0}
    plan = sinkhorn(cost, *lengths, **fixed).coupling
    reference = pot_plan(cost, batch, args)
    distance = (plan - reference).abs().sum((1, 2)) / reference.sum((1, 2))
    return distance.max().item()


def versions(args: argparse.Namespace) -> dict[str, str]:
    """Say what ran and on what."""
    found = {"python": platform.python_version(), "torch": torch.__version__}
    for package in ("POT", "geomloss"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed, left out"
    if args.device == "cuda":
        found["device"] = torch.cuda.get_device_name()
    else:
        found["device"] = f"{platform.processor() or platform.machine()}, {args.threads} thread(s)"
    return found


def main(cmd: Sequence[str] | None = None) -> None:
    """Run, print the table and the figures, and write them as JSON."""
    args = get_parser().parse_args(cmd)
    if not util.find_spec("ot"):
        raise SystemExit("The comparison needs POT: pip install POT")
    torch.set_num_threads(args.threads)
    batch = make_batch(args)
    seconds = measure(batch, args)
    ratio = seconds[OURS] / seconds[REFERENCE]
    matrices, unrolled = saved_matrices(batch, args), saved_matrices(batch, args, unroll=True)
    distance = disagreement(batch, args)
    about = versions(args)
    size = f"B{args.batch} T{args.frames} U{args.tokens} D{args.dimension}"
    print(f"{size}, epsilon {args.epsilon}, {args.iterations} iterations, forward + backward")
    print(", ".join(f"{name} {version}" for name, version in about.items()))
    print(f"{'solver':36}{'ms':>9}{'ratio':>8}")
    for name, median in seconds.items():
        print(f"{name:36}{1e3 * median:9.2f}{median / seconds[REFERENCE]:8.2f}")
    figures = {
        "time / POT ot.batch": (ratio, 0.5),
        "saved for backward / cost matrix": (matrices, 3.0),
        "relative L1 distance to POT's plan": (distance, 1e-5),
    }
    print(f"unrolled, our solver saves {unrolled:.0f} cost matrices")
    for name, (value, limit) in figures.items():
        print(f"{'pass' if value <= limit else 'MISS'}  {name}: {value:.3g} (at most {limit:g})")
    if args.json:
        result = {
            "options": {key: str(value) for key, value in vars(args).items()},
            "versions": about,
            "median_seconds": seconds,
            "unrolled_saved_matrices": unrolled,
            "figures": {
                name: {"value": value, "limit": limit, "pass": value <= limit}
                for name, (value, limit) in figures.items()
            },
        }
        args.json.parent.mkdir(parents=True, exist_ok=True)
        temporary = args.json.with_name(args.json.name + ".tmp")
        temporary.write_text(json.dumps(result, indent=2) + "\n")
        temporary.replace(args.json)


if __name__ == "__main__":
    main()
