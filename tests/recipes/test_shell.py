"""The shell around the stages: options, paths, back ends."""

import os
import subprocess

import pytest
import recipe as recipe_tools

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
        (["--stage"], "option --stage needs a value"),
        (["13"], "expected --option value, got '13'"),
        (["--mini", "false"], "db.sh has no path for covost2"),
        (["--train_corpora", ""], "--train_corpora is not set"),
        (["--stock_config", "x.yaml"], "--stock_config needs --token_type slm and --cache_frames"),
        (["--answer", "text.en"], "--answer text.en needs --token_type slm"),
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


def launch(tmp_path, gpus, **environment):
    script = f'. {TEMPLATE}/cmd.sh; launch log/x.log {gpus} echo "two words" three'
    return shell(tmp_path, "bash", "-c", script, **environment)


def test_the_local_back_end_runs_the_command_into_the_log(tmp_path):
    assert launch(tmp_path, 0).returncode == 0
    assert (tmp_path / "log/x.log").read_text() == "two words three\n"


@pytest.mark.parametrize("gpus", [0, 2])
def test_the_slurm_back_end_submits_and_waits(tmp_path, gpus):
    sbatch = tmp_path / "bin/sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > submitted\n')
    sbatch.chmod(0o755)
    done = launch(
        tmp_path,
        gpus,
        PATH=f"{sbatch.parent}:{os.environ['PATH']}",
        cmd_backend="slurm",
        slurm_options="--partition long",
    )
    assert done.returncode == 0, done.stderr
    given = (tmp_path / "submitted").read_text().splitlines()
    assert "--wait" in given
    assert given[given.index("--output") + 1] == "log/x.log"
    assert given[given.index("--partition") + 1] == "long"
    assert ("--gres" in given) == (gpus > 0)
    assert gpus == 0 or f"gpu:{gpus}" in given
    rerun = shell(tmp_path, "bash", "-c", given[given.index("--wrap") + 1])
    assert rerun.stdout == "two words three\n"


def test_an_unknown_back_end_is_an_error(tmp_path):
    done = launch(tmp_path, 0, cmd_backend="pbs")
    assert done.returncode == 1
    assert "cmd_backend must be local or slurm, got 'pbs'" in done.stderr
