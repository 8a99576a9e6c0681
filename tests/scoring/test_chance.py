"""What a table says of its levels of chance, and of the runs that would tell more."""

import math

import numpy as np
import pytest

from espnet_otreg.scoring.chance import covered, needed, variance_table
from espnet_otreg.scoring.comparison import Part, Result
from espnet_otreg.scoring.components import Component
from espnet_otreg.scoring.hierarchy import FARING, Words, judge
from espnet_otreg.scoring.results import SetName, compare, parse_systems
from espnet_otreg.scoring.significance import resample_speakers
from espnet_otreg.scoring.tables import verdicts
from espnet_otreg.scoring.wer import TOTAL

TAG = "decode_x"
SETS = [SetName("fleurs_test", "cross-domain")]
GAIN = -0.02


def simulated(cells, deviations, speakers, seed):
    """Errors of two systems (cells, speakers) whose difference every level moves, and words."""
    rng = np.random.default_rng(seed)
    words = 10.0 * rng.geometric(1 / 12, speakers)
    moved = np.zeros(len(cells))
    for level, deviation in deviations.items():
        values = [tuple(c[part] for part in level.split("/")) for c in cells]
        drawn = {value: deviation * rng.normal() for value in dict.fromkeys(values)}
        moved += [drawn[value] for value in values]
    base = 0.2 + rng.normal(0, 0.05, speakers)
    gain = GAIN + rng.normal(0, 0.02, speakers) + moved[:, None]
    faring = rng.normal(0, 0.01, (2, len(cells), speakers))
    rates = (base + gain + faring[0], base + faring[1])
    errors = [rng.binomial(words.astype(int), rate.clip(0, 1)) for rate in rates]
    return errors[0].astype(float), errors[1].astype(float), words


def judged(cells, deviations, seed, speakers=24):
    ours, theirs, said = simulated(cells, deviations, speakers, seed)
    means = np.stack([ours.mean(axis=0), theirs.mean(axis=0)])
    names = [f"s{i:03d}" for i in range(speakers)]
    drawn = resample_speakers(means, said, names, samples=200, seed=seed)
    place = np.arange(speakers)
    return judge(ours, theirs, cells, Words(said, place, (place,)), drawn)


SEEDS = [{"seed": str(s)} for s in range(4)]
CHECKPOINTS = [{"checkpoint": str(c), "seed": str(s)} for c in range(4) for s in range(2)]
SQUARE = [
    {"encoder": str(i), "lm": str((i + j) % 6), "seed": "1"} for i in range(6) for j in (0, 1)
]


@pytest.mark.parametrize(
    ("cells", "deviations"),
    [
        (SEEDS, {"seed": 0.015}),
        (CHECKPOINTS, {"seed/checkpoint": 0.01, "checkpoint": 0.02}),
        (SQUARE, {"encoder": 0.02, "lm": 0.015, "encoder/lm": 0.01}),
    ],
    ids=["arm seeds", "checkpoints and seeds", "a Latin square"],
)
def test_intervals_over_levels_hold_the_truth_in_93_to_97_per_cent(cells, deviations):
    trials = 400
    held = 0
    for trial in range(trials):
        interval = judged(cells, deviations, trial).difference.absolute
        held += interval.low <= GAIN <= interval.high
    assert 0.93 <= held / trials <= 0.97, held / trials


def test_an_interval_over_speakers_alone_would_not():
    held = 0
    for trial in range(100):
        ours, theirs, words = simulated(SEEDS, {"seed": 0.02}, 24, trial)
        means = np.stack([ours.mean(axis=0), theirs.mean(axis=0)])
        names = [f"s{i:03d}" for i in range(24)]
        drawn = resample_speakers(means, words, names, samples=200, seed=trial)
        alone = judge(
            means[:1], means[1:], [{}], Words(words, np.arange(24), (np.arange(24),)), drawn
        )
        held += alone.difference.absolute.low <= GAIN <= alone.difference.absolute.high
    assert held < 85


def test_no_interval_is_narrower_than_the_speakers_own():
    for trial in range(20):
        whole = judged(SEEDS, {}, trial).difference.absolute
        ours, theirs, said = simulated(SEEDS, {}, 24, trial)
        means = np.stack([ours.mean(axis=0), theirs.mean(axis=0)])
        drawn = resample_speakers(
            means, said, [f"s{i:03d}" for i in range(24)], samples=200, seed=trial
        )
        words = Words(said, np.arange(24), (np.arange(24),))
        alone = judge(means[:1], means[1:], [{}], words, drawn).difference.absolute
        assert whole.low <= alone.low + 1e-12 and alone.high - 1e-12 <= whole.high


def test_p_is_where_the_interval_ends_at_zero():
    told = judged(SEEDS, {"seed": 0.005}, 3).difference
    excludes = told.absolute.low > 0 or told.absolute.high < 0
    assert excludes == (told.p < 0.05)
    assert 0 < told.p <= 1


