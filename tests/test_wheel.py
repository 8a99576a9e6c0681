"""What a stranger gets: the archives that the project builds, and what they hold once installed."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from espnet_otreg import __version__

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = """accelerate av espeakng_loader espnet_model_zoo gguf huggingface_hub jinja2 matplotlib
    num2words peft PIL playwright pyarrow sacrebleu sounddevice transformers webrtcvad
    whisper_normalizer"""
LOOK = """
import contextlib, importlib.metadata, io, json, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {extras}:
            raise ModuleNotFoundError(name + " stands for an extra that is not installed")
sys.meta_path.insert(0, Absent())
import espnet_otreg
from espnet_otreg import cli
helps = {{}}
for verb in cli.VERBS:
    with contextlib.redirect_stdout(io.StringIO()) as told, contextlib.suppress(SystemExit):
        cli.main([verb, "--help"])
    helps[verb] = told.getvalue()
version = importlib.metadata.version("espnet_otreg")
print(json.dumps(dict(file=espnet_otreg.__file__, version=version, helps=helps)))
"""


def build(source: Path, kind: str, output: Path) -> Path:
    """Build as pip does, with the setuptools that is here."""
    output.mkdir(exist_ok=True)
    code = f"from setuptools import build_meta; build_meta.build_{kind}({str(output)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=source,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    [archive] = output.glob({"sdist": "*.tar.gz", "wheel": "*.whl"}[kind])
    return archive


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The sdist and the wheel, as `python -m build` or `pip wheel .` make them."""
    home = tmp_path_factory.mktemp("dist")
    made = ("downloads", "data", "dump", "exp", "site", "build", "*.egg-info", ".*")
    shutil.copytree(  # since building leaves files behind
        ROOT, home / "checkout", symlinks=True, ignore=shutil.ignore_patterns(*made)
    )
    return tuple(build(home / "checkout", kind, home) for kind in ("sdist", "wheel"))


@pytest.fixture(scope="module")
def installed(archives, tmp_path_factory):
    """A folder that holds the wheel alone."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*pip, "--target", str(target), str(archives[1])], check=True)
    return target


@pytest.fixture(scope="module")
def run(installed, tmp_path_factory):
    """Run Python with that folder first and the checkout nowhere; returns what it printed."""
    # -S: no .pth file, so none that leads to a checkout; what else is installed comes by its folder
    path = os.pathsep.join([str(installed), sysconfig.get_path("purelib")])
    folder = tmp_path_factory.mktemp("elsewhere")

    def run(*words, cwd=folder, code=0):
        done = subprocess.run(
            [sys.executable, "-S", *words],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


def test_both_archives_carry_the_version_and_the_sdist_builds_the_same_wheel(archives, tmp_path):
    sdist, wheel = archives
    assert sdist.name == f"espnet_otreg-{__version__}.tar.gz"
    assert wheel.name == f"espnet_otreg-{__version__}-py3-none-any.whl"
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    again = build(tmp_path / f"espnet_otreg-{__version__}", "wheel", tmp_path / "again")
    assert contents(again) == contents(wheel)


def test_every_verb_tells_its_options_from_the_wheel_without_any_extra(run, installed):
    told = json.loads(run("-c", LOOK.format(extras=EXTRAS.split())))
    assert Path(told["file"]).is_relative_to(installed)
    assert told["version"] == __version__
    assert not [verb for verb, text in told["helps"].items() if "usage: " not in text]
    assert run("-m", "espnet_otreg.cli", "--version") == f"espnet-otreg {__version__}\n"


def in_checkout(folder: str) -> list[str]:
    """List a folder's files but for those that git ignores."""
    command = ["git", "ls-files", "-co", "--exclude-standard", folder]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return sorted(listed.stdout.split())


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(installed):
    names = in_checkout("espnet_otreg")
    package = installed / "espnet_otreg"
    carried = {
        str(path.relative_to(installed))
        for path in package.rglob("*")
        if path.is_file() and not {package / "egs2", package / "egs3"} & {*path.parents}
    }
    assert carried == set(names)


def recipe_files(egs2: Path) -> dict[str, tuple[str, bool]]:
    """Of every script and config its link's target or its text, and whether it can be run."""
    return {
        str(path.relative_to(egs2)): (
            str(path.readlink()) if path.is_symlink() else path.read_text(),
            not path.is_symlink() and os.access(path, os.X_OK),
        )
        for pattern in ("*/*.sh", "*/conf", "*/conf/**/*")
        for path in egs2.glob(pattern)
        if path.is_symlink() or path.is_file()
    }


def test_the_recipes_come_out_of_the_wheel_as_they_are_in_the_checkout(run, tmp_path):
    told = run("-m", "espnet_otreg.cli", "recipes", str(tmp_path))
    assert "cd" in told
    assert recipe_files(tmp_path / "egs2") == recipe_files(ROOT / "egs2")
    kept = tmp_path / "egs2/TEMPLATE/db.sh"
    kept.write_text("mine")
    refused = run("-m", "espnet_otreg.cli", "recipes", str(tmp_path), code=1)
    assert re.fullmatch(r"error: .*egs2 is there already.*\n", refused)
    assert kept.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["egs2", "egs3"]


def test_the_recipe_of_espnet3_comes_out_file_by_file(run, tmp_path):
    run("-m", "espnet_otreg.cli", "recipes", str(tmp_path))
    names = in_checkout("egs3")
    laid = [path for path in (tmp_path / "egs3").rglob("*") if path.is_file()]
    assert names == sorted(str(path.relative_to(tmp_path)) for path in laid)
    assert all((tmp_path / name).read_bytes() == (ROOT / name).read_bytes() for name in names)


def test_a_recipe_without_a_checkout_says_so_where_python_lacks_the_package(run, tmp_path):
    run("-m", "espnet_otreg.cli", "recipes", str(tmp_path))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").symlink_to(sys.executable)
    done = subprocess.run(
        ["./run.sh", "--help"],
        cwd=tmp_path / "egs2/covost2_otreg",
        env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "PYTHONNOUSERSITE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "has no espnet_otreg" in done.stderr
