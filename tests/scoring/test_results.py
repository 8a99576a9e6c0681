import json
import math
from pathlib import Path

import numpy as np
import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.scoring.comparison import System
from espnet_otreg.scoring.document import results_document, summary
from espnet_otreg.scoring.provenance import Provenance
from espnet_otreg.scoring.results import SetName, compare, parse_systems, pooled_sets
from espnet_otreg.scoring.score_file import save_score
from espnet_otreg.scoring.tables import difference_table
from espnet_otreg.scoring.wer import TOTAL, score

TAG = "decode_x"
SETS = [SetName("covost2_test", "in-domain"), SetName("fleurs_test", "cross-domain")]


def run(folders, sets=SETS):
    return compare(parse_systems(folders, None), sets, TAG, samples=500)


def test_folders_joined_by_commas_are_seeds_of_one_system():
    systems = parse_systems(["exp/a", "exp/b1,exp/b2"], ["stock", "OT"])
    assert [system.name for system in systems] == ["stock", "OT"]
    assert systems[1].folders == (Path("exp/b1"), Path("exp/b2"))
    assert [system.name for system in parse_systems(["exp/a", "exp/b"], None)] == ["a", "b"]


@pytest.mark.parametrize(
    ("folders", "names", "message"),
    [
        (["a", "b"], ["one"], "2 experiments but 1 names"),
        (["a", ","], None, "is empty"),
        (["a", "b,a"], None, "same folder is given twice: a"),
        (["a", "b"], ["x", "x"], "same name is given twice: x"),
    ],
)
def test_systems_that_cannot_be_told_apart_are_refused(folders, names, message):
    with pytest.raises(UserError, match=message):
        parse_systems(folders, names)


def test_rates_are_means_over_seeds_with_their_deviation(experiments):
    comparison = run(experiments)
    base, system = comparison.sets[1].parts[TOTAL].results
    assert (base.interval.value, base.deviation) == (pytest.approx(0.45), None)
    assert system.seed_rates == pytest.approx((0.35, 0.25))
    assert system.interval.value == pytest.approx(0.30)
    assert system.deviation == pytest.approx(0.05 * math.sqrt(2))
    assert system.substitutions == pytest.approx(0.30)
    assert (system.deletions, system.insertions, system.empty_share) == (0, 0, 0)
    assert system.sentence_error_rate == 1


def test_difference_is_paired_by_speaker(experiments):
    # Averaged over seeds every speaker gains 1.5 words of 10: nothing is left to vary.
    across = run(experiments).sets[1].parts[TOTAL].results[1].difference
    assert across.absolute == pytest.approx((-0.15, -0.15, -0.15))
    assert across.relative.value == pytest.approx(-0.15 / 0.45)
    assert across.told_apart
    assert across.verdict == "lower for this common checkpoint and arm seed"
    # In domain speakers move by 1 and 0: intervals have a width.
    within = run(experiments).sets[0].parts[TOTAL].results[1].difference
    assert within.absolute.value == pytest.approx(0.025 + 0.0)
    assert within.absolute.low < within.absolute.value < within.absolute.high


def test_seeds_pair_one_by_one_when_there_are_as_many(tmp_path, make_experiment):
    wrong = {"a1": [4], "a2": [2], "b1": [3], "b2": [3]}
    folders = {
        name: make_experiment(tmp_path / name, {"fleurs_test": w}) for name, w in wrong.items()
    }
    pair = [f"{folders['a1']},{folders['a2']}", f"{folders['b1']},{folders['b2']}"]
    result = run(pair, SETS[1:]).sets[0].parts[TOTAL].results[1]
    assert result.seed_differences == pytest.approx((-0.1, 0.1))
    assert result.difference.absolute.value == 0
    assert result.difference.verdict == "not distinguishable"  # seeds move by a tenth
    unequal = run([pair[0], folders["b1"]], SETS[1:]).sets[0].parts[TOTAL].results[1]
    assert unequal.seed_differences == ()


