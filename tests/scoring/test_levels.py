from pathlib import Path

import pytest
import yaml

from espnet_otreg.errors import UserError
from espnet_otreg.scoring.comparison import System
from espnet_otreg.scoring.levels import LM, SEED, labels_of, pair


def trained(folder, **config):
    """An experiment's folder as training leaves it, its token list included."""
    folder.mkdir(parents=True)
    start = config.pop("start", None)
    lines = [f"{key}: {value}" for key, value in config.items()]
    lines += ["token_list:", *(f"- '{token}'" for token in "abc")]
    lines.append("init_param: []" if start is None else f"init_param:\n-   {start}/valid.ave.pth")
    (folder / "config.yaml").write_text("\n".join([*lines, "grad_clip: 5.0"]) + "\n")
    return folder


@pytest.fixture
def recipe(tmp_path):
    """Two checkpoints, and of each two seeds of two systems."""
    starts = [
        trained(tmp_path / f"asr_init_{key}", seed=n, model="espnet")
        for n, key in ((0, "a"), (7, "b"))
    ]
    systems = [
        System(
            name,
            tuple(
                trained(tmp_path / f"{name}_{start.name[-1]}_{seed}", seed=seed, start=start)
                for start in starts
                for seed in (1, 2)
            ),
        )
        for name in ("base", "ours")
    ]  # fmt: skip
    return [*systems, System("common checkpoint", tuple(starts))]


def rows(*values):
    return [dict(zip(("checkpoint", "seed"), map(str, pair), strict=True)) for pair in values]


def test_labels_are_what_training_wrote_down(recipe):
    base, ours, starts = labels_of(recipe)
    assert base == ours == rows(*((f"asr_init_{c}", s) for c in "ab" for s in (1, 2)))
    assert starts == [{"checkpoint": "asr_init_a"}, {"checkpoint": "asr_init_b"}]


def test_what_is_said_of_all_goes_before_what_training_wrote_down(tmp_path, monkeypatch):
    slm = {
        "model": "slm",
        "encoder_conf": "{experiment: exp/enc}",
        "decoder_conf": "{model: llm}",
    }
    folder = trained(tmp_path / "x", seed=1, start="exp/init", **slm)
    [[labels]] = labels_of([System("x", (folder,))])
    assert labels == {"encoder": "exp/enc", "lm": "llm", "checkpoint": "init", "seed": "1"}
    slm["decoder_conf"] = f"{{model: {tmp_path}/d/l}}"
    beside = trained(tmp_path / "y", seed=1, **slm)
    (tmp_path / "recipe").mkdir()
    monkeypatch.chdir(tmp_path / "recipe")
    [[labels]] = labels_of([System("y", (beside,))])
    assert labels["lm"] == "d/l"  # not where this copy of the recipes lies
    [[labels]] = labels_of([System("x", (folder,))], {"encoder": "2", "lm": "3"})
    assert (labels["encoder"], labels["lm"]) == ("2", "3")


def test_a_model_that_writes_in_pieces_of_a_language_model_has_it_as_a_level(tmp_path):
    data = "[[data/token_list/92be873f/lm/covost2_train/text, text, text]]"
    folder = trained(tmp_path / "x", seed=1, train_data_path_and_name_and_type=data)
    assert labels_of([System("x", (folder,))]) == [[{"lm": "92be873f", "seed": "1"}]]


def test_without_a_record_several_folders_are_seeds_of_an_unknown_checkpoint():
    [found] = labels_of([System("x", (Path("a"), Path("b")))])
    assert found == rows(("not recorded", 1), ("not recorded", 2))


def test_an_external_system_is_one_training_of_which_nothing_is_known():
    assert labels_of([System("x", (Path("a"),), external=True)]) == [[{"training": "elsewhere"}]]


def test_a_pretrained_frontend_is_a_speech_encoder(tmp_path):
    frontend = {"frontend": "hf_speech", "frontend_conf": "{model: whisper, padding: longest}"}
    folder = trained(tmp_path / "x", seed=1, **frontend)
    assert labels_of([System("x", (folder,))]) == [[{"encoder": "whisper", "seed": "1"}]]
    frontend["frontend"] = "default"
    folder = trained(tmp_path / "y", seed=1, **frontend)
    assert labels_of([System("y", (folder,))]) == [[{"seed": "1"}]]


