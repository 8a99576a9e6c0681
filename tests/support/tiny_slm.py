"""Tiny speech language models, built through ESPnet's task, and batches for them."""

import argparse
from pathlib import Path
from typing import Any

import torch

from espnet_otreg.pretrained.causal_lm import load_tokenizer
from espnet_otreg.tasks.asr import ASRTask
from tests.support.tiny_llm import SENTENCES

LANGUAGES = ("en", "en", "en", "es")
FEATURES = 20  # of the encoder's input


def token_list(lm: Path) -> list[str]:
    """ESPnet's own symbols around the pieces of the sentences."""
    tokenizer = load_tokenizer(lm)
    pieces = sorted({piece for text in SENTENCES for piece in tokenizer.tokenize(text)})
    return ["<blank>", "<unk>", *pieces, "<sos/eos>"]


def options(lm: Path, **changes: Any) -> dict[str, Any]:
    """A configuration: a small transformer, stacks of three frames, the language model."""
    args: dict[str, Any] = {
        "token_list": token_list(lm),
        "input_size": FEATURES,
        "frontend": None,
        "frontend_conf": {},
        "specaug": None,
        "specaug_conf": {},
        "normalize": None,
        "normalize_conf": {},
        "encoder": "transformer",
        "encoder_conf": {
            "output_size": 16, "attention_heads": 2, "linear_units": 24, "num_blocks": 1,
            "input_layer": "linear", "dropout_rate": 0.0, "positional_dropout_rate": 0.0,
        },
        "postencoder": "stack_adapter",
        "postencoder_conf": {"stack": 3, "hidden_size": 24},
        "decoder": "causal_lm",
        "decoder_conf": {"model": str(lm)},
        "ctc_conf": {},
        "joint_net_conf": {},
        "model": "slm",
        "model_conf": {},
        "init": None,
    }  # fmt: skip
    return {**args, **changes}


def build(lm: Path, **changes: Any) -> Any:
    """Build the model; the same seed gives the same adapter."""
    torch.manual_seed(0)
    return ASRTask.build_model(argparse.Namespace(**options(lm, **changes)))


def make_batch(lm: Path, frames: tuple[int, ...] = (50, 61, 44, 30)) -> dict[str, torch.Tensor]:
    """Random features with sentences as answers; pads are noise and -1."""
    generator = torch.Generator().manual_seed(1)
    tokenizer, tokens = load_tokenizer(lm), token_list(lm)
    rows = [
        torch.tensor([tokens.index(piece) for piece in tokenizer.tokenize(SENTENCES[i])])
        for i in range(len(frames))
    ]
    codes = [torch.tensor(list(LANGUAGES[i].encode())) for i in range(len(frames))]
    pad = torch.nn.utils.rnn.pad_sequence
    return {
        "speech": torch.randn(len(frames), max(frames), FEATURES, generator=generator),
        "speech_lengths": torch.tensor(frames),
        "text": pad(rows, batch_first=True, padding_value=-1),
        "text_lengths": torch.tensor([len(row) for row in rows]),
        "language": pad(codes, batch_first=True, padding_value=-1),
    }


def one_of(batch: dict[str, torch.Tensor], row: int) -> dict[str, torch.Tensor]:
    """An utterance by itself, without the padding that its neighbours made."""
    alone = {key: value[row : row + 1] for key, value in batch.items()}
    for key in ("speech", "text"):
        alone[key] = alone[key][:, : int(alone[f"{key}_lengths"][0])]
    return alone
