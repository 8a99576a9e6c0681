"""Speech encoders as Hugging Face stores them: found, fingerprinted, opened, and known by kind."""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn

from espnet_otreg.errors import UserError, one_line
from espnet_otreg.pretrained.bases import Base, hash_files
from espnet_otreg.pretrained.lm_features import weight_files
from espnet_otreg.pretrained.masked_lm import import_transformers, load, resolve

RATE = 16000
RAW = ("wav2vec2", "hubert", "wavlm")  # these take waveforms, the others spectrograms
KINDS = ("whisper", "wav2vec2-bert", *RAW)
EXTRACTOR_FILES = ("preprocessor_config.json", "processor_config.json")
# Kaldi's window is 25 ms and its step 10 ms; two such frames make one of wav2vec2-BERT's
SHORTEST_STACK = 400 + 160


def find(model: str, trusted: bool) -> Path:
    """Return the folder of a model given by folder or hub name."""
    code = ["*.py"] if trusted else []
    return resolve(model, [*EXTRACTOR_FILES, *code], "feature extractor")


def speech_base(model: str, trust_remote_code: bool = False) -> Base:
    """Fingerprint an encoder: configuration, weights, feature extractor and code that is run."""
    folder = find(model, trust_remote_code)
    code = sorted(folder.glob("*.py")) if trust_remote_code else []
    beside = [path for name in EXTRACTOR_FILES if (path := folder / name).is_file()]
    return Base(model, hash_files([folder / "config.json", *weight_files(folder), *beside, *code]))


def open_network(
    folder: Path, layer: int | None, dtype: torch.dtype, attention: str | None, trusted: bool
) -> Any:
    """Load an encoder, up to `layer` if it is given."""
    transformers = import_transformers("encoder: hf_speech", "slm")
    config = _configure(folder, layer, trusted)
    options = {} if attention is None else {"attn_implementation": attention}
    network = load(
        transformers.AutoModel,
        folder,
        "a speech encoder",
        unused="masked_spec_embed",  # a vector for pretraining, often not saved
        config=config,
        dtype=dtype,
        trust_remote_code=trusted,
        **options,
    )
    network = network.encoder if config.model_type == "whisper" else network
    if layer is not None and config.model_type == "whisper":
        network.layer_norm = nn.Identity()  # which belongs to the top
    elif layer is not None and getattr(config, "do_stable_layer_norm", False):
        network.encoder.layer_norm = nn.Identity()
    return network


def _configure(folder: Path, layer: int | None, trusted: bool) -> Any:
    """Read the configuration, and leave out what is not run before it is built."""
    config = _read_config(folder, trusted)
    if config.model_type not in KINDS:
        raise UserError(
            f"{folder} is of the kind {config.model_type}; encoder: hf_speech takes "
            f"{', '.join(KINDS)}"
        )
    layers = config.num_hidden_layers
    if layer is not None and not 1 <= layer <= layers:
        raise UserError(
            f"encoder_conf.layer must be between 1 and {layers}, the layers of {folder}, "
            f"got {layer}"
        )
    if layer is not None:
        config.num_hidden_layers = layer
        config.add_adapter = config.use_intermediate_ffn_before_adapter = False
    if config.model_type == "whisper":
        config.decoder_layers = 0
    config.layerdrop = 0.0  # a layer left out has no gradient, for which DDP would wait
    return config


def _read_config(folder: Path, trusted: bool) -> Any:
    auto = import_transformers("encoder: hf_speech", "slm").AutoConfig
    try:
        return auto.from_pretrained(str(folder), trust_remote_code=trusted)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder}: its config.json cannot be read: {one_line(error)}") from error


def standard_extractor(config: Any) -> Any:
    """Build the feature extractor of a Whisper: log-mel spectra, 10 ms apart, of 16 kHz."""
    extractor = import_transformers("encoder: hf_speech", "slm").WhisperFeatureExtractor
    seconds = config.max_source_positions // 50  # a position is 20 ms
    return extractor(feature_size=config.num_mel_bins, chunk_length=seconds)


def open_extractor(folder: Path, trusted: bool) -> Any:
    """Load the feature extractor that is saved beside the model; Whisper's is known without."""
    if not any((folder / name).is_file() for name in EXTRACTOR_FILES):
        config = _read_config(folder, trusted)
        if config.model_type == "whisper":
            logging.info(
                "%s has no %s: the standard one of %d mel bands is taken",
                *(folder, EXTRACTOR_FILES[0], config.num_mel_bins),
            )
            return standard_extractor(config)
    auto = import_transformers("encoder: hf_speech", "slm").AutoFeatureExtractor
    try:
        extractor = auto.from_pretrained(str(folder), trust_remote_code=trusted)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{folder}: its feature extractor cannot be loaded; save it beside the model "
            f"(preprocessor_config.json): {one_line(error)}"
        ) from error
    if extractor.sampling_rate != RATE:
        raise UserError(f"{folder} takes {extractor.sampling_rate} Hz; speech here has {RATE} Hz")
    return extractor


def check_window(network: Any, extractor: Any) -> None:
    """Refuse a Whisper whose encoder and feature extractor disagree about the window."""
    expected, given = 2 * network.config.max_source_positions, extractor.nb_max_frames
    if expected != given:
        raise UserError(
            f"the encoder takes {expected} frames and its preprocessor_config.json makes {given}: "
            "take both from the same model"
        )


def has_adapter(config: Any) -> bool:
    """Tell whether the model has strided convolutions on top, as some finetuned ones do."""
    return getattr(config, "add_adapter", False)


def masks_padding(config: Any) -> bool:
    """Tell whether frames stay the same when others pad the batch; else they are run one by one.

    A group norm, as in wav2vec2-base and HuBERT-base, takes its mean over the padding too, which
    no attention mask undoes (such models were trained without one). A batch norm before the
    positional convolution makes padding other than zero, and the convolutions of an adapter on top
    read beyond an utterance's end.
    """
    if has_adapter(config):
        return False
    if config.model_type not in RAW:
        return True
    return config.feat_extract_norm == "layer" and not getattr(config, "conv_pos_batch_norm", False)


def shortest(config: Any) -> int:
    """Count the samples that the first frame needs."""
    if config.model_type not in RAW:
        return 1 if config.model_type == "whisper" else SHORTEST_STACK
    samples = 1
    for kernel, stride in reversed(list(zip(config.conv_kernel, config.conv_stride, strict=True))):
        samples = (samples - 1) * stride + kernel
    return samples