def test_the_same_replicate_twice_is_refused(tmp_path):
    folders = tuple(trained(tmp_path / name, seed=1, start="exp/init") for name in "ab")
    with pytest.raises(UserError, match=r"one replicate of x .*arm seed 1.*leave one out"):
        labels_of([System("x", folders)])


def test_words_with_empty_lines_in_a_record_are_read_to_their_end(tmp_path):
    said = yaml.safe_dump(
        {"decoder_conf": {"prefix": "one\n\ntwo " * 9, "model_name_or_path": "lm"}}
    )
    assert "\n\n" in said
    (tmp_path / "config.yaml").write_text(f"seed: 3\n{said}token_list:\n- a\n")
    ((labels,),) = labels_of([System("stock", (tmp_path,))])
    assert labels[LM] == "lm" and labels[SEED] == "3"


def test_a_broken_record_is_named(tmp_path):
    (tmp_path / "config.yaml").write_text("seed: [1\n")
    with pytest.raises(UserError, match=r"config\.yaml is not valid YAML"):
        labels_of([System("x", (tmp_path,))])


def test_two_systems_pair_checkpoint_by_checkpoint_and_seed_by_seed(recipe):
    base, ours, starts = labels_of(recipe)
    found = pair(ours, base)
    assert [(cell.ours, cell.theirs) for cell in found.cells] == [((i,), (i,)) for i in range(4)]
    assert (found.covers, found.held) == ({"checkpoint": 2, "seed": 4}, ())
    # A checkpoint has no arm's seed: it is set against every arm that started from it.
    found = pair(starts, base)
    assert [(cell.ours, cell.theirs) for cell in found.cells] == [
        *(((0,), (0,)), ((0,), (1,)), ((1,), (2,)), ((1,), (3,)))
    ]
    assert found.covers == {"checkpoint": 2, "seed": 4}


def test_a_level_with_one_value_is_held():
    found = pair(rows(("a", 1), ("a", 2)), rows(("a", 1), ("a", 2)))
    assert (found.covers, found.held) == ({"seed": 2}, ("checkpoint",))
    one = pair(rows(("a", 1)), rows(("a", 1)))
    assert (one.covers, one.held, len(one.cells)) == ({}, ("checkpoint", "seed"), 1)


def test_a_level_with_one_value_on_one_side_is_held_and_averaged():
    found = pair(rows(("a", 1)), rows(("a", 1), ("a", 2), ("a", 3)))
    assert [(cell.ours, cell.theirs) for cell in found.cells] == [((0,), (0, 1, 2))]
    assert found.held == ("checkpoint", "seed")


def test_one_seed_in_each_of_several_checkpoints_is_covered():
    found = pair(rows(("a", 1), ("b", 1), ("c", 1)), rows(("a", 1), ("b", 1), ("c", 1)))
    assert (found.covers, found.held) == ({"checkpoint": 3, "seed": 3}, ())


def test_crossed_foundations_count_by_their_own_values():
    cells = [
        {"encoder": str(e), "lm": str(m), "checkpoint": f"{e}{m}", "seed": "1"}
        for e in range(3)
        for m in range(2)
    ]
    found = pair(cells, cells[::-1])
    assert found.covers == {"encoder": 3, "lm": 2, "checkpoint": 6, "seed": 6}
    assert [(cell.ours, cell.theirs) for cell in found.cells] == [
        ((i,), (5 - i,)) for i in range(6)
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        (rows(("a", 1), ("a", 2)), rows(("a", 1), ("a", 2), ("a", 3)),
         "ours and base were trained with different arm seeds .1 2; 1 2 3"),
        (rows(("a", 1), ("b", 1)), rows(("a", 1), ("c", 1)), "different common checkpoints"),
        (rows(("a", 1), ("b", 2)), rows(("a", 1), ("b", 2), ("a", 2)),
         "base was trained with common checkpoint a, arm seed 2, and ours was not"),
    ],
)  # fmt: skip
def test_replicates_that_only_one_system_has_are_named(ours, theirs, message):
    with pytest.raises(UserError, match=message):
        pair(ours, theirs, ("ours", "base"))
