"""The parts that a recipe of ESPnet3 names: data, what makes them, scores, options."""

import numpy as np
import pytest
import soundfile
import torch
from espnet3.contract.stages import stage_names

from espnet_otreg import espnet3
from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.errors import UserError
from espnet_otreg.espnet3.data import Dataset, training_text
from espnet_otreg.espnet3.making import DatasetBuilder, read_conf
from espnet_otreg.espnet3.metrics import ErrorRate
from espnet_otreg.espnet3.system import OTRegSystem
from espnet_otreg.files import write_json, write_lines
from espnet_otreg.scoring.score_file import load_score
from tests.support import tiny_models, tiny_slm
from tests.support.tiny_llm import save_llm

MAKING = {
    "recipe_dir": ".",
    "data_dir": "data",
    "corpora": {"covost2": None},
    "train": ["covost2_train"],
    "valid": ["covost2_dev"],
}


@pytest.fixture
def folder(tmp_path):
    """Three utterances, one of them without words."""
    tables = {
        "wav.scp": {f"u{i}": str(tmp_path / f"u{i}.wav") for i in range(3)},
        "text": {"u0": "one two", "u1": "", "u2": "drei"},
        "utt2spk": {"u0": "a", "u1": "a", "u2": "b"},
        "utt2lang": {"u0": "en", "u1": "en", "u2": "de"},
        "utt2num_samples": {"u0": "800", "u1": "900", "u2": "1000"},
    }
    for i, path in enumerate(tables["wav.scp"].values()):
        soundfile.write(path, np.full(800 + 100 * i, 0.5), 16000)
    DataDir(tables).save(tmp_path / "set")
    return tmp_path / "set"


def test_an_item_of_training_has_nothing_but_what_is_batched(folder):
    items = Dataset(folder)
    assert [item["text"] for item in map(items.__getitem__, range(len(items)))] == [
        *("one two", "", "drei")
    ]
    assert items[2].keys() == {"speech", "text"}
    assert items[2]["speech"].shape == (1000,) and items[2]["speech"].dtype == np.float32
    assert items.lengths() == [(800, 2), (900, 0), (1000, 1)]
    assert training_text([str(folder)]) == ["one two", "", "drei"]


def test_columns_are_added_as_text(folder):
    item = Dataset(folder, columns=["utt_id", "speaker", "language"])[2]
    assert [item[name] for name in ("utt_id", "speaker", "language")] == ["u2", "b", "de"]


def test_pieces_take_the_place_of_words_and_what_has_none_is_left_out_and_told(folder, caplog):
    pieces = folder.parent / "pieces"
    write_lines(pieces / "text", ["u0 on e two", "u2 drei"])
    write_lines(pieces / "language", ["u0 101 110", "u2 100 101"])
    items = Dataset(folder, pieces=pieces)
    assert [items[0]["text"], items[1]["text"]] == ["on e two", "drei"]
    assert items[1]["language"].tolist() == [100, 101]
    assert items.lengths() == [(800, 3), (1000, 1)]
    assert "1 of 3 utterances left out" in caplog.text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"columns": ["gender"]}, "gender is none of utt_id, speaker, language"),
        ({"fs": 8000}, "has 1 channel.s. at 16000 Hz, and mono at 8000 Hz is needed"),
    ],
)
def test_what_a_data_directory_does_not_have_is_refused(folder, change, told):
    with pytest.raises(UserError, match=told):
        Dataset(folder, **change)[0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"corpus": {}}, "unknown key 'corpus'"),
        ({"train": ["fleurs_train"]}, r"sets such as covost2_train.*received 'fleurs_train'"),
        ({"valid": []}, "a set each at least"),
        ({"overlap": "drop"}, "overlap: expected one of error, allow"),
    ],
)
def test_a_wrong_option_of_create_dataset_is_named(change, told):
    with pytest.raises(UserError, match=rf"create_dataset.*{told}"):
        read_conf({**MAKING, **change})
    assert read_conf({**MAKING, "func": "of.the.template", "dataset_dir": "x"}).jobs > 0


def test_a_corpus_that_is_not_there_and_data_made_of_another_one_are_refused(tmp_path):
    builder = DatasetBuilder()
    with pytest.raises(UserError, match=r"corpora\.covost2: .*lost is not a folder"):
        builder.is_source_prepared(**{**MAKING, "corpora": {"covost2": str(tmp_path / "lost")}})
    given = {**MAKING, "data_dir": str(tmp_path), "languages": "en"}
    assert not builder.is_built(**given)
    write_json(tmp_path / "made.json", read_conf(given).made_of)
    assert not builder.is_built(**given)
    with pytest.raises(UserError, match="was made with languages en, and create_dataset has en fr"):
        builder.is_built(**{**given, "languages": "en fr"})


def test_a_score_is_written_as_the_comparison_reads_it(tmp_path):
    rows = {
        "utterance": ["u0", "u1", "u2", "u3"],
        "ref": ["one two", "three", "四五", "six"],
        "hyp": ["one too", "", "四 六", "six"],
        "speaker": ["a", "a", "b", "b"],
        "language": ["en", "en", "zh", "en"],
    }
    files = {}
    for name, values in rows.items():
        files[name] = tmp_path / f"{name}.scp"
        pairs = zip(rows["utterance"], values, strict=True)
        write_lines(files[name], (f"{utt} {value}" for utt, value in pairs))
    metric = ErrorRate(data="raw")
    found = metric(files, "some_test", tmp_path)
    written = load_score(tmp_path / "some_test/score.json")
    assert [utterance.speaker for utterance in written.utterances] == ["a", "a", "b", "b"]
    assert written.summaries["total"].metric == "mixed"
    assert found["error_rate"] == 50.0  # 2 of 4 words and 1 of 2 characters
    assert found["empty"] == 25.0
    again = metric({name: files[name] for name in ("utterance", "ref", "hyp")}, "some_test", None)
    assert again["WER"] == found["WER"] == 80.0  # by words alone: 4 of 5


def test_a_normaliser_that_does_not_exist_is_told_before_anything_is_scored():
    with pytest.raises(UserError, match="polite"):
        ErrorRate(normaliser="polite")


def test_compare_and_report_are_stages_behind_measure():
    names = stage_names(OTRegSystem)
    assert names[names.index("measure") + 1 :][:2] == ["compare", "report"]
    assert names[:6] == [
        *("create_dataset", "train_tokenizer", "collect_stats", "train", "infer", "measure")
    ]


def test_what_a_model_returns_is_what_lightning_logs(tmp_path):
    """ESPnet3 takes one number of each figure, and a weight that is a tensor."""
    lm = save_llm(tmp_path)
    batch = tiny_models.make_batch([40, 30], [5, 3])
    conf = {"model": "otreg", "model_conf": {"ctc_weight": 0.3}}
    regularised, listening = tiny_models.build(**conf), tiny_slm.build(lm)
    for found in (regularised(**batch), listening(**tiny_slm.make_batch(lm))):
        loss, stats, weight = found
        assert loss.numel() == 1 and loss.requires_grad
        assert isinstance(weight, torch.Tensor) and weight.numel() == 1
        assert all(isinstance(each, torch.Tensor) for each in stats.values() if each is not None)
        assert all(each.numel() == 1 for each in stats.values() if each is not None)


def test_options_of_a_file_become_words_of_a_command():
    options = {"a": 1, "b": ["x", "y"], "c": True, "d": False, "e": None, "f": 0}
    assert espnet3.words(options) == ["--a", "1", "--b", "x", "y", "--c", "--f", "0"]
