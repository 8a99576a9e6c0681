"""Whisper as CTranslate2 keeps it, turned into the folder that `transformers` reads.

The weights are the same numbers under other names: CTranslate2 joins the projections of a layer
that share an input, query with key and value, and gives the key the bias of zeros it never had.
What decodes beside them (which tokens to suppress, languages, tasks) is put together from the
package's config.json and tokenizer.json.
"""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, write_json
from espnet_otreg.packages.ctranslate2 import read_model
from espnet_otreg.packages.unpacking import one_file
from espnet_otreg.pretrained.hf_checkpoint import standard_extractor
from espnet_otreg.pretrained.masked_lm import import_transformers, quiet

MULTILINGUAL = 51865  # tokens from which on a Whisper knows languages, as its own code counts
END, START, TIMELESS = "<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"
TASKS = ("transcribe", "translate")
_LANGUAGE = re.compile(r"<\|[a-z]{2,3}\|>")
_ATTENTION = {  # CTranslate2's linear layers -> transformers', those that are joined in order
    "self_attention": ("self_attn", (("q_proj", "k_proj", "v_proj"), ("out_proj",))),
    "attention": ("encoder_attn", (("q_proj",), ("k_proj", "v_proj"), ("out_proj",))),
}
_ENDS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}


def convert(unpacked: Path, output: Path) -> None:
    """Write configuration, weights, tokenizer, feature extractor and generation settings."""
    from transformers import WhisperForConditionalGeneration

    pieces = sorted(unpacked.rglob("model.bin*"))
    if not pieces:
        raise UserError("the packages hold no model.bin: they are not those of the table")
    model = read_model(pieces)
    if model.specification != "WhisperSpec":
        raise UserError(f"model.bin is a {model.specification}, and a WhisperSpec is needed")
    tokens = _tokens(one_file(unpacked, "tokenizer.json"))
    told = read_json(one_file(unpacked, "config.json"))
    config = _config(model.variables, tokens)
    with torch.device("meta"):
        network: Any = WhisperForConditionalGeneration(config)
    weights = _weights(model.variables)
    missing, unexpected = network.load_state_dict(weights, strict=False, assign=True)
    missing = [name for name in missing if name != "proj_out.weight"]  # tied to embed_tokens
    if missing or unexpected:
        raise UserError(
            f"model.bin is another Whisper than transformers knows: {len(missing)} weights are "
            f"missing and {len(unexpected)} unknown, first {(missing + unexpected)[0]}"
        )
    network.tie_weights()
    network.generation_config = _generation(config, tokens, told)
    with quiet(import_transformers()):
        network.save_pretrained(output)
    standard_extractor(config).save_pretrained(output)
    _save_tokenizer(one_file(unpacked, "tokenizer.json"), output)


def _tokens(path: Path) -> dict[str, int]:
    """Read the ids of the tokens beyond the text's."""
    added = {token["content"]: token["id"] for token in read_json(path).get("added_tokens", [])}
    lacking = [name for name in (END, START, TIMELESS) if name not in added]
    if lacking:
        raise UserError(f"{path.name} is not Whisper's: it has no {lacking[0]}")
    return added


def _config(variables: Mapping[str, np.ndarray], tokens: Mapping[str, int]) -> Any:
    """Read the sizes off the weights' shapes."""
    from transformers import WhisperConfig

    rows, width = variables["decoder/embeddings/weight"].shape
    sizes: dict[str, Any] = {}
    for side in ("encoder", "decoder"):
        layers = {name.split("/")[1] for name in variables if name.startswith(f"{side}/layer_")}
        sizes[f"{side}_layers"] = len(layers - {"layer_norm"})
        sizes[f"{side}_attention_heads"] = int(variables[f"{side}/num_heads"])
        sizes[f"{side}_ffn_dim"] = len(variables[f"{side}/layer_0/ffn/linear_0/bias"])
    ends: dict[str, Any] = {f"{end}_token_id": tokens[END] for end in ("bos", "eos", "pad")}
    return WhisperConfig(
        vocab_size=rows,
        d_model=width,
        num_mel_bins=variables["encoder/conv1/weight"].shape[1],
        max_source_positions=len(variables["encoder/position_encodings/encodings"]),
        max_target_positions=len(variables["decoder/position_encodings/encodings"]),
        decoder_start_token_id=tokens[START],
        **ends,
        **sizes,
        dtype="float32",
    )


