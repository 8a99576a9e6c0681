"""The shell around the stages: options, paths, back ends."""

import subprocess

import pytest

from tests.support import recipe as recipe_tools

TEMPLATE = recipe_tools.ROOT / "egs2/TEMPLATE"
ENVIRONMENT = recipe_tools.environment()


@pytest.fixture
def covost2(tmp_path):
    return recipe_tools.copy_recipe("covost2_otreg", tmp_path)


def shell(folder, *command, **environment):
    return subprocess.run(
        command,
        cwd=folder,
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--nonsense", "1"], "unknown option --nonsense"),
        (["--stage", "abc"], "--stage 'abc': expected a stage"),
        (["--mini", "false"], "db.sh has no path for covost2"),
    ],
)
def test_a_wrong_command_line_is_one_clear_message(covost2, options, message):
    done = shell(covost2, "./run.sh", *options)
    assert done.returncode == 1
    assert message in done.stderr
    assert not (covost2 / "data").exists()


def test_help_lists_the_stages_and_espnets_options(covost2):
    done = shell(covost2, "./run.sh", "--help")
    assert done.returncode == 0
    options = """stage stop_stage ngpu nj inference_nj gpu_inference asr_config asr_args expdir
        inference_config dumpdir nbpe token_type speed_perturb_factors feats_normalize"""
    for option in options.split():
        assert f"--{option} " in done.stdout


def test_corpus_paths_switch_to_the_full_configs(covost2, tmp_path):
    done = shell(covost2, "./run.sh", COVOST2=str(tmp_path / "no"), FLEURS=str(tmp_path))
    assert "stage 0: nothing to do" in done.stderr
    assert "error: " in done.stderr
    assert "is not a folder" in done.stderr
    assert "COVOST2" in done.stderr
