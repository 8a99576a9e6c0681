"""Data directories as other toolkits read them: Parquet, NeMo's JSON lines, lhotse's cuts.

Parquet holds the recordings themselves, in the form that `datasets` decodes; the others name them.
Beside the files stands a `table.yaml`, so that corpus `table` reads back what was written, ids
included.
"""

import gzip
import json
import os
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.corpora.manifest import entries
from espnet_otreg.corpora.table_map import MAP
from espnet_otreg.errors import UserError
from espnet_otreg.files import write_json, write_lines, writing
from espnet_otreg.yaml_files import read_yaml

FORMATS = {"parquet": "exported", "nemo": "nemo", "lhotse": "lhotse"}  # -> preset that reads it
ROWS = 100  # of a row group: some 10 MB


def export(
    folder: Path, split: str, data: DataDir, fs: int, form: str, per_file: int
) -> list[Path]:
    """Write a formatted set, whose recordings have the rate `fs`; return the files."""
    ending = {"parquet": "-*-of-*.parquet", "nemo": ".jsonl", "lhotse": ".jsonl.gz"}[form]
    files = [folder / f"{split}{ending}"]
    if form == "parquet":
        count = -(-len(data.ids) // per_file)
        names = [f"{split}-{n:05d}-of-{count:05d}.parquet" for n in range(count)]
        files = [folder / name for name in names]
    others = sorted(set(folder.glob(f"{split}[-.]*")) - set(files))
    if others:
        raise UserError(
            f"{others[0]} is of another export, and would be read with this one: remove it, or "
            "name another --output"
        )
    _write_map(folder / MAP, data, split, form)
    if form == "parquet":
        rows = iter(entries(folder, data, fs))
        for file in files:
            _write_parquet(file, islice(rows, per_file), data, folder, fs)
    elif form == "nemo":
        write_lines(files[0], (_json(entry) for entry in entries(folder, data, fs)))
    else:
        with writing(files[0], "wb") as stream, gzip.GzipFile("", "wb", 6, stream, 0) as zipped:
            for entry in entries(folder, data, fs):
                zipped.write(f"{_json(_cut(entry, folder, fs))}\n".encode())
    return files


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False)


def _targets(data: DataDir) -> list[str]:
    return sorted(name.partition(".")[2] for name in data.tables if name.startswith("text."))


def _write_map(path: Path, data: DataDir, split: str, form: str) -> None:
    """Say how to read the files back; exports of several splits share one table.yaml."""
    keys: dict[str, Any] = {"preset": FORMATS[form]}
    names = {utt.partition("-")[0] for utt in data.ids}
    if len(names) == 1:
        keys["name"] = names.pop()
    targets = _targets(data)
    if len(targets) == 1:
        column = f"translation_{targets[0]}" if form == "parquet" else f"translations.{targets[0]}"
        keys |= {"target": targets[0], "columns": {"translation": column}}
    if not path.is_file():
        write_json(path, keys)  # JSON is YAML
    elif read_yaml(path) != keys:
        raise UserError(
            f"{path} is of another export, {read_yaml(path)}, and {split} needs {keys}: name "
            "another --output"
        )


def _write_parquet(
    file: Path, rows: Iterable[dict[str, Any]], data: DataDir, folder: Path, fs: int
) -> None:
    """Write one file, a row group at a time."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            "pyarrow is needed to write Parquet: pip install 'espnet_otreg[tables]'"
        ) from error
    texts = ["id", "text", "language", "speaker", *(f"translation_{t}" for t in _targets(data))]
    inside = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    fields = [("audio", inside), ("duration", pyarrow.float64())]
    fields += [(name, pyarrow.string()) for name in texts]
    schema = pyarrow.schema(fields, metadata={"huggingface": _features(texts, fs)})
    remaining = (_row(entry, folder, texts) for entry in rows)
    with writing(file, "wb") as stream, parquet.ParquetWriter(stream, schema) as writer:
        while few := list(islice(remaining, ROWS)):
            writer.write_table(pyarrow.Table.from_pylist(few, schema=schema))


def _features(texts: Sequence[str], fs: int) -> str:
    """Tell `datasets` which column is audio."""
    features: dict[str, Any] = {"audio": {"sampling_rate": fs, "_type": "Audio"}}
    features["duration"] = {"dtype": "float64", "_type": "Value"}
    features |= {name: {"dtype": "string", "_type": "Value"} for name in texts}
    return json.dumps({"info": {"features": features}})


def _row(entry: dict[str, Any], folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    path = folder / entry["audio_filepath"]
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}): format the set again") from error
    known = {**entry, "language": entry.get("lang")}
    known |= {f"translation_{t}": text for t, text in entry.get("translations", {}).items()}
    audio = {"bytes": content, "path": f"{entry['id']}{path.suffix}"}
    return {"audio": audio, "duration": entry["duration"], **{t: known.get(t) for t in texts}}


def _cut(entry: dict[str, Any], folder: Path, fs: int) -> dict[str, Any]:
    """Describe an utterance as lhotse does: a recording, and all of it said by one speaker."""
    utt, duration = entry["id"], entry["duration"]
    source = os.path.abspath(folder / entry["audio_filepath"])  # lhotse's start where it runs
    said = {
        **{"id": utt, "recording_id": utt, "start": 0.0, "duration": duration, "channel": 0},
        **{"text": entry["text"], "language": entry.get("lang"), "speaker": entry["speaker"]},
    }
    if entry.get("translations"):
        said["custom"] = {"translations": entry["translations"]}
    return {
        **{"id": utt, "start": 0.0, "duration": duration, "channel": 0, "supervisions": [said]},
        "recording": {
            "id": utt,
            "sources": [{"type": "file", "channels": [0], "source": source}],
            **{"sampling_rate": fs, "num_samples": entry["num_samples"], "duration": duration},
            "channel_ids": [0],
        },
        "type": "MonoCut",
    }
