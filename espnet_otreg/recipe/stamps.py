"""Content stamps of what a recipe reads but does not make: configs, models, corpora.

Large files are hashed once: what their hashes were is kept by size and time of change.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from espnet_otreg.corpora.table_hub import is_hub_name, place
from espnet_otreg.corpora.table_map import MAP, find_map
from espnet_otreg.files import infinite_to_text, write_lines
from espnet_otreg.yaml_files import parse_yaml

LARGE = 1 << 20  # bytes from which on a hash is worth keeping
ARCHIVES = {".gz", ".tgz", ".tar"}
AUDIO = {".flac", ".wav", ".mp3", ".opus", ".ogg", ".npy", *ARCHIVES}  # known by name and size
LISTS = (".jsonl.gz",)  # no archives: known by their content
TABLES = {".tsv", ".txt", ".csv", ".json", ".jsonl", ".parquet", ".arrow", *ARCHIVES}  # of a corpus
_ABOVE_KEY = re.compile(r'[^\s"]*/(?=[0-9a-f]{8}/)')  # where recordings lie is not what they are
CORPUS_DEPTH = 4  # levels of folders in which a corpus keeps its tables


class Given(NamedTuple):
    """A file or folder as it was when the graph was read."""

    path: str
    stamp: str
    content: bytes | None = None  # of a YAML: what the step will read, whatever happens to the file
    values: Any = None  # of a YAML: its content, parsed


class Stamps:
    """Stamps of files and folders, each taken once per run."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._known: dict[str, list[Any]] = {}
        self._taken: dict[str, Given] = {}
        self._changed = False
        if cache.is_file():
            try:
                self._known = json.loads(cache.read_text(encoding="utf-8"))
            except ValueError:  # half a file costs a second reading, no more
                self._known = {}

    def content(self, path: str) -> Given:
        """Stamp all that a file or folder holds; a name that is neither stands for itself."""
        if path not in self._taken:
            self._taken[path] = self._content(path)
        return self._taken[path]

    def corpus(self, path: str) -> Given:
        """Stamp a corpus by its tables and archives; its recordings are listed there."""
        key = f"corpus {path}"
        if key not in self._taken:
            files = sorted(_tables(Path(path))) if Path(path).is_dir() else []
            beside = Path(f"{os.path.normpath(path)}.yaml")  # what explains a folder of tables
            files += [beside] if beside.is_file() else []
            if is_hub_name(path):  # known by its name: the step itself fetches what is not there
                explained = find_map(place(path))
                files = [explained] if explained else []
            self._taken[key] = Given(path, self._together(Path(path), files))
        return self._taken[key]

    def save(self) -> None:
        """Keep the hashes of large files for the next run."""
        if self._changed:
            write_lines(self._cache, [json.dumps(self._known)])

    def file(self, path: Path) -> str:
        """Hash a file's content."""
        status = path.stat()
        seen = [status.st_size, status.st_mtime_ns, status.st_ino]
        key = os.path.abspath(path)
        known = self._known.get(key)
        if known and known[:-1] == seen:
            return str(known[-1])
        with open(path, "rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()[:16]
        if status.st_size >= LARGE:
            self._known[key] = [*seen, digest]
            self._changed = True
        return digest

    def output(self, path: Path, pattern: str) -> str:
        """Digest what a step made: content of tables and of `pattern`, names and sizes of audio."""
        if path.is_file():
            return self.file(path)
        if pattern:
            return self._together(path, sorted({p.resolve() for p in path.glob(pattern)}))
        return self._together(path, sorted(p for p in path.rglob("*") if p.is_file()))

    def _content(self, path: str) -> Given:
        place = Path(path)
        if place.suffix in (".yaml", ".yml") and place.is_file():
            content = place.read_bytes()
            values = infinite_to_text(parse_yaml(content, place))
            return Given(path, _hash(json.dumps(values, sort_keys=True)), content, values)
        if place.is_file():
            return Given(path, self.file(place))
        if not place.is_dir():
            return Given(path, f"name {path}")
        record = place.parent / ".steps" / f"{place.name}.json"
        if record.is_file():  # made by a step: its key says what it holds
            return Given(path, str(json.loads(record.read_text(encoding="utf-8"))["key"]))
        files = sorted(p for p in place.rglob("*") if p.is_file())
        return Given(path, self._together(place, files))

    def _together(self, root: Path, files: list[Path]) -> str:
        lines = []
        for path in files:
            name = path.relative_to(root) if path.is_relative_to(root) else path.name
            if path.suffix in AUDIO and not path.name.endswith(LISTS):
                lines.append(f"{name} {path.stat().st_size}")
            elif path.suffix == ".scp" or path.name == "manifest.jsonl":
                lines.append(f"{name} {_hash(_ABOVE_KEY.sub('', path.read_text('utf-8')))}")
            else:
                lines.append(f"{name} {self.file(path)}")
        return _hash("\n".join(lines))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _tables(root: Path, depth: int = CORPUS_DEPTH) -> Iterator[Path]:
    for entry in os.scandir(root):
        path = Path(entry.path)
        if entry.is_file():
            if path.suffix in TABLES or path.name == MAP:
                yield path
        elif depth and entry.is_dir() and entry.name not in ("clips", "wav", "wavs"):
            # an unpacked package's own folders are no levels of the corpus
            yield from _tables(path, depth - (entry.name not in ("usr", "share")))
