"""Runs a copy of a recipe in a temporary folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = [
    *("--mini_size", "smoke", "--nbpe", "90", "--seeds", "1"),
    *("--nj", "2", "--inference_nj", "1", "--train_nj", "1", "--pictures", "1"),
    *("--asr_args", "--max_epoch 1 --batch_size 8 --optim_conf lr=0.0001"),
]


def copy_recipe(name: str, folder: Path) -> Path:
    """Copy a recipe and the template it links to; returns the recipe's folder."""
    for part in ("TEMPLATE", name, "covost2_otreg"):  # fleurs shares covost2's conf/mini
        target = folder / "egs2" / part
        if not target.exists():
            shutil.copytree(
                ROOT / "egs2" / part,
                target,
                symlinks=True,
                ignore=shutil.ignore_patterns("data", "dump", "exp"),
            )
    return folder / "egs2" / name


def environment() -> dict[str, str]:
    """Find this interpreter, and none of the caller's corpora."""
    corpora = ("COVOST2", "FLEURS", "MLS", "LIBRISPEECH", "COMMONVOICE", "AISHELL")
    kept = {name: value for name, value in os.environ.items() if name not in corpora}
    return {**kept, "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}"}


def run_recipe(
    recipe: Path, *options: str, script: str = "./run.sh", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run `./run.sh`, or another script, on seconds of speech."""
    return subprocess.run(
        [script, *TINY, *options],
        cwd=recipe,
        env={**environment(), **variables},
        capture_output=True,
        text=True,
        timeout=1800,
    )
