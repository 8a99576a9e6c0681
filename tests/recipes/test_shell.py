"""The shell around the stages: options, paths, back ends."""

import subprocess
import sys

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


CATCHER = """\
#!/usr/bin/env bash
# Keeps the graph that a recipe declares, and runs nothing of it.
if [ "${2:-}" = espnet_otreg.recipe.run ]; then cp "$3" "${GRAPH}"; else exec "${PYTHON}" "$@"; fi
"""


SLM = [
    *("--token_type", "slm", "--train_corpora", "covost2", "--test_corpora", "covost2 fleurs"),
    *("--inference_method", "slm", "--init_config", "conf/slm/mini/stage1.yaml", "--langs", "en"),
    *("--asr_config", "conf/slm/mini/base.yaml conf/slm/mini/otreg.yaml", "--mini", "true"),
    *("--cache_frames", "true", "--language_model", "mini", "--speech_encoder", "org/encoder"),
    *("--results", "exp/slm"),
]


def declared(folder, tmp_path, *options, **environment):
    """The words of each step that a speech language model's recipe declares, by name."""
    (tmp_path / "bin").mkdir()  # a virtual environment of its own: path.sh puts it first
    for name in ("python", "python3"):
        (tmp_path / "bin" / name).write_text(CATCHER)
        (tmp_path / "bin" / name).chmod(0o755)
    found = {
        "GRAPH": str(tmp_path / "graph"),
        "PYTHON": sys.executable,
        "OTREG_VENV": str(tmp_path),
    }
    done = shell(folder, "./otreg.sh", *SLM, *options, **found, **environment)
    assert done.returncode == 0, done.stderr
    words = (tmp_path / "graph").read_bytes().decode().split("\0")
    steps = {}
    while len(words) > 1:
        count = int(words[0])
        kind, _, name, *rest = words[1 : 1 + count]
        steps[name] = rest if kind != "say" else []
        words = words[1 + count :]
    return steps


@pytest.mark.parametrize("warm", ["", "conf/slm/whisper_base_smollm2/stage0_ctc.yaml"])
@pytest.mark.parametrize("stock", ["", "conf/slm/mini/stock.yaml"])
@pytest.mark.parametrize("encoder", ["", "own"])
def test_a_table_knows_of_each_row_what_it_was_trained_on(covost2, tmp_path, warm, stock, encoder):
    options = ["--warm_config", warm, "--stock_config", stock, "--encoder_row", encoder]
    words = declared(covost2, tmp_path, *options)["results"]

    def after(option):
        start = words.index(option) + 1
        end = next(i for i, word in enumerate(words[start:], start) if word.startswith(("--", "<")))
        return words[start:end]

    rows = after("--baseline") + after("--systems")
    assert len(after("--trained_on")) == len(after("--names")) == len(rows)
    assert len(rows) == 3 + (warm != "") + (stock != "") + (encoder != "")
