"""The teacher: features of pieces, round trips through them, and fingerprints."""

import errno
import json
import shutil

import numpy as np
import pytest
import torch
from transformers import BertModel, BertTokenizer, RobertaConfig, RobertaModel

from espnet_otreg.errors import UserError
from espnet_otreg.pretrained.feature_cache import FEATURES_JSON
from espnet_otreg.pretrained.lm_features import check_features, file_hash, fingerprint
from espnet_otreg.pretrained.masked_lm import (
    LanguageModel,
    LMTokenizer,
    max_pieces,
    pieces_to_text,
    resolve,
)
from tests.support.tiny_lm import save_bert

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = ["the", "key", "##s", "l", "'", "homme", "va", "à", "red", "你", "好"]
LONGEST = 16  # positions, [CLS] and [SEP] included


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lm")
    vocabulary = {piece: number for number, piece in enumerate([*SPECIAL, *PIECES])}
    tokenizer = BertTokenizer(vocab=vocabulary, do_lower_case=False)
    return save_bert(folder, tokenizer, width=16, layers=2, positions=LONGEST)


@pytest.fixture(scope="module")
def teacher(saved):
    return LanguageModel(saved)


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def change_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_features_hold_a_row_for_each_piece_and_for_both_ends(teacher):
    long, short = teacher.features([["the", "red", "key"], ["va"]])
    assert (long.shape, short.shape) == ((5, 16), (3, 16))
    assert long.dtype == np.float32


def test_features_are_the_last_layer_of_the_framed_sentence(teacher, saved):
    network = BertModel.from_pretrained(saved).eval()
    ids = torch.tensor([[2, 5, 13, 6, 3]])  # [CLS] the red key [SEP]
    with torch.no_grad():
        expected = network(input_ids=ids).last_hidden_state[0].numpy()
    (features,) = teacher.features([["the", "red", "key"]])
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_features_do_not_depend_on_batch_neighbours(teacher):
    rows = [["the"], ["l", "'", "homme", "va"], ["key", "##s"], ["the", "red"] * 7]
    together = teacher.features(rows)
    for row, features in zip(rows, together, strict=True):
        np.testing.assert_allclose(features, teacher.features([row])[0], atol=1e-5)


def test_embedded_batches_are_zero_on_padding_and_carry_no_gradient(teacher):
    last, lengths = teacher.embed([["the"], ["the", "red", "key"]])
    assert lengths.tolist() == [3, 5]
    assert not last[0, 3:].any()
    assert not last.requires_grad
    assert not any(weight.requires_grad for weight in teacher.network.parameters())


def test_features_are_the_same_every_time(teacher):
    first, second = (teacher.features([["the", "key"]])[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)  # dropout is off


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([], "text is empty"),
        (["the", "dog"], "not pieces of the language model: dog"),
        (["the", "[UNK]"], r"symbol \[UNK\]"),
        (["the"] * 15, "15 pieces, and the language model takes 14"),
    ],
)
def test_pieces_that_the_model_cannot_take_are_refused(teacher, pieces, message):
    with pytest.raises(UserError, match=message):
        teacher.features([["va"], pieces])


def test_the_longest_sentence_fits(teacher):
    assert teacher.features([["the"] * 14])[0].shape == (16, 16)


def test_the_limit_is_known_without_the_weights(saved, teacher):
    assert max_pieces(LMTokenizer(saved)) == teacher.max_pieces == 14


def test_roberta_counts_positions_after_that_of_padding(copy):
    config = RobertaConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=LONGEST,
        pad_token_id=1,
    )
    RobertaModel(config, add_pooling_layer=False).save_pretrained(copy)
    assert LanguageModel(copy).max_pieces == LONGEST - 2 - 2


def test_a_tokenizer_without_a_pair_of_ends_is_refused(copy):
    change_json(copy / "tokenizer_config.json", cls_token=None, sep_token=None)
    change_json(copy / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    with pytest.raises(UserError, match=r"no \[CLS\]/\[SEP\] pair"):
        LanguageModel(copy)


def test_missing_weights_are_an_error_and_not_random(copy):
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    weights.pop("encoder.layer.1.output.dense.weight")
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"1 weights are missing, first encoder\.layer\.1"):
        LanguageModel(copy)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no config\.json"):
        fingerprint(tmp_path)


