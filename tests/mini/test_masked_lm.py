"""The mini language model: its text, its pieces, and that a seed decides it."""

import json
import random
from itertools import islice

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from espnet_otreg.errors import UserError
from espnet_otreg.mini import lm_common, masked_lm
from espnet_otreg.mini.grammar import draw_split
from espnet_otreg.mini.lexicon import LANGUAGES
from espnet_otreg.pretrained.lm_features import fingerprint
from espnet_otreg.pretrained.masked_lm import LanguageModel, LMTokenizer


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "lm"
    return folder, masked_lm.make_masked_lm(folder, "smoke", 0)


def test_text_is_of_the_train_split_only_and_lower_case():
    drawn = masked_lm.sentences("train", 600, 0)
    unseen = {
        (lang, text)
        for split in ("dev", "test")
        for sentence in islice(draw_split(split, random.Random(1)), 600)
        for lang, text in sentence.texts.items()
    }
    assert len(set(drawn)) == len(drawn) == 600 * len(LANGUAGES)
    assert not unseen & set(drawn)
    assert all(text == text.lower() for _, text in drawn)


def test_held_out_text_is_another():
    assert not set(masked_lm.sentences("dev", 50, 0)) & set(masked_lm.sentences("train", 600, 0))


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_sentence_of_every_language_comes_back_from_its_pieces(made, split):
    tokenizer = LMTokenizer(made[0])
    pairs = masked_lm.sentences(split, 300, 5)
    assert any("'" in text for lang, text in pairs if lang == "fr")
    for _, text in pairs:
        pieces = tokenizer.split(text)
        assert not tokenizer.problem(pieces, 126), text
        assert tokenizer.join(pieces) == text


def test_an_elided_article_is_a_piece_of_its_own(made):
    tokenizer = LMTokenizer(made[0])
    assert tokenizer.split("l'homme")[0] == "▁l'" or tokenizer.split("l'homme")[1] == "'"
    assert tokenizer.split("l'homme")[-1] in "homme"


def test_the_folder_opens_as_any_hugging_face_model(made):
    tokenizer = AutoTokenizer.from_pretrained(made[0])
    ids = tokenizer("where is the key", return_tensors="pt")
    assert ids["input_ids"][0, [0, -1]].tolist() == [tokenizer.cls_token_id, tokenizer.sep_token_id]
    logits = AutoModelForMaskedLM.from_pretrained(made[0])(**ids).logits
    assert logits.shape == (*ids["input_ids"].shape, len(tokenizer))
    assert LanguageModel(made[0]).max_pieces == 126


def test_the_seed_decides_the_model(made, tmp_path):
    masked_lm.make_masked_lm(tmp_path / "again", "smoke", 0)
    masked_lm.make_masked_lm(tmp_path / "other", "smoke", 1)
    assert fingerprint(tmp_path / "again") == fingerprint(made[0])
    assert fingerprint(tmp_path / "other").model != fingerprint(made[0]).model


def test_training_leaves_the_callers_random_state_alone(tmp_path, monkeypatch):
    monkeypatch.setitem(masked_lm.SIZES, "smoke", masked_lm.Size(10, 5, 200, 8, 1, 1, 8, 1))
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    masked_lm.make_masked_lm(tmp_path / "lm", "smoke", 0)
    torch.testing.assert_close(torch.rand(2), expected)


def test_the_report_tells_accuracy_on_unseen_sentences(made):
    report = json.loads((made[0] / masked_lm.REPORT).read_text())
    assert report["accuracy"] == made[1].accuracy
    assert report["by_language"].keys() == set(LANGUAGES)
    assert report["positions"] > 20 * 3 * 4


def test_masked_accuracy_is_one_for_a_model_that_knows_the_answers(made):
    tokenizer = AutoTokenizer.from_pretrained(made[0])
    pairs = masked_lm.sentences("dev", 8, 0)
    rows = [tokenizer([text for name, text in pairs if name == lang]) for lang in LANGUAGES]
    answers = iter([masked_lm._pad(row["input_ids"]) for row in rows for _ in range(6)])

    def oracle(input_ids, attention_mask):
        best = torch.nn.functional.one_hot(next(answers), len(tokenizer)).float()
        return type("Output", (), {"logits": best})

    quality = masked_lm.masked_accuracy(oracle, tokenizer, pairs)
    pieces = sum(len(tokenizer.tokenize(text)) for _, text in pairs)
    assert (quality.accuracy, quality.positions) == (1.0, pieces)


def test_only_pieces_are_masked_and_labelled():
    torch.manual_seed(0)
    ids = torch.full((400, 12), 9)
    ids[:, 0], ids[:, 9], ids[:, 10:] = 2, 3, 0
    inputs, labels = masked_lm._mask(ids, 50)
    asked = labels != -100
    assert not asked[:, 0].any() and not asked[:, 9:].any()
    assert (labels[asked] == 9).all()
    assert (inputs[~asked] == ids[~asked]).all()
    assert 0.17 < asked[:, 1:9].float().mean() < 0.23
    assert 0.7 < (inputs[asked] == 4).float().mean() < 0.9
    assert inputs[asked].min() >= 4  # never a [PAD], [CLS] or [SEP] in place of a piece


def test_a_finished_model_is_not_made_again(made):
    before = (made[0] / "model.safetensors").stat().st_mtime_ns
    assert masked_lm.make_masked_lm(made[0], "smoke", 0) is None
    assert (made[0] / "model.safetensors").stat().st_mtime_ns == before


def test_another_request_for_the_same_folder_is_refused(made):
    with pytest.raises(UserError, match="made with seed 0, and 1 is asked for"):
        masked_lm.make_masked_lm(made[0], "smoke", 1)


def test_somebody_elses_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="not empty and holds no finished"):
        masked_lm.make_masked_lm(tmp_path, "smoke", 0)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_interruption_while_saving_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setitem(masked_lm.SIZES, "smoke", masked_lm.Size(10, 5, 200, 8, 1, 1, 8, 1))

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(lm_common, "write_json", interrupted)
        with pytest.raises(KeyboardInterrupt):
            masked_lm.make_masked_lm(tmp_path / "lm", "smoke", 0)
    assert not list(tmp_path.iterdir())
    assert masked_lm.make_masked_lm(tmp_path / "lm", "smoke", 0) is not None
