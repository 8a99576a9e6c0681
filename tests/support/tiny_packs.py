"""Tiny experiments as training leaves them, ready to be packed: files in the folders beside."""

from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import soundfile
import torch
import yaml

from espnet_otreg.pretrained.masked_lm import LMTokenizer
from espnet_otreg.stages import pack
from tests.support.tiny_llm import SENTENCES, save_llm
from tests.support.tiny_models import ENCODER
from tests.support.tiny_slm import build as build_slm
from tests.support.tiny_slm import options as slm_options
from tests.support.tiny_speech import save_experiment

MODEL = "valid.acc.ave.pth"
DECODING = {"beam_size": 2, "ctc_weight": 0.3, "maxlenratio": 0.3, "batch_size": 1}


def save_recogniser(root: Path, **changes: Any) -> Path:
    """Save a recogniser with a BPE model and statistics, each in a folder of its own."""
    (root / "data").mkdir(parents=True)
    bpe = root / "data" / "bpe"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES), model_prefix=str(bpe), vocab_size=50, model_type="bpe",
        minloglevel=2,
    )  # fmt: skip
    pieces = sentencepiece.SentencePieceProcessor(model_file=f"{bpe}.model")
    known = [pieces.id_to_piece(i) for i in range(3, pieces.get_piece_size())]
    options = {
        "token_list": ["<blank>", "<unk>", *known, "<sos/eos>"],
        "token_type": "bpe",
        "bpemodel": f"{bpe}.model",
        "normalize": "global_mvn",
        "model": "otreg",
        "model_conf": {"ctc_weight": 0.3, "ot_conf": {"weight": 0.3}},
        "init_param": ["exp/init/valid.acc.ave.pth"],
        "train_data_path_and_name_and_type": [["dump/raw/covost2_train/wav.scp", "speech", "s"]],
        **changes,
    }
    folder = save_experiment(root / "exp" / "asr_otreg_seed1", "transformer", **options)
    spread(folder / MODEL)
    (root / "decode.yaml").write_text(yaml.safe_dump(DECODING))
    return folder


def spread(checkpoint: Path) -> None:
    """Scale the outputs, or an untrained model says one token throughout."""
    state = torch.load(checkpoint, weights_only=True)
    state["ctc.ctc_lo.weight"] *= 30
    torch.save(state, checkpoint)


def save_taught(root: Path, lm: Path, **changes: Any) -> Path:
    """Save a CTC model whose tokens are a masked language model's pieces."""
    tokenizer = LMTokenizer(lm)
    pieces = sorted({piece for text in SENTENCES for piece in tokenizer.split(text)})
    return save_recogniser(
        root,
        token_list=["<blank>", "<unk>", *pieces, "<sos/eos>"],
        token_type="word",
        bpemodel=None,
        normalize="utterance_mvn",
        model="ot_transfer",
        model_conf={"ctc_weight": 1.0, "transfer_conf": {"main_weight": 0.3, "layers": [1]}},
        postencoder="transfer_adapter",
        postencoder_conf={"text_size": 8},
        **changes,
    )


def save_listener(root: Path) -> Path:
    """Save a speech language model and, in folders of their own, the two it is made of."""
    lm = save_llm(root / "models" / "tiny-llm")
    encoder = save_experiment(
        root / "models" / "tiny-encoder", "transformer", encoder_conf={**ENCODER, "num_blocks": 1}
    )
    changes = {
        "input_size": 1,
        "encoder": "espnet_speech",
        "encoder_conf": {"experiment": str(encoder)},
    }
    model = build_slm(lm, **changes)
    with torch.no_grad():
        model.adapter.out.weight.mul_(20)  # so that answers depend on what is heard
    folder = root / "exp" / "asr_slm_seed1"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(slm_options(lm, **changes)))
    torch.save(model.state_dict(), folder / MODEL)
    return folder


def save_clip(path: Path, seed: int = 0) -> Path:
    """Save a second of noise whose colour changes."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(16000) * np.repeat(rng.uniform(0.01, 0.3, 16), 1000)
    soundfile.write(path, noise, 16000, subtype="FLOAT")
    return path


def make_pack(folder: Path, output: Path, *more: str) -> Path:
    """Run the command on an experiment."""
    pack.main(["--asr_exp", str(folder), "--model_file", MODEL, "--output", str(output), *more])
    return output