def test_a_name_that_cannot_be_fetched_is_one_clear_error(monkeypatch):
    import huggingface_hub

    def offline(*_, **__):
        raise OSError(errno.ENETUNREACH, "no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(UserError, match=r"nobody/no-model is neither a folder nor .*no network"):
        resolve("nobody/no-model")


def test_a_hub_name_stands_for_its_snapshot(saved, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(saved))
    assert fingerprint("somebody/some-model") == fingerprint(saved)


def test_without_the_package_the_remedy_is_named(saved, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"pip install espnet_otreg\[transfer\]"):
        LanguageModel(saved)


def test_fingerprint_follows_content_not_place(saved, copy):
    assert fingerprint(copy) == fingerprint(saved)
    (copy / "README.md").write_text("a note")
    assert fingerprint(copy) == fingerprint(saved)


def test_fingerprint_changes_with_one_weight(saved, copy):
    content = bytearray((copy / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (copy / "model.safetensors").write_bytes(content)
    assert fingerprint(copy).model != fingerprint(saved).model
    assert fingerprint(copy).tokenizer == fingerprint(saved).tokenizer


def test_fingerprint_changes_with_the_configuration(saved, copy):
    change_json(copy / "config.json", layer_norm_eps=1e-5)
    assert fingerprint(copy).model != fingerprint(saved).model


def test_fingerprint_changes_with_the_tokenizer(saved, copy):
    change_json(copy / "tokenizer_config.json", do_lower_case=True)
    assert fingerprint(copy).tokenizer != fingerprint(saved).tokenizer
    assert fingerprint(copy).model == fingerprint(saved).model


@pytest.mark.parametrize("missing", ["model.safetensors", "tokenizer*.json"])
def test_fingerprint_of_half_a_model_is_refused(copy, missing):
    for path in list(copy.glob(missing)):
        path.unlink()
    with pytest.raises(UserError, match=r"holds no (weights|tokenizer)"):
        fingerprint(copy)


@pytest.mark.parametrize("text", ["the red keys", "l'homme va à l'homme", "你好", "the key 你好"])
def test_word_pieces_come_back_as_the_sentence(saved, text):
    tokenizer = LMTokenizer(saved)
    pieces = tokenizer.split(text)
    assert "[UNK]" not in pieces
    assert pieces_to_text(tokenizer, pieces) == text
    assert pieces_to_text(saved, pieces) == text


def test_decoded_pieces_that_the_tokenizer_does_not_know_stay_as_they_are(saved):
    assert pieces_to_text(saved, ["the", "<unk>", "key", "##s"]) == "the <unk> keys"
    assert pieces_to_text(saved, []) == ""


@pytest.fixture
def cached(saved, tmp_path):
    folder = tmp_path / "cached"
    folder.mkdir()
    (folder / "text").write_text("u1 the red key\n")
    content = {
        "lm": str(saved),
        **fingerprint(saved)._asdict(),
        "text": file_hash(folder / "text"),
        "dimension": 16,
        "dtype": "float16",
        "utterances": 1,
    }
    (folder / FEATURES_JSON).write_text(json.dumps(content))
    return folder


def test_features_of_this_model_and_text_pass_by_folder_or_list(saved, cached):
    for name in (cached, cached / "feats.scp"):
        checked = check_features(name, saved, cached / "text")
        assert (checked.dimension, checked.utterances) == (16, 1)


def test_features_of_other_weights_are_refused(copy, cached):
    change_json(copy / "config.json", layer_norm_eps=1e-5)
    with pytest.raises(UserError, match="made with another model"):
        check_features(cached, copy)


def test_features_of_another_tokenizer_are_refused(copy, cached):
    change_json(copy / "tokenizer_config.json", do_lower_case=True)
    with pytest.raises(UserError, match="made with another tokenizer"):
        check_features(cached, copy)


def test_features_of_another_text_are_refused(saved, cached):
    (cached / "text").write_text("u1 the key\n")
    check_features(cached, saved)
    with pytest.raises(UserError, match="made with another text"):
        check_features(cached, saved, cached / "text")


def test_unfinished_features_are_refused(saved, cached):
    (cached / FEATURES_JSON).unlink()
    with pytest.raises(UserError, match="unfinished or of unknown origin"):
        check_features(cached / "feats.scp", saved)