def test_character_errors_can_be_the_figure_for_every_language(experiments):
    in_words, in_characters = (
        compare(parse_systems(experiments, None), SETS, TAG, metric=metric, samples=200)
        for metric in ("auto", "cer")
    )
    part, expected = in_characters.sets[0].parts["en"], in_words.sets[0].parts["en"]
    assert part.metric == "CER"
    assert part.results[1].seed_rates != expected.results[1].seed_rates
    assert np.mean(part.results[1].seed_rates) == pytest.approx(expected.results[1].cer)
    _, low, high = part.results[1].interval
    assert low <= part.results[1].cer <= high
    assert "in % of the words" in summary(in_words)
    page = summary(in_characters)
    assert "in % of the characters" in page
    assert "(CER)" not in page  # all are, so no column has to say it


def test_every_language_of_every_set_is_a_part(experiments):
    comparison = run(experiments)
    assert [list(tested.parts) for tested in comparison.sets] == [
        ["en", "es", TOTAL],
        ["en", "fr", TOTAL],
    ]
    sizes = [(p.utterances, p.speakers, p.words) for p in comparison.sets[0].parts.values()]
    assert sizes == [(6, 6, 60), (6, 6, 60), (12, 12, 120)]


def test_three_systems_are_all_judged_against_the_first(tmp_path, make_experiment):
    folders = [
        make_experiment(tmp_path / name, {"fleurs_test": [errors]})
        for name, errors in (("base", 4), ("worse", 5), ("best", 1))
    ]
    results = run(folders, SETS[1:]).sets[0].parts[TOTAL].results
    assert results[0].difference is None
    assert [r.difference.verdict.split()[0] for r in results[1:]] == ["higher", "lower"]


def test_scores_with_different_normalisers_are_refused(tmp_path, make_experiment):
    folders = [
        make_experiment(tmp_path / name, {"fleurs_test": [1]}, normaliser=name)
        for name in ("basic", "none")
    ]
    with pytest.raises(UserError, match=r"'basic' in .*'none' in"):
        run(folders, SETS[1:])


@pytest.mark.parametrize("other", [{"words": 9}, {"speakers": 5}])
def test_scores_against_different_references_are_refused(tmp_path, make_experiment, other):
    folders = [
        make_experiment(tmp_path / "a", {"fleurs_test": [1]}),
        make_experiment(tmp_path / "b", {"fleurs_test": [1]}, **other),
    ]
    with pytest.raises(UserError, match=r"different references: \d+ utterances .*\(en_s"):
        run(folders, SETS[1:])


def test_a_test_set_in_both_domains_is_refused(experiments):
    with pytest.raises(UserError, match="one domain only: fleurs_test"):
        run(experiments, [*SETS, SetName("fleurs_test", "in-domain")])


def test_a_language_without_reference_words_is_left_out_of_the_mean_and_named(tmp_path):
    references = {f"{lang}{i}": "a b c d" for lang in ("en", "es") for i in range(6)}
    languages = {name: name[:2] for name in references} | {f"fr{i}": "fr" for i in range(6)}
    references |= {f"fr{i}": "." for i in range(6)}
    systems = []
    for name, said in (("base", "a b x x"), ("other", "a b c x")):
        scored = score(
            references, dict.fromkeys(references, said), normaliser="basic", languages=languages
        )
        save_score(tmp_path / name / "x" / "score.json", scored, "basic", {})
        systems.append(System(name, (tmp_path / name,), external=True))
    comparison = compare(systems, [SetName("x", "far")], "", samples=200)
    macro = comparison.sets[0].macro
    assert macro.results[0].interval.value == pytest.approx(0.5)
    assert macro.results[1].difference.absolute.value == pytest.approx(-0.25)
    assert "fr in x has no reference word" in comparison.caveats[1]
    rows = {tuple(row[:3]): row for row in difference_table(comparison).rows}
    assert rows["x", "fr", "other"][8] == "–"
    assert rows["x", "macro", "other"][8] == "1 of 1"


