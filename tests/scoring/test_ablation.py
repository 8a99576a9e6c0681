import json
import math
from pathlib import Path

import pytest

from espnet_otreg.scoring.ablation import (
    Row,
    Sources,
    ablation_document,
    ablation_json,
    ablation_table,
    training_time,
)
from espnet_otreg.scoring.provenance import Provenance
from espnet_otreg.scoring.results import SetName, compare, parse_systems
from espnet_otreg.scoring.significance import paired_difference, resample_speakers
from espnet_otreg.scoring.tables import markdown

TAG = "decode_x"
SETS = [SetName("covost2_test", "in-domain"), SetName("fleurs_test", "cross-domain")]
WRONG = {  # wrong words of ten, by speaker; each language has the same six speakers
    "stock_1": {"covost2_test": [1], "fleurs_test": [4, 5]},
    "stock_2": {"covost2_test": [1], "fleurs_test": [4, 5]},
    "ours_1": {"covost2_test": [1], "fleurs_test": [3, 4]},
    "ours_2": {"covost2_test": [1], "fleurs_test": [3, 4]},
    "odd_1": {"covost2_test": [0, 2], "fleurs_test": [4, 5]},
    "odd_2": {"covost2_test": [2, 0], "fleurs_test": [0, 9]},
}
SECONDS = {"stock_1": 100, "stock_2": 140, "ours_1": 150, "ours_2": 150.6, "odd_1": 4000}


@pytest.fixture
def comparison(tmp_path, monkeypatch, make_experiment):
    monkeypatch.chdir(tmp_path)
    for name, wrong in WRONG.items():
        run = {"device": "cpu", "seed": int(name[-1]), "wall_time_s": SECONDS.get(name)}
        make_experiment(tmp_path / "exp" / name, wrong, run=run)
    folders = [f"exp/{name}_1,exp/{name}_2" for name in ("stock", "ours", "odd")]
    systems = parse_systems(folders, ["stock", "ours", "odd"])
    return compare(systems, SETS, TAG, samples=500)


@pytest.fixture
def sources():
    rows = tuple(
        Row(n, "conf/base.yaml", c, f"conf/{n}.yaml")
        for n, c in (("stock", ""), ("ours", "w: 1"), ("odd", ""))
    )
    made = Provenance("2025-01-01 00:00 UTC", "abc123", {"jiwer": "4.0"}, "python -m ablate x.yaml")
    commands = ("./run.sh --seeds '1 2'",)
    return Sources("x", "What does w do?", (1, 2), rows, made, commands, ("exp/recipe/RESULTS.md",))


def test_every_number_of_the_table_is_as_computed_by_hand(comparison):
    table = ablation_table(comparison)
    assert table.header == [
        *("variant", "seeds", "covost2_test WER", "Δ WER", "CER"),
        *("fleurs_test WER", "Δ WER", "CER", "training time"),
    ]
    stock, ours, odd = ([*row[:4], *row[5:7], row[8]] for row in table.rows)
    assert stock == ["stock", "2", "10.00 ± 0.00", "–", "45.00 ± 0.00", "–", "0:02:00 (×1.00)"]
    assert ours == [
        *("ours", "2", "10.00 ± 0.00", "+0.00 [+0.00, +0.00]"),
        *("35.00 ± 0.00", "−10.00 [−10.00, −10.00] *", "0:02:30 (×1.25)"),
    ]
    assert odd[:3] == ["odd", "2", "10.00 ± 0.00"]
    assert odd[-1] == "not recorded"  # one of its two seeds has no time
    for column, name in ((4, "covost2_test"), (7, "fleurs_test")):
        part = comparison.sets[column == 7].parts["total"]
        expected = [f"{100 * result.cer:.2f}" for result in part.results]
        assert [row[column] for row in table.rows] == expected, name


def test_the_intervals_are_those_of_the_paired_bootstrap(comparison):
    """Means over the seeds: 4.5 wrong words for stock, 2 and 7 by turns for the odd one."""
    speakers = [f"{language}_s{i}" for language in ("en", "fr") for i in range(6)]
    errors = [[4, 5] * 6, [2, 7] * 6]
    resampled = resample_speakers(errors, [10] * 12, speakers, samples=500)
    expected = paired_difference(resampled, 1).absolute
    given = ablation_table(comparison).rows[2][6]
    numbers = [f"{100 * bound:+.2f}".replace("-", "−") for bound in expected]
    assert given == "{} [{}, {}]".format(*numbers)
    assert expected.low < 0 < expected.high


def test_few_speakers_get_no_interval(tmp_path, make_experiment):
    folders = [
        make_experiment(tmp_path / name, {"fleurs_test": [wrong]}, speakers=1)
        for name, wrong in (("a", 4), ("b", 3))
    ]
    compared = compare(parse_systems(folders, ["a", "b"]), SETS[1:], TAG, samples=50)
    assert ablation_table(compared).rows[1][3] == "−10.00"


def test_training_time_is_the_mean_and_unknown_where_one_is_not_recorded(tmp_path):
    folders = [tmp_path / name for name in "abc"]
    for folder, seconds in zip(folders, (10, 20.5, None), strict=True):
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps({"wall_time_s": seconds}))
    assert math.isclose(training_time(folders[:2]), 15.25)
    assert training_time(folders) is None
    assert training_time([tmp_path / "none"]) is None


def test_the_page_says_what_was_asked_and_where_the_numbers_come_from(comparison, sources):
    page = ablation_document(comparison, sources)
    assert page.startswith(
        f"# Ablation: x\n\nWhat does w do?\n\n{markdown(ablation_table(comparison))}"
    )
    for fact in (
        *("normaliser `basic`", "500 draws", "training seeds 1, 2", "covost2_test is in-domain"),
        *("There are 4 comparisons", "git abc123", "jiwer 4.0", "trained on cpu", "w: 1"),
        *("exp/ours_1 exp/ours_2", "conf/base.yaml", "exp/recipe/RESULTS.md"),
        "```sh\npython -m ablate x.yaml\n./run.sh --seeds '1 2'\n```",
    ):
        assert fact in page.replace("\n", " ") or fact in page, fact


def test_the_json_holds_the_figures_and_the_sweep(comparison, sources):
    content = ablation_json(comparison, sources)
    assert content["sweep"]["variants"][1] == {
        **{"name": "ours", "source": "conf/base.yaml", "changes": "w: 1"},
        "config": "conf/ours.yaml",
        "training_time_s": pytest.approx(150.3),
    }
    assert content["sweep"]["seeds"] == [1, 2]
    across = content["test_sets"][1]["parts"]["total"]["results"]["ours"]
    assert across["difference"]["absolute"]["value"] == pytest.approx(-0.1)
    assert content["made"]["git"] == "abc123"
    assert content["systems"][1]["seeds"][1]["folder"] == str(Path("exp/ours_2"))
    json.dumps(content, allow_nan=False)
