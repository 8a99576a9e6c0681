"""A corpus of six noises, and the command that trains a tiny recogniser on it."""

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml

from espnet_otreg.files import write_lines
from espnet_otreg.stages import asr_train
from tests.support.tiny_models import DECODER, ENCODER, TOKENS

CONFIG: dict[str, Any] = {
    "model": "otreg",
    "model_conf": {"ctc_weight": 0.3, "report_cer": False, "report_wer": False},
    "frontend_conf": {"n_fft": 256, "hop_length": 128, "n_mels": 20},
    "normalize": "utterance_mvn",
    "encoder": "transformer",
    "encoder_conf": {**ENCODER, "input_layer": "conv2d"},
    "decoder": "transformer",
    "decoder_conf": DECODER,
    "optim": "adam",
    "optim_conf": {"lr": 0.001},
    "scheduler": "warmuplr",
    "scheduler_conf": {"warmup_steps": 10},
    "batch_type": "unsorted",
    "batch_size": 3,
    "max_epoch": 2,
    "keep_nbest_models": 1,
    "best_model_criterion": [["valid", "loss", "min"]],
    "num_workers": 0,
    "use_tensorboard": False,
    "use_matplotlib": False,
    "token_type": "char",
}


def make_corpus(folder: Path) -> Path:
    """Write recordings, text, shapes and tokens."""
    generator = np.random.default_rng(0)
    rows: dict[str, list[str]] = {"wav.scp": [], "text": [], "shape": []}
    for i in range(6):
        path = folder / f"u{i}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, 0.1 * generator.standard_normal(8000), 16000)
        rows["wav.scp"].append(f"u{i} {path}")
        rows["text"].append(f"u{i} {'abcdef'[i:]}a")
        rows["shape"].append(f"u{i} 8000")
    for name, lines in rows.items():
        write_lines(folder / name, lines)
    write_lines(folder / "tokens.txt", TOKENS)
    return folder


def command(corpus: Path, folder: Path, **changes: Any) -> list[str]:
    """Write the configuration, with changes such as `encoder_conf={"foo": 1}`, and name it."""
    config = dict(CONFIG)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(config.get(key), dict)
        config[key] = {**config[key], **value} if both else value
    folder.mkdir(exist_ok=True)
    (folder / "train.yaml").write_text(yaml.safe_dump(config))
    data = []
    for name in ("train", "valid"):
        for file, kind in (("wav.scp", "speech,sound"), ("text", "text,text")):
            data += [f"--{name}_data_path_and_name_and_type", f"{corpus}/{file},{kind}"]
        data += [f"--{name}_shape_file", f"{corpus}/shape"]
    options = [*("--config", f"{folder}/train.yaml"), *("--output_dir", f"{folder}/exp"), *data]
    return [*options, *("--ngpu", "0", "--token_list", f"{corpus}/tokens.txt", "--resume", "true")]


def train(corpus: Path, folder: Path, *further: str, **changes: Any) -> Path:
    """Train in this process; the experiment's folder."""
    asr_train.main([*command(corpus, folder, **changes), *further])
    return folder / "exp"
