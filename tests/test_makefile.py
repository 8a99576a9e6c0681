"""Which environment `make` uses, told without running what it says."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def make(tmp_path):
    """Ask for the commands of `make venv` where Python 3.11 and 3.12 are on the path."""
    for version in ("3.11", "3.12"):
        program = tmp_path / f"python{version}"
        program.write_text(f"#!/bin/sh\necho {version}\n")
        program.chmod(0o755)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = f"{tmp_path}:{os.environ['PATH']}"
        return subprocess.run(
            ["make", "-n", "-B", "-C", ROOT, "venv", *arguments],
            env={"PATH": path, "MAKEFLAGS": ""},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def test_each_python_gets_an_environment_of_its_own(make, tmp_path):
    usual = make().stdout
    assert "python3.11 -m venv .venv\n" in usual
    assert "pip<26.3" in usual  # what ESPnet 202511 needs
    assert make("PYTHON=python3.11").stdout == usual
    by_path = f"{tmp_path}/python3.12"
    for python in ("python3.12", by_path):
        other = make(f"PYTHON={python}").stdout
        assert f"{python} -m venv .venv-3.12\n" in other
        assert ".venv/" not in other
        assert "pip<26.3" not in other


def test_a_python_that_does_not_run_is_named_before_anything_is_installed(make):
    refused = make("PYTHON=python2.0")
    assert refused.returncode != 0
    assert "got PYTHON=python2.0" in refused.stderr
    assert "venv" not in refused.stdout


@pytest.mark.parametrize(
    ("python", "pip", "status"),
    [
        ("exit 127", "", 0),  # pyenv's command of a version that is not there
        ("exit 0", "no route to the index", 0),
        ("exit 0", "ERROR: ResolutionImpossible", 1),  # of what pyproject.toml declares
    ],
)
def test_ci_says_that_the_newest_espnet_was_not_tested_and_fails_only_where_we_are_wrong(
    tmp_path, python, pip, status
):
    (tmp_path / "python3.12").write_text(f"#!/bin/sh\n{python}\n")
    (tmp_path / "make").write_text(
        f'#!/bin/sh\n[ "$1" = test ] || [ "$1" = docs ] || {{ echo "{pip}"; exit 2; }}\n'
    )
    for name in ("python3.12", "make"):
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        [ROOT / ".ci" / "run"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == status
    assert (pip in done.stdout) and ("was not tested" in done.stdout) == (status == 0)
