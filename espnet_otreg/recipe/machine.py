"""What this machine, or the job that runs here, has to compute with; and where machines meet."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import NamedTuple

from espnet_otreg.errors import UserError
from espnet_otreg.recipe.declared_data import AUTO

PORT = 29511
JOBS_CORES = "%cores"  # as many as a queued job finds


class Machine(NamedTuple):
    """What trainings and decodings may use."""

    ngpu: str  # per machine; auto: what the job finds
    gpu_inference: bool
    num_nodes: int


class Meeting(NamedTuple):
    """Where the machines of a training find each other, and which of them this one is."""

    address: str  # of the first machine
    port: int
    rank: int


def cores() -> int:
    """Count the processor cores this process may use; of a SLURM job those it was given."""
    allowed = len(os.sched_getaffinity(0))
    given = os.environ.get("SLURM_CPUS_PER_TASK") or os.environ.get("SLURM_CPUS_ON_NODE")
    return min(allowed, int(given)) if given else allowed


def gpus() -> int:
    """Count the GPUs, without importing torch; of a SLURM job those it was given."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        return len([name for name in names if name not in ("", "-1", "NoDevFiles")])
    if "SLURM_JOB_ID" in os.environ:  # others may be computing on what else there is
        return int(os.environ.get("SLURM_GPUS_ON_NODE") or 0)
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    done = subprocess.run([program, "--list-gpus"], capture_output=True, text=True)
    return sum(line.startswith("GPU") for line in done.stdout.splitlines())


def shares(values: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Fill in what `auto` stands for; in a queue, jobs count for themselves."""
    queued = environment.get("cmd_backend", "local") != "local"
    number = cores()
    found = values["ngpu"]
    if found == AUTO and not queued:
        found = str(gpus())
    at_once = values["train_nj"]
    if at_once == AUTO:
        at_once = "2" if found == "0" and number > 1 and values["num_nodes"] == "1" else "1"
        if queued:
            at_once = "1000"  # the queue decides
    if values["num_nodes"] != "1" and at_once != "1" and not queued:
        raise UserError(
            f"--num_nodes {values['num_nodes']} --train_nj {at_once}: without a queue, machines "
            "train one model at a time; set --train_nj 1"
        )
    each = -(-number // int(at_once))
    counts = {"inference_nj": str(number), "cores": str(number), "cores_each": str(each)}
    if queued:
        counts = dict.fromkeys(counts, JOBS_CORES)
    if values["inference_nj"] != AUTO:
        counts["inference_nj"] = values["inference_nj"]
    return {
        "ngpu": found,
        "train_nj": at_once,
        "nj": str(cores()) if values["nj"] == AUTO else values["nj"],
        "gpu_inference": {AUTO: "false" if found == "0" else "true"}.get(
            values["gpu_inference"], values["gpu_inference"]
        ),
        **counts,
    }


def meeting(num_nodes: int, environment: Mapping[str, str] = os.environ) -> Meeting:
    """Read where the machines of a training meet: a SLURM step tells, else the user does."""
    if "SLURM_STEP_ID" in environment and "SLURM_NODEID" in environment:
        own = 20000 + int(environment["SLURM_JOB_ID"]) % 10000  # two jobs may share a machine
        return Meeting(_first_host(environment), own, int(environment["SLURM_NODEID"]))
    address, rank = environment.get("MASTER_ADDR"), environment.get("NODE_RANK", "")
    port = environment.get("MASTER_PORT") or str(PORT)
    if not address or not rank.isdecimal() or int(rank) >= num_nodes or not port.isdecimal():
        raise UserError(
            f"--num_nodes {num_nodes}: run the same command on every machine, with MASTER_ADDR "
            f"(the first one's name) and NODE_RANK (0 to {num_nodes - 1}) set, or use "
            f"cmd_backend=slurm, which does this; got MASTER_ADDR={address or ''} "
            f"NODE_RANK={rank} MASTER_PORT={port}"
        )
    return Meeting(address, int(port), int(rank))


def _first_host(environment: Mapping[str, str]) -> str:
    """Return the address by which SLURM itself reaches the step's first node."""
    first = _scontrol("hostnames", environment["SLURM_STEP_NODELIST"]).split()[0]
    found = re.search(r"NodeAddr=(\S+)", _scontrol("node", first))
    return found[1] if found else first


def _scontrol(*words: str) -> str:
    done = subprocess.run(["scontrol", "show", *words], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"scontrol show {' '.join(words)} fails: {done.stderr.strip()}")
    return done.stdout
