"""What the columns of somebody's tables mean: `table.yaml`, and presets of tables that many have.

The file lies in the folder of the tables, or beside it as `<folder>.yaml`. All of it is optional
but a preset or the columns of audio and text::

    preset: fleurs             # what follows is added to it, or takes its place
    columns: {audio: audio, text: sentence, speaker: client_id}     # see MEANINGS
    splits: {train: "data/train-*.parquet", test: [a.jsonl, b.jsonl]}    # {language} is replaced
    files: "*.csv"             # in place of splits, where a column `split` tells them apart
    language: fr               # of all rows; otherwise a column, or {language} in the paths
    languages: {french: fr}    # what columns or folders call a language, and its code
    target: en                 # language of the column `translation`
    audio_root: ../wavs        # where relative paths to recordings start
    format: csv                # where the names of files do not tell
    name: fleurs               # first part of utterance ids
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from espnet_otreg.errors import UserError
from espnet_otreg.yaml_files import read_yaml

MAP = "table.yaml"
MEANINGS = (
    *("audio", "text", "id", "speaker", "language", "split", "translation"),
    *("offset", "duration"),  # seconds: the part of a recording that is meant
    "sampling_rate",  # a claim, held against the recording
)
NEEDED = ("audio", "text")
FORMATS = ("parquet", "arrow", "jsonl", "csv", "tsv", "cuts")
_TEXTS = ("preset", "name", "language", "target", "audio_root", "format", "files")
KEYS = (*_TEXTS, "columns", "splits", "languages")

Patterns = tuple[str, ...]


class Preset(NamedTuple):
    """A table that many people have."""

    columns: Mapping[str, Patterns]  # meaning -> columns that may hold it, the first counts
    name: str = "table"  # first part of utterance ids, as the corpus' own reader has it
    format: str = ""
    language: str = ""
    speakers: str = ""  # put before a speaker's number
    splits: Mapping[str, tuple[Patterns, ...]] = {}  # choices of files, the first present counts
    files: str = ""
    audio_root: str = ""


def _both(split: str) -> tuple[Patterns, ...]:
    """Say where LibriSpeech's copies on the hub keep the clean and the other half of a split."""
    return (f"all/{split}.*/*.parquet",), (f"clean/{split}*/*.parquet", f"other/{split}*/*.parquet")


_CLIENT = {"audio": ("audio",), "text": ("sentence",), "speaker": ("client_id",)}
PRESETS = {
    "fleurs": Preset({"audio": ("audio",), "text": ("transcription",), "id": ("path",)}, "fleurs"),
    "covost2": Preset(
        {**_CLIENT, "id": ("id", "file"), "translation": ("translation",)}, "covost2"
    ),
    "mls": Preset(
        {
            **{"audio": ("audio",), "text": ("transcript", "text"), "id": ("id",)},
            "speaker": ("speaker_id",),
        },
        "mls",
        speakers="mls-",
    ),
    "librispeech": Preset(
        {"audio": ("audio",), "text": ("text",), "id": ("id",), "speaker": ("speaker_id",)},
        "librispeech",
        language="en",
        speakers="librispeech-",
        splits={"train": _both("train"), "dev": _both("validation"), "test": _both("test")},
    ),
    "common_voice": Preset({**_CLIENT, "id": ("path",), "language": ("locale",)}, "commonvoice"),
    "common_voice_spontaneous": Preset(
        {
            **{"audio": ("audio_file",), "text": ("transcription",), "id": ("audio_file",)},
            **{"speaker": ("client_id",), "split": ("split",)},
        },
        files="ss-corpus-{language}.tsv",
        audio_root="audios",
    ),
    "nemo": Preset(
        {
            **{"audio": ("audio_filepath",), "text": ("text",), "id": ("id",)},
            **{"speaker": ("speaker",), "language": ("lang", "source_lang")},
            **{"offset": ("offset",), "duration": ("duration",)},
        },
        format="jsonl",
    ),
    "slam_llm": Preset(
        {
            **{"audio": ("source", "path"), "text": ("target",), "id": ("key",)},
            "language": ("language",),
        },
        format="jsonl",
    ),
    "ultravox": Preset(
        {
            "audio": ("audio", "audio_filepath"),
            "text": ("sentence", "transcript", "transcription", "text"),
            **{"id": ("id",), "speaker": ("client_id", "speaker_id"), "language": ("language",)},
            "translation": ("translation",),
        }
    ),
    "lhotse": Preset(
        {name: (name,) for name in MEANINGS if name not in ("split", "translation")}, format="cuts"
    ),
    "exported": Preset({name: (name,) for name in MEANINGS if name not in ("split", "offset")}),
}


