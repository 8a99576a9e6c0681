import json
import subprocess

import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.scoring.provenance import (
    TrainingRun,
    git_version,
    package_versions,
    read_training_run,
)


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


def test_git_version_tells_edited_code_but_not_edited_reports(tmp_path):
    assert git_version(tmp_path) == "unknown"
    git(tmp_path, "init")
    package = tmp_path / "package"
    package.mkdir()
    for name in ("package/code.py", "RESULTS.md", "results.json"):
        (tmp_path / name).write_text("old")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "x", "--no-verify")
    clean = git_version(package)
    assert len(clean) == 12
    (tmp_path / "RESULTS.md").write_text("new")
    (tmp_path / "results.json").write_text("new")
    assert git_version(package) == clean
    (package / "code.py").write_text("new")
    assert git_version(package) == f"{clean}-dirty"


def test_a_package_installed_inside_somebodys_repository_is_not_at_their_commit(tmp_path):
    (tmp_path / "theirs.py").write_text("")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "theirs", "--no-verify")
    package = tmp_path / ".venv/lib/site-packages/espnet_otreg"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    assert git_version(package) == "unknown"


def test_versions_are_found_without_imports():
    versions = package_versions()
    assert {"python", "espnet_otreg", "espnet", "torch", "jiwer"} <= versions.keys()
    assert versions["jiwer"][0].isdigit()


def test_a_training_record_may_be_absent_or_partial_but_not_broken(tmp_path):
    assert read_training_run(tmp_path) == TrainingRun()
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"seed": 3, "wall_time_s": 60, "finished": False, "more": 1}))
    assert read_training_run(tmp_path) == TrainingRun(seed=3, wall_time_s=60, finished=False)
    path.write_text(json.dumps({"wall_time_s": "1h"}))
    with pytest.raises(UserError, match=r"run\.json: wall_time_s should be seconds, not '1h'"):
        read_training_run(tmp_path)
    path.write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        read_training_run(tmp_path)
