import math

import pytest

from espnet_otreg.scoring.document import summary
from espnet_otreg.scoring.results import SetName, compare, parse_systems
from espnet_otreg.scoring.tables import (
    Table,
    difference_table,
    main_table,
    markdown,
    p_value,
    percent,
    plain,
    set_table,
    verdicts,
)

TAG = "decode_x"
SETS = [SetName("covost2_test", "in-domain"), SetName("fleurs_test", "cross-domain")]

MAIN = """\
| system | in-domain en | in-domain es | in-domain total | in-domain macro | cross-domain en \
| cross-domain fr | cross-domain total | cross-domain macro |
| ------ | -----------: | -----------: | --------------: | --------------: | --------------: \
| --------------: | -----------------: | -----------------: |
| stock  |        15.00 |        15.00 |           15.00 |           15.00 |           45.00 \
|           45.00 |              45.00 |              45.00 |
| OTReg  | 17.50 ± 3.54 | 17.50 ± 3.54 |    17.50 ± 3.54 |    17.50 ± 3.54 |    30.00 ± 7.07 \
|    30.00 ± 7.07 |       30.00 ± 7.07 |       30.00 ± 7.07 |"""


def compared(folders, sets=SETS, names=("stock", "OTReg")):
    return compare(parse_systems(folders, names), sets, TAG, samples=500)


def test_main_table_sets_domains_side_by_side(experiments):
    assert markdown(main_table(compared(experiments))) == MAIN


def test_a_plain_table_is_aligned():
    table = Table(["name", "n"], [["a", "100"], ["long name", "1"]])
    assert plain(table) == "name         n\n---------  ---\na          100\nlong name    1"


def test_a_bar_in_a_name_does_not_end_its_cell():
    lines = markdown(Table(["system"], [["whi|sper"]])).splitlines()
    assert lines[2] == "| whi\\|sper |" and len({len(line) for line in lines}) == 1


def test_differences_show_sign_interval_and_speakers(experiments):
    rows = difference_table(compared(experiments)).rows
    assert len(rows) == 8
    across = rows[-2]
    assert across[:6] == [
        *("fleurs_test", "total", "OTReg"),
        *("−15.00", "[−15.00, −15.00]", "−33.33"),
    ]
    assert across[-2:] == ["–", "12"]


def test_verdicts_print_the_in_domain_side_next_to_the_gain(experiments):
    lines = verdicts(compared(experiments))
    assert lines[0] == "- **OTReg** against stock:"
    assert lines[1].startswith("  - in-domain (covost2_test): not distinguishable, +2.50 [")
    expected = "lower for this common checkpoint and arm seed, −15.00 [−15.00, −15.00]"
    assert lines[2].startswith(f"  - cross-domain (fleurs_test): {expected}")
    assert lines[2].count("−33.33 % relative") == 1


def test_verdicts_count_the_seeds_that_agree_and_warn_of_few_speakers(tmp_path, make_experiment):
    wrong = {"a1": [4, 5], "a2": [2, 3], "b1": [3, 3], "b2": [3, 4]}
    folders = {
        name: make_experiment(tmp_path / name, {"fleurs_test": w}, speakers=3)
        for name, w in wrong.items()
    }
    pair = [f"{folders['a1']},{folders['a2']}", f"{folders['b1']},{folders['b2']}"]
    comparison = compared(pair, SETS[1:])
    assert "lower in 1 of 2 runs; only 6 speakers, read with care)" in verdicts(comparison)[1]
    assert difference_table(comparison).rows[-2][-2:] == ["1 of 2", "6"]
    # Three speakers of one language are too few for any interval.
    assert difference_table(comparison).rows[0][4] == "–"


def test_few_speakers_are_told_instead_of_an_interval(tmp_path, make_experiment):
    folders = [
        make_experiment(tmp_path / name, {"fleurs_test": [errors]}, speakers=1)
        for name, errors in (("a", 4), ("b", 3))
    ]
    expected = "no interval, −10.00 points; 2 speakers are too few for an interval"
    comparison = compared(folders, SETS[1:])
    assert verdicts(comparison)[1].endswith(expected)
    rates = [one.interval for part in comparison.sets[0].parts.values() for one in part.results]
    assert rates and all(math.isnan(rate.low) and math.isnan(rate.high) for rate in rates)


def test_few_speakers_and_several_seeds_are_told_by_how_many_agree(tmp_path, make_experiment):
    wrong = {"a1": 4, "a2": 2, "b1": 3, "b2": 3}
    folders = {
        name: make_experiment(tmp_path / name, {"fleurs_test": [errors]}, speakers=1)
        for name, errors in wrong.items()
    }
    pair = [f"{folders['a1']},{folders['a2']}", f"{folders['b1']},{folders['b2']}"]
    expected = "points, lower in 1 of 2 runs; 2 speakers are too few for an interval"
    assert verdicts(compared(pair, SETS[1:]))[1].endswith(expected)


def test_two_sets_of_one_domain_are_named_in_the_header(experiments):
    same = [SetName(s.name, "elsewhere") for s in SETS]
    header = main_table(compared(experiments, same)).header
    assert header[3] == "elsewhere covost2_test total"


def test_summary_names_normaliser_seeds_and_sets(experiments):
    text = summary(compared(experiments))
    assert text.startswith(MAIN)
    assert "normaliser `basic`; 1 or 2 trained models, mean ± standard deviation" in text
    assert "in-domain is covost2_test, cross-domain is fleurs_test; `macro` is the mean" in text
    alone = summary(compared(["exp/base", "exp/ot_1"]))
    assert "one trained model, so how much training itself varies is unknown" in alone


def test_sizes_are_shown_per_language(experiments):
    assert set_table(compared(experiments)).rows[2] == [
        *("covost2_test", "in-domain", "total", "WER"),
        *("12", "12", "120", "0"),
    ]


@pytest.mark.parametrize(
    ("share", "sign", "text"),
    [
        (0.12345, "", "12.35"),
        (-0.0123, "+", "−1.23"),
        (0.0, "+", "+0.00"),
        (-0.000001, "+", "+0.00"),
        (math.nan, "+", "–"),
    ],
)
def test_shares_are_written_in_per_cent(share, sign, text):
    assert percent(share, sign) == text


def test_p_values_have_the_digits_they_deserve():
    assert [p_value(p) for p in (0.0004, 0.0456, 1.0, math.nan)] == [
        "<0.001",
        "0.046",
        "1.000",
        "–",
    ]
