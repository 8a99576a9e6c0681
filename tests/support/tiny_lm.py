"""A tiny masked language model, and the commands that make pieces with it."""

from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertModel

from espnet_otreg.stages import lm_tokens

SENTENCES = {
    "u1": "l'homme va à l'hôpital",
    "u2": "the key of the king",
    "u3": "il y a trois clés",
    "u4": "the red key",
    "u5": "aujourd'hui l'ami va à la gare",
}


def save_bert(
    folder: Path, tokenizer: Any, *, width: int, layers: int = 1, positions: int = 40
) -> Path:
    """Save the tokenizer and a random network beside it; the same seed gives the same weights."""
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=positions,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def make_pieces(lm: Path, source: Path, output: Path, *more: str) -> Path:
    """Run lm_tokens on one text."""
    lm_tokens.main(["--lm", str(lm), "--input", str(source), "--output", str(output), *more])
    return output
