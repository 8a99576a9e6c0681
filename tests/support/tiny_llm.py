"""A tiny causal language model of a real class, with random weights and a lossless tokenizer."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from espnet_otreg.mini.causal_lm_text import END, train_tokenizer

SENTENCES = (
    "the key of the king",
    "where is the red book of my sister",
    "yesterday the doctor sold three old lamps in the garden",
    "el perro está en la casa de mi hermana",
    "la reina compra una llave roja",
    "l'homme va à l'hôpital",
)


def save_llm(
    folder: Path,
    kind: str = "qwen2",
    *,
    width: int = 32,
    layers: int = 2,
    chat_template: bool = True,
    pad_token: bool = True,
    padding_side: str = "left",
    tie: bool = True,
    positions: int = 512,
    pieces: int = 320,
    window: int = 512,
) -> Path:
    """Save a model and its tokenizer; the same arguments give the same weights."""
    tokenizer = train_tokenizer(SENTENCES, pieces)
    tokenizer.padding_side = padding_side
    if not chat_template:
        tokenizer.chat_template = None
    if not pad_token:
        tokenizer.pad_token = None
        tokenizer.unk_token = END
    tokenizer.save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        _network(kind, tokenizer, width, layers, positions, tie, window).save_pretrained(folder)
    return folder


def _network(
    kind: str, tokenizer: Any, width: int, layers: int, positions: int, tie: bool, window: int
) -> Any:
    shared = {
        "vocab_size": len(tokenizer),
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": tie,
        "initializer_range": 0.3,  # wide enough that the answers of two inputs differ
    }
    if kind == "gpt2":
        return GPT2LMHeadModel(
            GPT2Config(
                n_embd=width, n_layer=layers, n_head=2, n_inner=2 * width, n_positions=positions,
                resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **shared,
            )
        )  # fmt: skip
    if kind == "gemma3":  # one layer looks at a window, the next at everything
        return Gemma3ForCausalLM(
            Gemma3TextConfig(
                hidden_size=width, num_hidden_layers=layers, num_attention_heads=2,
                num_key_value_heads=1, head_dim=width // 2, intermediate_size=2 * width,
                max_position_embeddings=positions, sliding_window=window,
                layer_types=["sliding_attention", "full_attention"] * (layers // 2), **shared,
            )
        )  # fmt: skip
    classes = {"qwen2": (Qwen2Config, Qwen2ForCausalLM), "llama": (LlamaConfig, LlamaForCausalLM)}
    config, network = classes[kind]
    return network(
        config(
            hidden_size=width, num_hidden_layers=layers, num_attention_heads=2,
            num_key_value_heads=1, intermediate_size=2 * width,
            max_position_embeddings=positions, **shared,
        )
    )  # fmt: skip
