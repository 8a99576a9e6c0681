"""Tiny speech encoders of real classes, with random weights, and noises to feed them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor
from transformers import (
    HubertConfig,
    HubertModel,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2BertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

SECONDS = 1  # Whisper's window here; 30 in the real one
RAW = {
    "wav2vec2": (Wav2Vec2Config, Wav2Vec2Model),
    "hubert": (HubertConfig, HubertModel),
    "wavlm": (WavLMConfig, WavLMModel),
}
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "initializer_range": 0.2,
}
CONVOLUTIONS = {
    "conv_dim": (8, 8, 8),
    "conv_kernel": (10, 8, 4),
    "conv_stride": (5, 8, 4),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}


def save_encoder(folder: Path, kind: str, **changes: Any) -> Path:
    """Save a model and its feature extractor; the same arguments give the same weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, extractor = _build(kind, changes)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


def _build(kind: str, changes: dict[str, Any]) -> tuple[Any, Any]:
    if kind == "whisper":
        sizes = {"d_model": 16, "encoder_attention_heads": 2, "encoder_ffn_dim": 24}
        decoder = {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16}
        ends: dict[str, Any] = {
            f"{name}_token_id": 1 for name in ("pad", "bos", "eos", "decoder_start")
        }
        whisper = WhisperConfig(
            **{**sizes, **decoder, **changes},
            encoder_layers=3,
            num_mel_bins=20,
            max_source_positions=50 * SECONDS,
            vocab_size=30,
            max_target_positions=8,
            init_std=0.3,
            **ends,
        )
        return WhisperModel(whisper), WhisperFeatureExtractor(feature_size=20, chunk_length=SECONDS)
    if kind == "wav2vec2-bert":
        config = Wav2Vec2BertConfig(
            **{**SIZES, **changes}, feature_projection_input_dim=40, vocab_size=10
        )
        return Wav2Vec2BertModel(config), SeamlessM4TFeatureExtractor(
            feature_size=20, num_mel_bins=20, padding_value=1.0
        )
    configuration, network = RAW[kind]
    stable = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
    config = configuration(**{**SIZES, **CONVOLUTIONS, **stable, **changes}, vocab_size=10)
    extractor = Wav2Vec2FeatureExtractor(
        do_normalize=True, return_attention_mask=config.feat_extract_norm == "layer"
    )
    return network(config), extractor


def noises(*samples: int) -> tuple[Tensor, Tensor]:
    """Make speech (B, samples), of unequal loudness and with noise as padding, and lengths (B,)."""
    generator = torch.Generator().manual_seed(3)
    lengths = torch.tensor(samples)
    speech = 0.1 * torch.randn(len(samples), max(samples), generator=generator)
    return speech * torch.arange(1, len(samples) + 1)[:, None], lengths


def save_experiment(folder: Path, encoder: str, **changes: Any) -> Path:
    """Write config.yaml and checkpoint as a training of a recogniser on speech would."""
    from tests.support.tiny_models import DECODER, ENCODER, TOKENS, build

    args: dict[str, Any] = {
        "token_list": TOKENS,
        "input_size": None,
        "frontend": "default",
        "frontend_conf": {"n_fft": 512, "hop_length": 160},
        "specaug": None,
        "specaug_conf": {},
        "normalize": "utterance_mvn",
        "normalize_conf": {},
        "encoder": encoder,
        "encoder_conf": {**ENCODER, "input_layer": "conv2d"},
        "preencoder": None,
        "preencoder_conf": {},
        "decoder": "transformer",
        "decoder_conf": DECODER,
        "ctc_conf": {},
        "joint_net_conf": {},
        "model": "espnet",
        "model_conf": {"ctc_weight": 0.3},
        "init": None,
    }
    if encoder == "e_branchformer":
        args["encoder_conf"] |= {"attention_layer_type": "rel_selfattn", "cgmlp_linear_units": 24}
        args["encoder_conf"]["rel_pos_type"] = "latest"
        args["encoder_conf"]["pos_enc_layer_type"] = "rel_pos"
    args.update(changes)
    folder.mkdir(parents=True, exist_ok=True)
    if args["normalize"] == "global_mvn":
        statistics = folder / "stats.npz"
        np.savez(statistics, count=9, sum=np.arange(80.0), sum_square=np.arange(80.0) ** 2 + 1)
        args["normalize_conf"] = {"stats_file": str(statistics)}
    (folder / "config.yaml").write_text(yaml.safe_dump(args))
    torch.save(build(**args).state_dict(), folder / "valid.acc.ave.pth")
    return folder


def save_whisper(folder: Path, languages: tuple[str, ...] = ("en", "fr")) -> Path:
    """Save a whole Whisper with decoder and tokenizer; without languages it is of English alone."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, WhisperForConditionalGeneration

    letters = [*pre_tokenizers.ByteLevel.alphabet()]
    special = ["<|endoftext|>", "<|startoftranscript|>", "<|transcribe|>", "<|notimestamps|>"]
    special += [f"<|{language}|>" for language in languages]
    vocabulary = {token: i for i, token in enumerate([*sorted(letters), *special])}
    spelled = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    spelled.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    spelled.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=spelled, eos_token=special[0], additional_special_tokens=special[1:]
    )
    end, start, task, timeless = (vocabulary[token] for token in special[:4])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = WhisperConfig(
            d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=24,
            decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=24, num_mel_bins=20,
            max_source_positions=50 * SECONDS, max_target_positions=24, init_std=0.3,
            vocab_size=len(vocabulary), pad_token_id=end, bos_token_id=end, eos_token_id=end,
            decoder_start_token_id=start, suppress_tokens=[], begin_suppress_tokens=[],
        )  # fmt: skip
        model = WhisperForConditionalGeneration(config)
    made: Any = model.generation_config
    made._from_model_config = False  # or it would be made anew when it is opened
    made.no_timestamps_token_id = timeless
    made.is_multilingual = bool(languages)
    if languages:
        made.lang_to_id = {f"<|{code}|>": vocabulary[f"<|{code}|>"] for code in languages}
        made.task_to_id = {"transcribe": task}
    model.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=20, chunk_length=SECONDS).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
