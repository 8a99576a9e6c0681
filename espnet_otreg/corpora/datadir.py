"""Kaldi-style data directories: tables of `<utterance id> <value>`, sorted by id.

Only `text` may have empty values. `text.<language>` (translations) may cover a part of the
utterances; every other table must cover exactly those of wav.scp.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table, write_lines

REQUIRED = ("wav.scp", "text", "utt2spk")
OPTIONAL = ("utt2lang", "utt2num_samples", "utt2license", "utt2attribution")
DIGITS = 15  # of a number of samples: a million years
SHOWN = 5  # how many utterances a message names


def read_values(path: Path) -> dict[str, str]:
    """Read a table in which every utterance must have a value."""
    table = read_table(path)
    for name, value in table.items():
        if not value:
            raise UserError(f"{path}: utterance {name} has no value; make the file again")
    return table


def write_table(path: Path, table: Mapping[str, str]) -> None:
    """Write a table sorted as LC_ALL=C does (the order of code points is that of UTF-8 bytes)."""
    for name, value in table.items():
        if "\n" in value or "\r" in value or value != value.strip():
            raise UserError(
                f"{path}: {name} has {value!r}; a table cannot hold line ends, nor white space at "
                "either end: rename the folder or file"
            )
    write_lines(path, (f"{name} {table[name]}".rstrip() for name in sorted(table)))


@dataclass(frozen=True)
class DataDir:
    """The tables of one set, by file name. About 1 kB of memory per utterance."""

    tables: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> "DataDir":
        """Read every known table of a folder."""
        if not folder.is_dir():
            raise UserError(f"data directory {folder} is missing: run the stage that makes it.")
        if (folder / "segments").exists():
            raise UserError(f"{folder}/segments: cut the recordings into utterances first.")
        optional = [name for name in OPTIONAL if (folder / name).is_file()]
        texts = sorted(path.name for path in folder.glob("text.*") if path.is_file())
        return cls(
            {
                name: read_table(folder / name) if name == "text" else read_values(folder / name)
                for name in [*REQUIRED, *optional, *texts]
            }
        )

    @property
    def ids(self) -> list[str]:
        """Utterance ids in order."""
        return sorted(self.tables["wav.scp"])

    def save(self, folder: Path) -> None:
        """Write all tables and spk2utt; wav.scp comes last, so that its presence means complete."""
        (folder / "wav.scp").unlink(missing_ok=True)
        speakers: dict[str, list[str]] = {}
        for name in self.ids:
            speakers.setdefault(self.tables["utt2spk"][name], []).append(name)
        for stale in set(folder.glob("text.*")) | {folder / name for name in OPTIONAL}:
            if stale.name not in self.tables:
                stale.unlink(missing_ok=True)
        for name in sorted(self.tables, key=lambda name: name == "wav.scp"):
            if name == "wav.scp":
                utterances = {who: " ".join(names) for who, names in speakers.items()}
                write_table(folder / "spk2utt", utterances)
            write_table(folder / name, self.tables[name])

    def subset(self, ids: Iterable[str]) -> "DataDir":
        """Keep the given utterances."""
        return self.renamed({utt: utt for utt in ids})

    def renamed(self, names: Mapping[str, str]) -> "DataDir":
        """Keep the utterances in `names`, under their new names; empty translations go."""
        tables = {
            name: {names[utt]: value for utt, value in table.items() if utt in names}
            for name, table in self.tables.items()
        }
        return DataDir({name: table for name, table in tables.items() if table or name in REQUIRED})

    def speaker_first(self) -> "DataDir":
        """Begin ids with the speaker, as Kaldi's tools want it: sorted by either, tables agree."""
        speakers = self.tables["utt2spk"]
        names = {
            utt: utt if utt.startswith(speakers[utt]) else f"{speakers[utt]}-{utt}"
            for utt in self.ids
        }
        before: tuple[str, str] | None = None  # Kaldi reads tables in this order
        for name, who in sorted((names[utt], speakers[utt]) for utt in self.ids):
            if before is not None and who < before[1]:
                raise UserError(
                    f"speakers {who} and {before[1]} cannot both begin ids in the order that Kaldi "
                    f"wants ({before[0]} comes before {name}): rename one of them in the corpus"
                )
            before = name, who
        return self.renamed(names)

    def validate(self, folder: Path) -> None:
        """Stop when tables disagree, naming table and utterances; `folder` is for the message."""
        wanted = self.tables["wav.scp"].keys()
        problems = []
        for name, table in self.tables.items():
            extra = sorted(table.keys() - wanted)
            lacking = [] if name.startswith("text.") else sorted(wanted - table.keys())
            for utts, what in ((extra, "not in wav.scp"), (lacking, "in wav.scp only")):
                if utts:
                    shown = ", ".join(utts[:SHOWN]) + (", ..." if len(utts) > SHOWN else "")
                    problems.append(f"  {name}: {len(utts)} utterance(s) {what}: {shown}")
        for utt, value in self.tables.get("utt2num_samples", {}).items():
            if not (value.isascii() and value.isdigit() and len(value) <= DIGITS):
                problems.append(
                    f"  utt2num_samples: {utt} has {value[:40]!r}, not a number of samples"
                )
        if not wanted:
            problems.append("  wav.scp: no utterance at all")
        if problems:
            listed = "\n".join(problems)
            raise UserError(f"the tables of {folder} disagree; make them again.\n{listed}")


def combine(sets: Mapping[Path, DataDir]) -> tuple[DataDir, list[str]]:
    """Join valid sets; return the whole and the tables left out because some set lacks them."""
    joined: dict[str, dict[str, str]] = {}
    origin: dict[str, Path] = {}
    for folder, data in sets.items():
        for utt in data.ids:
            if utt in origin:
                raise UserError(f"utterance {utt} is in {origin[utt]} and again in {folder}.")
            origin[utt] = folder
        for name, table in data.tables.items():
            joined.setdefault(name, {}).update(table)
    partial = [
        name
        for name in sorted(joined)
        if not name.startswith("text.") and any(name not in data.tables for data in sets.values())
    ]
    for name in partial:
        del joined[name]
    return DataDir(joined), partial
