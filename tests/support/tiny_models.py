"""Tiny ESPnet models and batches."""

import argparse
from typing import Any

import numpy as np
import torch

from espnet_otreg.tasks.asr import ASRTask

TOKENS = ["<blank>", "<unk>", *"abcdefghijklmnop", "<sos/eos>"]
ENCODER = {"output_size": 16, "attention_heads": 2, "linear_units": 24, "num_blocks": 2}
DECODER = {"attention_heads": 2, "linear_units": 24, "num_blocks": 1}


def build(**changes: Any) -> torch.nn.Module:
    """Build through ESPnet's own task; the same seed gives the same weights."""
    args: dict[str, Any] = {
        "token_list": TOKENS,
        "input_size": 20,  # features come with the batch
        "frontend": None,
        "specaug": "specaug",
        "specaug_conf": {
            "apply_time_warp": False,
            "freq_mask_width_range": [0, 3],
            "time_mask_width_range": [0, 3],
        },
        "normalize": "utterance_mvn",
        "normalize_conf": {},
        "encoder": "transformer",
        "encoder_conf": {**ENCODER, "input_layer": "linear"},
        "decoder": "transformer",
        "decoder_conf": DECODER,
        "ctc_conf": {},
        "joint_net_conf": {},
        "model": "espnet",
        "model_conf": {"ctc_weight": 0.3},
        "init": None,
    }
    args.update(changes)
    args["model_conf"] = {"report_cer": False, "report_wer": False, **args["model_conf"]}
    torch.manual_seed(0)
    return ASRTask.build_model(argparse.Namespace(**args))


def make_batch(frames: list[int], tokens: list[int]) -> dict[str, torch.Tensor]:
    """Random features and transcripts of these lengths; pads are noise and -1."""
    generator = torch.Generator().manual_seed(1)
    text = torch.randint(2, 17, (len(tokens), max(max(tokens), 1)), generator=generator)
    for row, length in enumerate(tokens):
        text[row, length:] = -1
    return {
        "speech": torch.randn(len(frames), max(frames), 20, generator=generator),
        "speech_lengths": torch.tensor(frames),
        "text": text,
        "text_lengths": torch.tensor(tokens),
    }


def run(model: torch.nn.Module, batch: dict[str, torch.Tensor], seed: int = 3) -> tuple:
    """Forward with the same dropout and SpecAugment for the same seed; the batch is not edited."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    return model(**{key: value.clone() for key, value in batch.items()})