def test_a_page_says_which_trainings_lost_updates_and_only_those(experiments):
    def page():
        made = Provenance("2025-01-01 00:00 UTC", "abc123", {"jiwer": "4.0"}, "compare")
        return results_document(run(experiments), made, [], None)

    for name, skipped in (("base", 0), ("ot_1", 6)):
        record = {"updates": 1200, "skipped_updates": skipped}
        Path("exp", name, "run.json").write_text(json.dumps(record))
    assert "- `exp/ot_1`: 0.5 % of updates skipped (not finite), 6 of 1200" in page()
    assert page().count("updates skipped") == 1


def test_a_page_says_whose_gradients_were_clipped_unlike_the_baselines(experiments):
    def page(**records):
        for name, record in records.items():
            Path("exp", name, "run.json").write_text(json.dumps(record))
        made = Provenance("2025-01-01 00:00 UTC", "abc123", {"jiwer": "4.0"}, "compare")
        return results_document(run(experiments), made, [], None)

    base, little = ({"updates": 400, "clipped_updates": count} for count in (180, 24))
    for other in ({"updates": 400, "clipped_updates": 200}, little | {"updates": 900},
                  {"updates": 400}):  # fmt: skip
        assert "Unlike steps" not in page(base=base, ot_1=other, ot_2=other)
    told = page(base=base, ot_1=little, ot_2=little | {"clipped_updates": 32})
    assert "clipped in 45 % of base's steps, but: ot_1 7 %" in told


def test_several_sets_are_judged_as_one_with_all_their_speakers(experiments):
    pooled = pooled_sets(["covost2_test+fleurs_test"], [set_._replace(domain="x") for set_ in SETS])
    assert pooled == [SetName("covost2_test+fleurs_test", "x")]
    comparison = run(experiments, [*SETS, *pooled])
    first, second, both = (tested.parts[TOTAL] for tested in comparison.sets)
    assert (both.utterances, both.words) == (24, 240)
    assert both.speakers == 18  # en_s0 to en_s5 are the same people in both
    for one, two, together in zip(first.results, second.results, both.results, strict=True):
        expected = (one.interval.value + two.interval.value) / 2  # as many words in each
        assert together.interval.value == pytest.approx(expected)
    differences = [part.results[1].difference.absolute.value for part in (first, second, both)]
    assert differences[2] == pytest.approx(sum(differences[:2]) / 2)
    assert set(comparison.sets[2].parts) == {"en", "es", "fr", TOTAL}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("covost2_test", "two or more different test sets"),
        ("covost2_test+covost2_test", "two or more different test sets"),
        ("covost2_test+mls_test", "of covost2_test, fleurs_test"),
        ("covost2_test+fleurs_test", "are cross-domain and in-domain"),
    ],
)
def test_sets_that_are_not_alike_are_not_pooled(given, message):
    with pytest.raises(UserError, match=message):
        pooled_sets([given], SETS)


def test_sets_of_different_normalisers_are_not_pooled(tmp_path, make_experiment, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("exp/base", "exp/ot"):
        make_experiment(tmp_path / folder, {"covost2_test": [1]})
        make_experiment(tmp_path / folder, {"fleurs_test": [1]}, normaliser="none")
    with pytest.raises(UserError, match="cannot be pooled"):
        run(["exp/base", "exp/ot"], [SetName("covost2_test+fleurs_test", "in-domain")])


def test_a_set_whose_own_name_has_a_plus_is_one_set(tmp_path, make_experiment, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("exp/base", "exp/ot"):
        made = Path(make_experiment(tmp_path / folder, {"covost2_test": [1]})) / TAG
        (made / "covost2_test").rename(made / "dev+test")
    (tested,) = run(["exp/base", "exp/ot"], [SetName("dev+test", "in-domain")]).sets
    assert tested.parts[TOTAL].utterances == 12
