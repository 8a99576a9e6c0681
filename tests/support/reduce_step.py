"""A training for tests: all its processes add up their ranks, the first writes the sum."""

import argparse
from pathlib import Path

import torch
import torch.distributed as dist

parser = argparse.ArgumentParser()
parser.add_argument("--output", type=Path, required=True)
parser.add_argument("--ngpu")
parser.add_argument("--dist_backend")
args = parser.parse_args()
dist.init_process_group(args.dist_backend)
number = torch.tensor([10.0 ** dist.get_rank()])
dist.all_reduce(number)
if dist.get_rank() == 0:
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "text").write_text(f"{number.item():.0f}")
dist.destroy_process_group()