def _weights(variables: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Name the weights as transformers does, in float32."""
    weights = {}
    for name, values in variables.items():
        if values.ndim and values.dtype.kind == "f" and name != "decoder/projection/weight":
            for target, piece in _named(name, values).items():
                weights[target] = torch.from_numpy(piece.astype(np.float32))
    return weights


def _named(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """Take a variable apart into transformers' weights.

    >>> list(_named("encoder/layer_3/self_attention/linear_0/bias", np.zeros(6)))
    ['model.encoder.layers.3.self_attn.q_proj.bias', 'model.encoder.layers.3.self_attn.v_proj.bias']
    """
    side, *inner, end = name.split("/")
    place = f"model.{side}"
    if inner[0].startswith("layer_") and inner[0] != "layer_norm":
        place += f".layers.{inner.pop(0).removeprefix('layer_')}"
    if inner[0] in _ATTENTION:
        part, linears = _ATTENTION[inner[0]]
        if inner[1] == "layer_norm":
            return {f"{place}.{part}_layer_norm.{_ENDS[end]}": values}
        joined = linears[int(inner[1].removeprefix("linear_"))]
        pieces = dict(zip(joined, np.split(values, len(joined)), strict=True))
        if end == "bias" and "k_proj" in pieces and pieces.pop("k_proj").any():
            raise UserError(f"model.bin: {name} has a bias for the key, and Whisper's has none")
        return {f"{place}.{part}.{key}.{end}": piece for key, piece in pieces.items()}
    if inner[0] == "ffn":
        own = {"layer_norm": "final_layer_norm", "linear_0": "fc1", "linear_1": "fc2"}
        return {f"{place}.{own[inner[1]]}.{_ENDS[end]}": values}
    if inner[0] == "position_encodings":
        return {f"{place}.embed_positions.weight": values}
    if inner[0] == "embeddings":
        return {f"{place}.embed_tokens.weight": values}
    return {f"{place}.{inner[0]}.{_ENDS[end]}": values}  # conv1, conv2, layer_norm


def _generation(config: Any, tokens: Mapping[str, int], told: Mapping[str, Any]) -> Any:
    """Put together what `generate` asks for: tokens that start, end, suppress, name languages."""
    from transformers import GenerationConfig

    multilingual = config.vocab_size >= MULTILINGUAL
    ids = set(told.get("lang_ids", ()))
    names = {
        "lang_to_id": {
            name: id for name, id in tokens.items() if id in ids and _LANGUAGE.fullmatch(name)
        },
        "task_to_id": {task: tokens[f"<|{task}|>"] for task in TASKS if f"<|{task}|>" in tokens},
    }
    return GenerationConfig(
        **{f"{end}_token_id": tokens[END] for end in ("bos", "eos", "pad")},
        decoder_start_token_id=tokens[START],
        no_timestamps_token_id=tokens[TIMELESS],
        prev_sot_token_id=tokens.get("<|startofprev|>"),
        suppress_tokens=told.get("suppress_ids"),
        begin_suppress_tokens=told.get("suppress_ids_begin"),
        alignment_heads=told.get("alignment_heads"),
        max_length=config.max_target_positions,
        max_initial_timestamp_index=50,
        return_timestamps=False,
        is_multilingual=multilingual,
        **(names if multilingual else {}),
    )


def _save_tokenizer(path: Path, output: Path) -> None:
    shutil.copyfile(path, output / "tokenizer.json")
    ends = {f"{name}_token": END for name in ("bos", "eos", "unk", "pad")}
    write_json(
        output / "tokenizer_config.json",
        {"tokenizer_class": "WhisperTokenizer", "add_prefix_space": False, **ends},
    )
    from transformers import AutoTokenizer

    content = json.loads(path.read_text(encoding="utf-8"))
    expected = {token["content"]: token["id"] for token in content["added_tokens"]}
    vocabulary = AutoTokenizer.from_pretrained(str(output)).get_vocab()
    wrong = [name for name, id in expected.items() if vocabulary.get(name) != id]
    if wrong:
        raise UserError(
            f"{path.name}: transformers reads {len(wrong)} tokens otherwise, {wrong[0]}"
        )