def systems(make_experiment, tmp_path, wrong, groups):
    folders = {n: make_experiment(tmp_path / n, {"fleurs_test": w}) for n, w in wrong.items()}
    names = [",".join(folders[name] for name in group) for group in groups]
    return compare(parse_systems(names, list("AB")[: len(groups)]), SETS, TAG, samples=300)


def test_the_caption_names_levels_with_their_numbers_and_what_is_held(tmp_path, make_experiment):
    wrong = {"a1": [4, 5], "a2": [4, 4], "a3": [5, 5], "b1": [3, 4], "b2": [3, 3], "b3": [4, 3]}
    wrong["c1"] = [5, 4]
    groups = [["a1", "a2", "a3"], ["b1", "b2", "b3"]]
    found = systems(make_experiment, tmp_path, wrong, groups)
    assert covered(found) == "utterances (12), arm seeds (3); held at one: common checkpoint"
    alone = systems(make_experiment, tmp_path / "x", wrong, [["a1"], ["b1"]])
    assert covered(alone) == "utterances (12); held at one: common checkpoint, arm seed"
    groups = [["a1", "a2", "a3"], ["b1", "b2", "b3"], ["c1"]]
    names = [",".join(f"{tmp_path}/{name}" for name in group) for group in groups]
    mixed = compare(parse_systems(names, ["A", "B, longer", "C"]), SETS, TAG, samples=300)
    assert covered(mixed) == (
        "utterances (12), arm seeds (3); held at one: common checkpoint, for “B, longer”; and "
        "utterances (12); held at one: common checkpoint, arm seed, for “C”"
    )


def test_better_is_said_only_where_nothing_is_held(tmp_path, make_experiment):
    wrong = {f"a{i}": [5, 6] for i in range(8)} | {f"b{i}": [1, 2] for i in range(8)}
    groups = [[f"{name}{i}" for i in range(8)] for name in "ab"]
    rows = [{"checkpoint": str(i // 2), "seed": str(i)} for i in range(8)]
    folders = [",".join(make_experiment(tmp_path / n, {"fleurs_test": wrong[n]}) for n in group)
               for group in groups]  # fmt: skip
    parsed = parse_systems(folders, ["A", "B"])
    free = compare(parsed, SETS, TAG, samples=300, labels=[rows, rows])
    assert "cross-domain (fleurs_test): better, −40.00" in verdicts(free)[1]
    tied = [{**row, "checkpoint": "0", "lm": "x"} for row in rows]
    held = compare(parsed, SETS, TAG, samples=300, labels=[tied, tied])
    expected = "lower for this language model and common checkpoint, −40.00"
    assert expected in verdicts(held)[1] and "better" not in "".join(verdicts(held))


def test_shares_of_the_variance_add_up_and_the_table_shows_them(tmp_path, make_experiment):
    wrong = {"a1": [4, 5], "a2": [4, 4], "b1": [3, 4], "b2": [3, 1]}
    found = systems(make_experiment, tmp_path, wrong, [["a1", "a2"], ["b1", "b2"]])
    result = found.sets[0].parts[TOTAL].results[1]
    assert [part.level for part in result.components] == ["speakers", FARING, "arm seeds"]
    table = variance_table(found)
    assert table.header[:3] == ["test set", "system", "± points"]
    shares = [int(cell) for cell in table.rows[0][3:6]]
    assert 97 <= sum(shares) <= 100
    whole = sum(part.variance for part in result.components)
    assert table.rows[0][2] == f"{100 * math.sqrt(whole):.2f}"


def result_with(*components):
    empty = dict.fromkeys(Result._fields)
    return Result(**{**empty, "components": tuple(Component(*c) for c in components)})


def part_of(speakers):
    return Part(**{**dict.fromkeys(Part._fields), "speakers": speakers})


def test_runs_needed_follow_the_square_root_law():
    seeds = result_with(("speakers", 0.0, 10_000), (FARING, 0.0, 1), ("arm seeds", 0.01**2, 4))
    # With many draws 2.8 standard errors of a mean of n are a point: n = 4 * 2.8 ** 2.
    assert needed(part_of(10_000), seeds)["arm seeds"] == pytest.approx(4 * 2.8**2, abs=4)


def test_no_number_of_runs_makes_up_for_few_speakers():
    few = result_with(("speakers", 0.02**2, 24), (FARING, 0.0, 1), ("arm seeds", 0.01**2, 3))
    found = needed(part_of(24), few)
    assert found["arm seeds"] is None and found["speakers"] is None  # each alone leaves too much
    assert needed(part_of(24), few, points=0.1)["arm seeds"] == 2


def test_with_one_model_each_speakers_are_counted_alone():
    alone = result_with(("speakers", 0.01**2, 100))
    # 2.8 standard errors are a point with 7.9 times as many speakers
    assert needed(part_of(100), alone) == {"speakers": pytest.approx(100 * 2.8**2, abs=25)}
