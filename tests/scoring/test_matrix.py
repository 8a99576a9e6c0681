import json
from pathlib import Path

import numpy as np
import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.scoring.comparison import MACRO
from espnet_otreg.scoring.matrix import (
    by_language,
    is_in_domain,
    matrix_json,
    overview,
    train_test_matrix,
)
from espnet_otreg.scoring.results import SetName, compare, parse_external, parse_systems
from espnet_otreg.scoring.tables import percent
from espnet_otreg.scoring.wer import TOTAL
from espnet_otreg.stages import compare as command

TAG = "decode_x"
SETS = [SetName("covost2_test", "in-domain"), SetName("fleurs_test", "cross-domain")]


@pytest.fixture
def matrix(experiments):
    comparison = compare(parse_systems(experiments, ("stock", "OT")), SETS, TAG, samples=200)
    return train_test_matrix(comparison, ["covost2", "covost2+fleurs"])


def test_micro_pools_the_counts_and_macro_is_the_mean_of_the_languages(tmp_path, make_experiment):
    folder = make_experiment(tmp_path / "a", {"fleurs_test": [1, 2, 3, 4]})
    tested = compare(parse_systems([folder], None), SETS[1:], TAG, samples=50).sets[0]
    rates = {name: part.results[0].interval.value for name, part in tested.parts.items()}
    assert tested.macro.results[0].interval.value == pytest.approx(
        np.mean([rates["en"], rates["fr"]])
    )
    words = {name: part.words for name, part in tested.parts.items()}
    errors = sum(rates[name] * words[name] for name in ("en", "fr"))
    assert rates[TOTAL] == pytest.approx(errors / words[TOTAL])


def test_macro_counts_languages_alike_where_micro_counts_their_words(matrix):
    cells = {(c["system"], c["test_set"], c["language"]): c["value"] for c in matrix_json(matrix)}
    assert len(cells) == 2 * 2 * 4
    for system in ("stock", "OT"):
        languages = [cells[system, "fleurs_test", name] for name in ("en", "fr")]
        assert cells[system, "fleurs_test", MACRO] == pytest.approx(np.mean(languages))


def test_rows_say_what_was_trained_on_and_mark_what_is_in_domain(matrix):
    table = overview(matrix)
    assert table.header == [
        *("trained on", "system", "covost2_test micro", "covost2_test macro"),
        *("fleurs_test micro", "fleurs_test macro"),
    ]
    assert [row[:2] for row in table.rows] == [["covost2", "stock"], ["covost2+fleurs", "OT"]]
    marked = [["†" in cell for cell in row[2:]] for row in table.rows]
    assert marked == [[True, True, False, False], [True, True, True, True]]
    tested = matrix.comparison.sets[1]
    languages = by_language(matrix, tested)
    assert languages.header[2:] == ["en", "fr"]
    assert languages.rows[0][2].startswith(percent(tested.parts["en"].results[0].interval.value))


def test_a_set_is_in_domain_by_its_whole_first_words():
    assert is_in_domain("mls", "mls_test")
    assert is_in_domain("librispeech+mls", "librispeech")
    assert not is_in_domain("mls", "mlsx_test")
    assert not is_in_domain("fleurs", "covost2_test")


def test_every_system_needs_its_training_corpus(matrix):
    with pytest.raises(UserError, match=r"names 1 training corpora for 2 systems \(stock, OT\)"):
        train_test_matrix(matrix.comparison, ["covost2"])


def test_a_system_decoded_elsewhere_is_a_row_beside_experiments(experiments, tmp_path, capsys):
    for name in ("covost2_test", "fleurs_test"):  # as stages.score leaves them
        place = tmp_path / "external/theirs" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "exp/ot_1" / TAG / name).rename(place)
    arguments = ["--in_domain", "covost2_test", "--cross_domain", "fleurs_test"]
    arguments += ["--samples", "50", "--output", "R.md", "--json", "r.json"]
    command.main(
        [
            *("--baseline", "exp/base", "--external", "theirs=external/theirs"),
            *("--trained_on", "covost2", "elsewhere", "--decode_tag", TAG, *arguments),
        ]
    )
    assert "elsewhere   theirs" in capsys.readouterr().out
    content = json.loads(Path("r.json").read_text())
    assert [s["external"] for s in content["systems"]] == [False, True]
    across = content["test_sets"][1]
    assert across["parts"]["total"]["results"]["theirs"]["seed_rates"] == pytest.approx([0.35])
    assert across["macro"]["results"]["theirs"]["interval"]["value"] == pytest.approx(0.35)
    assert len(content["matrix"]) == 16
    page = Path("R.md").read_text(encoding="utf-8")
    for text in ("decoded elsewhere and scored here: theirs", "## Trained on, tested on"):
        assert text in page


@pytest.mark.parametrize("given", ["external/theirs", "=x", "x="])
def test_an_external_system_needs_name_and_folder(given):
    with pytest.raises(UserError, match="should be name=folder"):
        parse_external([given])


def test_an_external_system_may_not_share_a_name(experiments):
    systems = parse_systems(experiments, ("a", "b")) + parse_external(["b=x"])
    with pytest.raises(UserError, match="two systems have one name among a, b, b"):
        compare(systems, SETS, TAG)
