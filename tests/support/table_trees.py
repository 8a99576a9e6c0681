"""Small tables of recordings, in the forms that people have them."""

import csv
import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.support import corpus_trees as trees

Rows = Sequence[dict[str, Any]]


def encoded(number: int = 0, ending: str = "wav", rate: int = trees.RATE) -> bytes:
    """Return a recording as bytes; another number is another recording."""
    buffer = io.BytesIO()
    soundfile.write(buffer, trees.tone(0.1 + number / 100, rate), rate, format=ending.upper())
    return buffer.getvalue()


def write_map(root: Path, **keys: Any) -> Path:
    """Write table.yaml; JSON is YAML."""
    root.mkdir(parents=True, exist_ok=True)
    path = root / "table.yaml"
    path.write_text(json.dumps(keys), encoding="utf-8")
    return path


def write_parquet(path: Path, rows: Rows, **options: Any) -> Path:
    """Write rows; skips the test where pyarrow is not installed."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(_table(rows), path, **options)
    return path


def write_arrow(path: Path, rows: Rows, stream: bool = True) -> Path:
    """Write rows as `datasets` saves them, or in Arrow's other format."""
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    path.parent.mkdir(parents=True, exist_ok=True)
    table = _table(rows)
    opened = pyarrow.ipc.new_stream if stream else pyarrow.ipc.new_file
    with pyarrow.OSFile(str(path), "wb") as sink, opened(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return path


def _table(rows: Rows) -> Any:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    return pyarrow.Table.from_pylist(list(rows))


def write_jsonl(path: Path, rows: Rows) -> Path:
    """Write an object per line, compressed if the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
    return path


def write_csv(path: Path, rows: Rows, delimiter: str = ",") -> Path:
    """Write rows under a header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def cut(utt: str, source: str, text: str, start: float = 0.0, duration: float = 0.2) -> dict:
    """Return one of lhotse's cuts, of a recording of 0.2 s."""
    said = {"id": utt, "recording_id": "r", "start": 0.0, "duration": duration, "channel": 0}
    sources = [{"type": "file", "channels": [0], "source": source}]
    return {
        "id": utt,
        "start": start,
        "duration": duration,
        "channel": 0,
        "supervisions": [{**said, "text": text, "language": "en", "speaker": "s1"}],
        "recording": {
            "id": "r",
            "sources": sources,
            "sampling_rate": trees.RATE,
            "num_samples": int(0.2 * trees.RATE),
            "duration": 0.2,
        },
        "type": "MonoCut",
    }
