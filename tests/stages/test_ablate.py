"""A sweep from YAML to table, with a recipe that only pretends to train."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from espnet_otreg.stages.ablate import main, tables_folder

ROOT = Path(__file__).parents[2]
PRETEND = (ROOT / "tests/support/pretend_recipe.py").read_text()
# The options of otreg.sh; its stages are pretend_recipe.py.
RECIPE = f"""#!/usr/bin/env bash
set -euo pipefail
asr_config= seeds=1 names= results=exp plan= metric=auto stop_stage=13 test_split=
while [ $# -gt 0 ]; do declare "${{1#--}}=$2"; shift 2; done
jobs=()
for config in ${{asr_config}}; do
    for seed in ${{seeds}}; do jobs+=("${{config}}" "${{seed}}"); done
done
echo "the recipe speaks"
exec {sys.executable} pretend_recipe.py \\
    "${{names}}" "${{results}}" "${{plan}}" "${{metric}}" "${{stop_stage}}" "${{jobs[@]}}"
"""
SWEEP = {
    "recipe": "./run.sh",
    "base": "conf/ours.yaml",
    "seeds": [1, 2],
    "variants": {
        "stock": {"config": "conf/stock.yaml"},
        "λ=0.3": {},
        "λ = 1": {"model_conf.ot_conf.weight": 1.0},
    },
}
EVERYTHING = ["None 1", "None 2", "0.3 1", "0.3 2", "1.0 1", "1.0 2"]


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A recipe's folder with a sweep of three variants and two seeds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    Path("conf").mkdir()
    Path("conf/ours.yaml").write_text("model: otreg\nmodel_conf: {ot_conf: {weight: 0.3}}\n")
    Path("conf/stock.yaml").write_text("model: espnet\nmodel_conf: {}\n")
    Path("conf/what.yaml").write_text("# Does it help?\n" + yaml.safe_dump(SWEEP, sort_keys=False))
    Path("run.sh").write_text(RECIPE)
    Path("run.sh").chmod(0o755)
    Path("pretend_recipe.py").write_text(PRETEND)
    return tmp_path


def trained() -> list[str]:
    """What was trained, in order, but for the common checkpoint."""
    return Path("trained").read_text().splitlines()[:6] if Path("trained").exists() else []


def test_the_table_holds_what_hand_and_bootstrap_compute(recipe, capsys):
    main(["conf/what.yaml"])
    assert trained() == EVERYTHING
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    table = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert table[0] == ["variant", "seeds", "a_test WER", "Δ WER", "CER", "training time"]
    assert [row[0] for row in table[2:5]] == ["stock", "λ=0.3", "λ = 1"]
    stock, ours, wide = ([*row[1:4], row[5]] for row in table[2:5])
    # Speakers err 4 and 5 times in ten, or 2.5 and 3.5 (mean of the seeds), or 2 and 7.
    assert stock == ["2", "45.00 ± 0.00", "–", "0:01:30 (×1.00)"]
    # of two seeds 10 points apart Student's interval: 12.71 times 5 points to either side
    assert ours == ["2", "30.00 ± 7.07", "−15.00 [−78.53, +48.53]", "0:01:45 (×1.17)"]
    assert wide[1] == "45.00 ± 0.00"
    results = json.loads(Path("exp/ablations/what/recipe/results.json").read_text())
    part = results["test_sets"][0]["parts"]["total"]["results"]["λ = 1"]["difference"]["absolute"]
    bounds = [f"{100 * part[key]:+.2f}".replace("-", "−") for key in ("value", "low", "high")]
    assert wide[2] == "{} [{}, {}]".format(*bounds)
    assert part["low"] < 0 < part["high"]


def test_the_metric_is_the_recipes(recipe, capsys):
    main(["conf/what.yaml", "--arguments", "--metric cer"])
    header, _, _, ours = capsys.readouterr().out.splitlines()[:4]
    assert "a_test CER  " in header
    assert "WER" not in header
    results = json.loads(Path("exp/ablations/what/recipe/results.json").read_text())
    result = results["test_sets"][0]["parts"]["total"]["results"]["λ=0.3"]
    for share in (result["interval"]["value"], -result["difference"]["absolute"]["low"]):
        assert f"{100 * share:.2f}" in ours


def test_the_page_and_the_json_hold_the_provenance(recipe):
    main(["conf/what.yaml", "--arguments", "--metric auto"])
    page = Path("exp/ablations/what/RESULTS.md").read_text()
    for fact in (
        *(
            "# Ablation: what\n\nDoes it help?",
            "git ",
            "espnet_otreg ",
            "seeds 1, 2; trained on abacus",
        ),
        *("normaliser `basic`", "300 draws", "model_conf.ot_conf.weight: 1.0"),
        "exp/ablations/what/recipe/RESULTS.md",
        "stages.ablate conf/what.yaml --arguments '--metric auto'\n./run.sh --metric auto ",
        "--seeds '1 2' --names 'stock;λ=0.3;λ = 1'",
    ):
        assert fact in page, fact
    content = json.loads(Path("exp/ablations/what/results.json").read_text())
    configs = [variant["config"] for variant in content["sweep"]["variants"]]
    written = "exp/ablations/what/conf/lambda_=_1.yaml"
    assert configs == ["conf/stock.yaml", "conf/ours.yaml", written]
    assert yaml.safe_load(Path(written).read_text()) == {
        **{"model": "otreg", "model_conf": {"ot_conf": {"weight": 1.0}}}
    }
    assert [system["name"] for system in content["systems"]] == ["stock", "λ=0.3", "λ = 1"]
    assert content["systems"][1]["seeds"][1]["run"]["wall_time_s"] == 135


@pytest.mark.parametrize(
    ("arguments", "folder"),
    [
        ([], "exp/a"),
        (["--test_split", "dev"], "exp/a/dev"),
        (["--test-split=dev"], "exp/a/dev"),
        (["--test_split", "dev", "--test_split", "test"], "exp/a"),  # the last one counts
        (["--names", "--test_split", "--seeds", "1"], "exp/a"),
    ],
)
def test_tables_of_dev_sets_have_a_folder_of_their_own(arguments, folder):
    assert tables_folder(Path("exp/a"), arguments) == Path(folder)


def test_a_sweep_over_dev_sets_leaves_the_table_of_test_sets(recipe):
    main(["conf/what.yaml"])
    page = Path("exp/ablations/what/RESULTS.md").read_bytes()
    main(["conf/what.yaml", "--arguments", "--test_split dev"])
    assert Path("exp/ablations/what/dev/results.json").is_file()
    assert Path("exp/ablations/what/RESULTS.md").read_bytes() == page


def test_the_same_command_again_trains_nothing_and_a_new_variant_only_itself(recipe):
    main(["conf/what.yaml"])
    first = Path("exp/ablations/what/results.json").read_text()
    log = Path("trained").read_text()
    main(["conf/what.yaml"])
    assert Path("trained").read_text() == log
    again = json.loads(Path("exp/ablations/what/results.json").read_text())
    assert again["test_sets"] == json.loads(first)["test_sets"]
    more = {**SWEEP, "variants": {"again": {"model_conf.ot_conf.weight": 1}, **SWEEP["variants"]}}
    del more["variants"]["λ = 1"]
    Path("conf/what.yaml").write_text(yaml.safe_dump(more, sort_keys=False))
    main(["conf/what.yaml"])
    assert Path("trained").read_text() == log + "1 1\n1 2\n"


def test_a_dry_run_says_what_is_done_begun_and_missing_and_makes_nothing(recipe, capsys):
    main(["conf/what.yaml", "--dry_run"])
    assert "6 trainings: 0 done, 0 begun, 6 missing" in capsys.readouterr().out
    assert not trained()
    Path("fails").touch()
    with pytest.raises(SystemExit):
        main(["conf/what.yaml"])
    folder = next(Path("exp").glob("asr_ours_seed2*"))
    (folder / "train.log").touch()
    kept = sorted(map(str, Path().rglob("*")))
    capsys.readouterr()
    main(["conf/what.yaml", "--dry_run"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["stock", "conf/stock.yaml", "–", "done", "done"]
    assert lines[3].split()[-2:] == ["done", "begun"]
    assert lines[4].split()[-3:] == ["1.0", "missing", "missing"]
    assert lines[-1] == "3 variants x 2 runs = 6 trainings: 3 done, 1 begun, 2 missing"
    assert sorted(map(str, Path().rglob("*"))) == kept


def test_a_failed_recipe_is_one_message_and_the_same_command_goes_on(recipe):
    Path("fails").touch()
    with pytest.raises(SystemExit, match=r"error: \./run\.sh ended with code 1, .* goes on from"):
        main(["conf/what.yaml"])
    assert trained() == EVERYTHING[:3]
    assert not Path("exp/ablations/what/RESULTS.md").exists()
    Path("fails").unlink()
    main(["conf/what.yaml"])
    assert trained() == EVERYTHING


def test_a_killed_run_ends_its_recipe_and_continues_later(recipe):
    Path("hangs").touch()
    command = [sys.executable, "-m", "espnet_otreg.stages.ablate", "conf/what.yaml"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        deadline = time.monotonic() + 60
        while len(list(Path("exp").glob("*/train.log"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        told = running.communicate(timeout=60)[1].decode()  # ends when the recipe's output does
    assert running.returncode == 1
    assert "interrupted: what is finished is kept" in told
    assert trained() == EVERYTHING[:1]
    Path("hangs").unlink()
    main(["conf/what.yaml"])
    assert trained() == EVERYTHING


def test_results_of_an_earlier_run_are_not_taken_for_new(recipe):
    main(["conf/what.yaml"])
    with pytest.raises(SystemExit, match=r"wrote no exp/ablations/what/recipe/results\.json"):
        main(["conf/what.yaml", "--arguments", "--stop_stage 11"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('names.split(";")', '"abc"', "have 0 experiments of variant 'stock'"),
        (
            "in pairs:\n        folder = find",
            "in pairs[::2]:\n        folder = find",
            "have 1 experiments",
        ),
    ],
)
def test_a_recipe_that_does_something_else_is_noticed(recipe, old, new, message):
    assert old in PRETEND
    Path("pretend_recipe.py").write_text(PRETEND.replace(old, new))
    with pytest.raises(SystemExit, match=f"{message}.* expected 2, one per seed"):
        main(["conf/what.yaml"])


def test_a_recipe_that_cannot_be_run_and_a_wrong_sweep_are_told_before_anything_runs(recipe):
    Path("run.sh").chmod(0o644)
    with pytest.raises(SystemExit, match=r"recipe \./run\.sh is not a script .* recipe's folder"):
        main(["conf/what.yaml"])
    Path("conf/what.yaml").write_text(yaml.safe_dump({**SWEEP, "seeds": []}))
    with pytest.raises(SystemExit, match=r"error: conf/what\.yaml: `seeds` must be"):
        main(["conf/what.yaml"])
    with pytest.raises(SystemExit, match=r"error: sweep none\.yaml does not exist"):
        main(["none.yaml"])
    assert not Path("exp").exists()


def test_the_command_starts_without_torch_and_espnet():
    code = (
        "import sys, espnet_otreg.stages.ablate\n"
        "print(sorted({'torch', 'espnet', 'espnet2'} & sys.modules.keys()))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "[]"
