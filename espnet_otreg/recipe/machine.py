"""What this machine, or the job that runs here, has to compute with."""

import os
import shutil
import subprocess


def cores() -> int:
    """Count the processor cores this process may use."""
    return len(os.sched_getaffinity(0))


def gpus() -> int:
    """Count the GPUs, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    done = subprocess.run([program, "--list-gpus"], capture_output=True, text=True)
    return sum(line.startswith("GPU") for line in done.stdout.splitlines())
