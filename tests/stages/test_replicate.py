"""A recipe run with several foundation models, which only pretends to train."""

import sys
from pathlib import Path

import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json
from espnet_otreg.stages.replicate import main, pairs_of

ROOT = Path(__file__).parents[2]
RECIPE = (
    f"#!{sys.executable}\n"
    + """
import os, sys
from pathlib import Path
from espnet_otreg.scoring.score_file import save_score
from espnet_otreg.scoring.wer import score
from espnet_otreg.stages import compare

options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
with open("runs", "a") as log:
    log.write(f"{os.environ['ENCODER_ARGS']} {options['--lm_seed']} {options['--seeds']}\\n")
name = f"{os.environ['ENCODER_ARGS'].split()[-1]}_{options['--lm_seed']}"
if Path("hidden").exists():
    sys.exit()
rows = []
for system, wrong in (("base", 5), ("ours", 2 + int(options["--lm_seed"]))):
    said = {f"s{i}_u": " ".join(map(str, range(10))) for i in range(8)}
    heard = {}
    for name_of, text in said.items():
        lost = wrong - (name_of < "s4")
        heard[name_of] = " ".join(["x"] * lost + text.split()[lost:])
    folder = Path(f"exp/asr_{system}_{name}")
    scored = score(said, heard, normaliser="basic", speakers={u: u[:2] for u in said})
    save_score(folder / "decode_x/a_test/score.json", scored, "basic", {})
    encoder, lm = name.split("_")
    (folder / "config.yaml").write_text(
        f"seed: 1\\nmodel: slm\\ninit_param: [exp/stage1_{name}/x.pth]\\n"
        f"encoder_conf: {{experiment: e{encoder}}}\\ndecoder_conf: {{model: m{lm}}}\\n"
    )
    rows.append(str(folder))
results = Path(options["--results"])
compare.main(["--baseline", rows[0], "--systems", rows[1], "--names", "base", "ours",
    "--decode_tag", "decode_x", "--in_domain", "a_test", "--samples", "200",
    "--output", str(results / "RESULTS.md"), "--json", str(results / "results.json")])
"""
)


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("ENCODER_ARGS", "--max_epoch 2")
    Path("run.sh").write_text(RECIPE)
    Path("run.sh").chmod(0o755)


def test_every_pair_is_run_and_the_tables_become_one(recipe, capsys):
    seeds = ["--encoder_seeds", "1", "--lm_seeds", "1 2"]
    main(["./run.sh", *seeds, "--arguments", "--seeds '1 3'"])
    assert Path("runs").read_text().splitlines() == [
        *("--max_epoch 2 --seed 1 1 1 3", "--max_epoch 2 --seed 1 2 1 3")
    ]
    found = read_json(Path("exp/replicated/results.json"))
    result = found["test_sets"][0]["parts"]["total"]["results"]["ours"]
    assert result["covers"] == {"speakers": 8, "lm": 2, "checkpoint": 2, "seed": 2}
    assert result["held"] == ["encoder"]
    assert Path("exp/replicated/encoder1_lm2/RESULTS.md").is_file()
    assert "language models (2)" in capsys.readouterr().out


def test_a_dry_run_prints_the_commands_and_runs_none(recipe, capsys):
    main(["./run.sh", "--lm_seeds", "0 4", "--dry_run"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" --report")[0] for line in lines] == [
        f"ENCODER_ARGS='--max_epoch 2' ./run.sh --lm_seed {seed} --results exp/replicated/lm{seed}"
        for seed in (0, 4)
    ]
    assert not Path("runs").exists()


def test_dev_sets_have_a_folder_of_their_own(recipe, capsys):
    main(["./run.sh", "--lm_seeds", "0 4", "--arguments", "--test_split dev", "--dry_run"])
    assert "--results exp/replicated/dev/lm4 " in capsys.readouterr().out


def test_a_recipe_that_leaves_no_table_is_named(recipe):
    Path("hidden").touch()
    with pytest.raises(SystemExit, match=r"wrote no exp/replicated/encoder1_lm1/results\.json"):
        main(["./run.sh", "--encoder_seeds", "1", "--lm_seeds", "1 2", "--arguments", "--seeds 1"])


def test_a_latin_square_meets_every_model_equally_often():
    seeds = list("123456")
    pairs = pairs_of(seeds, seeds, "latin", 12)
    assert len(set(pairs)) == 12
    for side in (0, 1):
        met = [pair[side] for pair in pairs]
        assert all(met.count(seed) == 2 for seed in seeds)
    assert pairs_of(seeds, seeds, "latin", None) == pairs
    assert len(pairs_of(list("12"), list("123"), "crossed", None)) == 6
    assert pairs_of([], ["5", "6"], "crossed", None) == [("", "5"), ("", "6")]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((["1"], ["2"], "crossed", None), "nothing to replicate"),
        ((["1", "2"], ["1", "2"], "crossed", 4), "--cells belongs to"),
        ((["1", "2", "3"], ["1", "2"], "latin", None), "not 3 and 2"),
        ((list("123"), list("123"), "latin", 7), "--cells 7: expected 3 times 2 to 3"),
    ],
)
def test_designs_that_cannot_be_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        pairs_of(*given)


def test_seeds_are_whole_numbers_and_different(recipe):
    with pytest.raises(SystemExit, match="--lm_seeds '1 1': expected whole numbers"):
        main(["./run.sh", "--lm_seeds", "1 1"])


def test_what_this_command_gives_itself_may_not_be_given(recipe):
    with pytest.raises(SystemExit, match="--arguments may not hold --results"):
        main(["./run.sh", "--lm_seeds", "1 2", "--arguments", "--results exp/x"])
