"""Tables that lie on the Hugging Face hub: `hub:OWNER/NAME`, or `hub:OWNER/NAME@REVISION`.

They are fetched into DOWNLOADS/hub/OWNER/NAME, where table.yaml, or NAME.yaml beside, explains
their columns (see `table_map.py`; of a revision the name is NAME@REVISION, with - for /): the
Parquet files of the languages and splits that are asked for, and no other. What was fetched is read
without a network from then on. `.hub.json` there keeps the names of all files, and the version that
further ones are fetched of.
"""

import errno
import glob
import logging
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from espnet_otreg.corpora.table_files import find_files, languages_by_folder
from espnet_otreg.corpora.table_map import TableMap, read_map
from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, write_json

PREFIX = "hub:"
LISTING = ".hub.json"
_NAME = re.compile(rf"{PREFIX}(\w[\w.-]*/\w[\w.-]*)(?:@(\w[\w./-]*))?")


def is_hub_name(root: Path | str) -> bool:
    """Tell a name on the hub from a folder."""
    return str(root).startswith(PREFIX)


def place(root: Path | str) -> Path:
    """Return the folder that the files of a hub name are fetched into."""
    repository, revision = _parts(root)
    version = f"@{revision.replace('/', '-')}" if revision else ""
    return Path(os.environ.get("DOWNLOADS") or "downloads") / "hub" / f"{repository}{version}"


def fetch_tables(
    root: Path | str, languages: Sequence[str], splits: Sequence[str], target: str | None = None
) -> Path:
    """Return that folder once it holds what is asked for.

    Args:
        root: the hub name
        languages: codes, or `all` alone
        splits: of train, dev, test
        target: language of the translations, if they are asked for
    """
    folder = place(root)
    tables = read_map(folder)
    listing = _listing(root, folder)
    asked = [language for language in languages if language != target]
    wanted = _wanted(root, tables, listing["files"], asked, splits, target)
    lacking = [name for name in wanted if not (folder / name).is_file()]
    if lacking:
        counts = (len(lacking), len(listing["files"]))
        logging.info("%s: fetching %d of its %d Parquet files into %s", root, *counts, folder)
        with _reaching(root) as hub:
            hub.snapshot_download(
                _parts(root)[0],
                repo_type="dataset",
                revision=listing["version"],
                local_dir=folder,
                allow_patterns=[glob.escape(name) for name in lacking],
            )
    absent = [name for name in lacking if not (folder / name).is_file()]
    if absent:
        raise UserError(
            f"{root}: {absent[0]} has not come; run again, or remove {folder / LISTING}"
        )
    return folder


def _parts(root: Path | str) -> tuple[str, str]:
    """Return repository and revision, empty for the newest."""
    found = _NAME.fullmatch(str(root))
    if found is None or ".." in str(root):
        raise UserError(f"{root}: expected {PREFIX}OWNER/NAME or {PREFIX}OWNER/NAME@REVISION")
    return found[1], found[2] or ""


def _listing(root: Path | str, folder: Path) -> dict[str, Any]:
    """Name the version and its Parquet files; asked once, so that all splits are of one version."""
    kept = folder / LISTING
    if kept.is_file():
        return read_json(kept)
    repository, revision = _parts(root)
    with _reaching(root) as hub:
        found = hub.HfApi().dataset_info(repository, revision=revision or None)
        names = sorted(file.rfilename for file in found.siblings or ())
    files = [name for name in names if name.endswith(".parquet") and _is_inside(name)]
    if not files:
        raise UserError(
            f"{root} has no Parquet file, but {len(names)} others. Try its converted copy, "
            f"{PREFIX}{repository}@refs/convert/parquet, or download it and give the folder"
        )
    write_json(kept, {"version": found.sha, "files": files})
    return read_json(kept)


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


@contextmanager
def _reaching(root: Path | str) -> Iterator[Any]:
    """Hand out the hub's package; whatever keeps it from the hub becomes one line."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError(
            f"{root} needs the package huggingface_hub: pip install 'espnet_otreg[hub]', or "
            "download the tables by other means and give their folder"
        ) from error
    try:
        yield huggingface_hub
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise UserError(f"{root}: the disk is full: make room and run again") from error
        raise _unreachable(root, error) from error
    except Exception as error:  # its own, and those of the HTTP library that it has at the time
        raise _unreachable(root, error) from error


def _unreachable(root: Path | str, error: BaseException) -> UserError:
    reason = str(error).strip().split("\n", 1)[0]
    return UserError(
        f"{root} cannot be fetched ({reason}): check the name and the network, or download the "
        "tables by other means and give their folder"
    )


def _wanted(
    root: Path | str,
    tables: TableMap,
    files: Iterable[str],
    languages: Sequence[str],
    splits: Sequence[str],
    target: str | None,
) -> list[str]:
    """Choose files as they are chosen in a folder: in one of empty files of the same names."""
    with tempfile.TemporaryDirectory() as made:
        copy = Path(made)
        for name in files:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).touch()
        if list(languages) == ["all"]:
            languages = [tables.language] if tables.language else []
            languages = languages or languages_by_folder(tables, copy, target) or ["*"]
        try:
            found = {
                path.relative_to(copy).as_posix()
                for language in languages
                for split in splits
                for path in find_files(tables, copy, language, split, target).files
            }
        except UserError as error:
            raise UserError(str(error).replace(str(copy), str(root))) from error
    return sorted(found)
