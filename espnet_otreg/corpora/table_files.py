"""Which files of a folder hold a split and a language of its tables.

Where `table.yaml` names no files, they are looked for where exports and copies on the hub put them:
`train-*.parquet`, `train/*.arrow`, `train.jsonl`, in the folder, in `data/`, or in the language's.
"""

import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from espnet_otreg.corpora import fleurs, mls
from espnet_otreg.corpora.table_map import Patterns, TableMap
from espnet_otreg.errors import UserError
from espnet_otreg.languages import language_name

SPLIT_NAMES = {"train": ("train",), "dev": ("validation", "dev", "valid", "val")}
ENDINGS = {
    **{".parquet": "parquet", ".arrow": "arrow", ".jsonl.gz": "jsonl", ".jsonl": "jsonl"},
    **{".json": "jsonl", ".csv": "csv", ".tsv": "tsv"},
}
SHOWN = 4  # patterns in a message
DEPTH = 3  # levels of folders in which a language's is looked for
_ANY = "{language}"
_CACHED = re.compile(r"(cache-|tmp).*\.arrow$")  # what `datasets` computed, beside what it saved
_BASES = (f"{_ANY}/", f"data/{_ANY}/", f"parquet-data/{_ANY}/", "", "data/")


class Found(NamedTuple):
    """The files of a language and split."""

    files: list[Path]
    target: str  # language of the translations, empty if nothing says it
    by_folder: bool  # whether the files' place is the language's own


def split_names(split: str) -> tuple[str, ...]:
    """Return what others call a split."""
    return SPLIT_NAMES.get(split, (split,))


def format_of(path: Path, tables: TableMap) -> str:
    """Return how a file is written, by `table.yaml` or its ending."""
    ending = next((ending for ending in ENDINGS if path.name.endswith(ending)), "")
    if ENDINGS.get(ending) in ("parquet", "arrow"):
        return ENDINGS[ending]
    if not (tables.format or ending):
        raise UserError(f"{path}: no known ending; say `format:` in {tables.place}")
    return tables.format or ENDINGS[ending]


def find_files(
    tables: TableMap, root: Path, language: str, split: str, target: str | None
) -> Found:
    """Find the files of a split; those of a language where its name is part of their path."""
    folders = _folders(tables, language, target or tables.target or "*")
    looked: list[str] = []
    for choice in _choices(tables, split):
        found: list[Path] = []
        for pattern in choice:
            filled = dict.fromkeys(pattern.replace(_ANY, name) for name in folders)
            looked += filled
            matching = [path for each in filled for path in _matching(tables, root, each)]
            found += matching
            if not matching:
                break
        else:
            files = sorted(dict.fromkeys(found))
            into = _target_of(tables, root, files, language)
            return Found(files, into, any(_ANY in pattern for pattern in choice))
    shown = ", ".join(looked[:SHOWN]) + (", ..." if len(looked) > SHOWN else "")
    raise UserError(
        f"{root} has no file for '{language}' {split}; looked for {shown}. Say `splits:` in "
        f'{tables.place}, such as {split}: "{_ANY}/{split}-*.parquet".'
    )


def languages_by_folder(tables: TableMap, root: Path, target: str | None) -> list[str]:
    """List the languages whose folders hold files of any split."""
    found = []
    for code in dict.fromkeys(_codes(tables, root)):
        for split in ("train", "dev", "test"):
            try:
                language_name(code)
                find_files(tables, root, code, split, target)
            except UserError:
                continue
            found.append(code)
            break
    return found


def _codes(tables: TableMap, root: Path) -> Iterator[str]:
    """Read codes from the names of folders."""
    books = {name: code for code, name in mls.FOLDERS.items()}
    short = {code: name for name, code in reversed(fleurs.ALIASES.items())}
    for folder, inner, _ in os.walk(root):
        yield from (_code(tables, name, books, short) for name in sorted(inner))
        if len(Path(folder).relative_to(root).parts) >= DEPTH - 1:
            inner.clear()


def _code(tables: TableMap, name: str, books: dict[str, str], short: dict[str, str]) -> str:
    if tables.preset == "fleurs":
        name = short.get(name, name.partition("_")[0])
    elif tables.preset == "covost2":
        name = name.partition("_")[0]
    elif tables.preset == "mls":
        name = books.get(name.removeprefix("mls_"), name)
    return tables.languages.get(name, name)


def _folders(tables: TableMap, language: str, target: str) -> list[str]:
    """Return what a language's folder may be called, as patterns."""
    names = [name for name, code in tables.languages.items() if code == language]
    if tables.preset == "fleurs" and fleurs.has_language(language):
        names.append(fleurs.full_code(language))
    elif tables.preset == "covost2":
        names.append(f"{language}_{target}")
    elif tables.preset == "mls" and language in mls.FOLDERS:
        names += [mls.FOLDERS[language], f"mls_{mls.FOLDERS[language]}"]
    names.append(language)
    return ["*" if name == "*" else _escaped(name) for name in names]


def _escaped(name: str) -> str:
    """Let nothing but a final star stand for anything."""
    return glob.escape(name[:-1]) + "*" if name.endswith("_*") else glob.escape(name)


def _choices(tables: TableMap, split: str) -> Iterator[Patterns]:
    """Yield sets of patterns; of a set each must match something."""
    if tables.files:
        yield (tables.files,)
        return
    yield from tables.splits.get(split, ())
    if split in tables.splits:
        return
    for base in _BASES:
        for name in split_names(split):
            for ending in ENDINGS:
                for form in (f"{name}-*", f"{name}/*", name, f"partial-{name}/*"):
                    yield (f"{base}{form}{ending}",)


def _matching(tables: TableMap, root: Path, pattern: str) -> list[Path]:
    try:
        found = [path for path in root.glob(pattern) if path.is_file()]
    except (ValueError, NotImplementedError, IndexError) as error:
        raise UserError(
            f"{tables.place}: {pattern!r} is no pattern of files below {root} ({error})"
        ) from error
    return [path for path in found if not _CACHED.match(path.name)]


def _target_of(tables: TableMap, root: Path, found: list[Path], language: str) -> str:
    """Read `en` from CoVoST-2's fr_en; several targets of the same clips are one too many."""
    if tables.preset != "covost2":
        return tables.target
    parts = [part for path in found for part in path.relative_to(root).parts[:-1]]
    named = {part for part in parts if part.startswith(f"{language}_")}
    targets = sorted(part.partition("_")[2] for part in named)
    if len(targets) > 1:
        raise UserError(
            f"{root} has '{language}' with translations into {', '.join(targets)}: say "
            f"`target:` in {tables.place}, or --target"
        )
    return targets[0] if targets else tables.target
