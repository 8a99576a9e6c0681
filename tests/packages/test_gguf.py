"""A language model in GGUF is, after conversion, the one it was made of; the rest is told."""

import json
import logging

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from espnet_otreg.errors import UserError
from espnet_otreg.packages.gguf import convert
from espnet_otreg.pretrained.causal_lm import CausalLM
from tests.support.tiny_llm import SENTENCES, save_llm

TURN = [{"role": "user", "content": "the key of the king"}]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return save_llm(tmp_path_factory.mktemp("original"))


@pytest.fixture(scope="module")
def write(original):
    """Write the original as GGUF, as it is or with its matrices of 4 bits."""
    gguf = pytest.importorskip("gguf")
    model = AutoModelForCausalLM.from_pretrained(original)
    tokenizer = AutoTokenizer.from_pretrained(original)
    parts = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip

    def named(name):
        if name.startswith("model.layers."):
            _, _, layer, *inner, end = name.split(".")
            return f"blk.{layer}.{parts['.'.join(inner)]}.{end}"
        return {"model.embed_tokens.weight": "token_embd.weight"}.get(name, "output_norm.weight")

    def written(path, bits=32, chat_template=True, architecture="qwen2"):
        writer, config = gguf.GGUFWriter(path, architecture), model.config
        writer.add_block_count(config.num_hidden_layers)
        writer.add_context_length(config.max_position_embeddings)
        writer.add_embedding_length(config.hidden_size)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count(config.num_attention_heads)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(10000.0)
        pieces = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
        special = set(tokenizer.all_special_tokens)
        unused = pieces.index(tokenizer.pad_token)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("qwen2")
        writer.add_token_types([3 if piece in special else 1 for piece in pieces])
        pieces[unused] = "<|endoftext|>"  # which transformers wants to be there
        writer.add_token_list(pieces)
        merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
        writer.add_token_merges([" ".join(pair) for pair in merges])
        writer.add_eos_token_id(tokenizer.eos_token_id)
        writer.add_pad_token_id(tokenizer.pad_token_id)
        if chat_template:
            writer.add_chat_template(tokenizer.chat_template)
        kind = gguf.GGMLQuantizationType.Q4_1
        for name, value in model.state_dict().items():
            if name == "lm_head.weight":
                continue
            values = value.numpy()
            if bits == 4 and values.ndim == 2:
                packed = gguf.quantize(values, kind)
                writer.add_tensor(named(name), packed, raw_dtype=kind)
            else:
                writer.add_tensor(named(name), values)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return written


@torch.no_grad()
def logits(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    assert model.dtype == torch.float32
    return model(torch.tensor([tokenizer(SENTENCES[0]).input_ids])).logits


def test_model_tokenizer_and_template_are_the_originals(write, original, tmp_path):
    write(tmp_path / "a.gguf")
    convert(tmp_path, tmp_path / "made")
    torch.testing.assert_close(logits(tmp_path / "made"), logits(original))
    made, before = (AutoTokenizer.from_pretrained(each) for each in (tmp_path / "made", original))
    for text in SENTENCES:
        assert made(text).input_ids == before(text).input_ids
        assert made.decode(made(text).input_ids) == text
    assert made.eos_token == before.eos_token
    rendered = [
        each.apply_chat_template(TURN, tokenize=False, add_generation_prompt=True)
        for each in (made, before)
    ]
    assert rendered[0] == rendered[1]


def test_a_model_of_four_bits_in_pieces_becomes_float32_and_fits_our_decoder(write, tmp_path):
    pieces = tmp_path / "p"
    pieces.mkdir()
    content = write(tmp_path / "a.gguf", bits=4).read_bytes()
    for number in range(3):
        share = -(-len(content) // 3)
        piece = content[number * share : (number + 1) * share]
        (pieces / f"a.gguf.part0{number}").write_bytes(piece)
    convert(pieces, tmp_path / "made")
    (tmp_path / "whole").mkdir()
    write(tmp_path / "whole" / "a.gguf", bits=4)
    convert(tmp_path / "whole", tmp_path / "again")
    assert logits(tmp_path / "made").equal(logits(tmp_path / "again"))
    assert CausalLM(0, 32, model=str(tmp_path / "made")).table.dtype == torch.float32


def test_four_bits_are_multiplied_out(write, original, tmp_path):
    gguf = pytest.importorskip("gguf")
    write(tmp_path / "a.gguf", bits=4)
    convert(tmp_path, tmp_path / "made")
    made = AutoModelForCausalLM.from_pretrained(tmp_path / "made").state_dict()
    kind, changed = gguf.GGMLQuantizationType.Q4_1, 0
    for name, value in AutoModelForCausalLM.from_pretrained(original).state_dict().items():
        expected = value.numpy()
        if value.dim() == 2:
            expected = gguf.dequantize(gguf.quantize(expected, kind), kind)
            changed += not (expected == value.numpy()).all()
        np.testing.assert_array_equal(made[name].numpy(), expected, err_msg=name)
    assert changed > 10


def test_a_base_model_without_template_is_told_in_the_log(write, tmp_path, caplog):
    write(tmp_path / "a.gguf", chat_template=False)
    with caplog.at_level(logging.INFO):
        convert(tmp_path, tmp_path / "made")
    assert "a.gguf has no chat template: it is a base model" in caplog.text
    assert not AutoTokenizer.from_pretrained(tmp_path / "made").chat_template


def refused(folder, match):
    with pytest.raises(UserError, match=match) as error:
        convert(folder, folder / "made")
    assert "\n" not in str(error.value)
    assert not (folder / "made").exists()


def test_another_architecture_is_told(write, tmp_path):
    write(tmp_path / "a.gguf", architecture="rwkv9")
    refused(tmp_path, r"^a\.gguf cannot be loaded as a causal language model: .*rwkv9")


@pytest.mark.parametrize("share", [0.01, 0.2, 0.9])
def test_half_a_file_is_told(write, tmp_path, share):
    content = write(tmp_path / "a").read_bytes()
    (tmp_path / "a.gguf").write_bytes(content[: int(len(content) * share)])
    refused(tmp_path, r"^a\.gguf cannot be ")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip file", b"GGUF\x63\0\0\0"])
def test_what_is_no_gguf_file_is_told(tmp_path, content):
    (tmp_path / "a.gguf").write_bytes(content)
    refused(tmp_path, r"a\.gguf is no GGUF file of version 2 or 3 \(it begins with b'")


def test_a_package_without_the_file_is_told(tmp_path):
    refused(tmp_path, r"should hold \*\.gguf once and hold it 0 times")