class TableMap(NamedTuple):
    """What `table.yaml` says, its preset included."""

    place: Path  # the file, for messages
    preset: str
    name: str
    columns: dict[str, Patterns]
    named: frozenset[str]  # meanings whose columns must be there
    format: str
    splits: dict[str, tuple[Patterns, ...]]
    files: str
    language: str
    languages: dict[str, str]  # what the tables call a language -> its code
    target: str
    audio_root: str
    speakers: str


def find_map(root: Path) -> Path | None:
    """Return the file that explains the tables of a folder, if there is one."""
    places = (root / MAP, root.with_name(f"{root.name}.yaml"))
    return next((place for place in places if place.is_file()), None)


def read_map(root: Path) -> TableMap:
    """Read what the columns mean."""
    place = find_map(root)
    if place is None:
        raise UserError(
            f"{root / MAP} is missing: it says what the columns of your tables mean. One line may "
            f"do, `preset: NAME`, of {', '.join(PRESETS)}; docs/RECIPES.md tells the rest."
        )
    given = read_yaml(place)
    for key in given:
        if key not in KEYS:
            raise UserError(f"{place}: unknown key {key!r}; expected {', '.join(KEYS)}")
    told = {key: _text(place, key, given.get(key)) for key in _TEXTS}
    preset = PRESETS.get(told["preset"], Preset({}))
    if told["preset"] and told["preset"] not in PRESETS:
        raise UserError(
            f"{place}: unknown preset {told['preset']!r}; expected one of {', '.join(PRESETS)}"
        )
    if told["format"] not in ("", *FORMATS):
        raise UserError(f"{place}: format {told['format']!r}: expected {', '.join(FORMATS)}")
    own = _lists(place, "columns", given.get("columns"))
    strange = [meaning for meaning in own if meaning not in MEANINGS]
    if strange:
        raise UserError(f"{place}: columns: unknown {strange[0]!r}; of {', '.join(MEANINGS)}")
    columns = {**preset.columns, **own}
    lacking = [meaning for meaning in NEEDED if not columns.get(meaning)]
    if lacking:
        raise UserError(f"{place}: columns: {' and '.join(lacking)} must be named, or a preset")
    splits = {
        name: (files,) for name, files in _lists(place, "splits", given.get("splits")).items()
    }
    if splits and told["files"]:
        raise UserError(f"{place}: give splits or files, with a column `split`; not both")
    return TableMap(
        place,
        told["preset"],
        told["name"] or preset.name,
        {meaning: names for meaning, names in columns.items() if names},
        frozenset({*NEEDED, *(meaning for meaning, names in own.items() if names)}),
        told["format"] or preset.format,
        {**preset.splits, **splits},
        told["files"] or ("" if splits else preset.files),
        told["language"] or preset.language,
        _codes(place, given.get("languages")),
        told["target"],
        told["audio_root"] or preset.audio_root,
        preset.speakers,
    )


def _text(place: Path, key: str, value: Any) -> str:
    if value is not None and not (isinstance(value, str) and value.strip() and "\0" not in value):
        raise UserError(f"{place}: {key} is {value!r:.80}; expected a text such as `{key}: fr`")
    return value or ""


def _lists(place: Path, key: str, value: Any) -> dict[str, Patterns]:
    """Read a mapping to a text or to several; null means none."""
    found = {}
    if not isinstance(value, dict | None):
        raise UserError(f"{place}: {key} is {value!r:.80}; expected names with a text each")
    for name, inner in (value or {}).items():
        texts = [] if inner is None else inner if isinstance(inner, list) else [inner]
        found[name] = tuple(_text(place, f"{key}.{name}", text) for text in texts)
        if "" in found[name]:
            raise UserError(f"{place}: {key}.{name} holds nothing; expected a text")
    return found


def _codes(place: Path, value: Any) -> dict[str, str]:
    codes = _lists(place, "languages", value)
    for name, code in codes.items():
        if len(code) != 1:
            raise UserError(f"{place}: languages.{name}: expected one code, such as fr")
    return {name: code[0] for name, code in codes.items()}
