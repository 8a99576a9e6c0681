"""Why a step would run, in words: what differs from the last time it, or one like it, was made."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from espnet_otreg.recipe.step import NAME_DIGITS, Step

SHOWN = 4  # differences in a line


def read_record(step: Step) -> dict[str, Any] | None:
    """Return what is written down of a step; None where it is not, or cannot be read."""
    return _read(step.record)


def why_not_done(step: Step, digests: Mapping[str, str | None]) -> str:
    """Say why a step's output cannot be used as it is; empty if it can.

    `digests` holds those of the steps it reads, None where that step is not done.
    """
    record = read_record(step)
    if record is None or not step.out.exists():
        return _why_new(step, record)
    if record["key"] != step.key:
        return differences(record["told"], step.told) or "made by another command"
    for name, digest in digests.items():
        if digest is not None and record["read"].get(name, digest) != digest:
            return f"{name} was made anew and is another"
    return ""


def _why_new(step: Step, record: dict[str, Any] | None) -> str:
    if record is not None:
        return f"{step.out} was removed"
    like_it = sorted(_siblings(step), key=lambda path: path.stat().st_mtime)
    told = [found["told"] for path in like_it if (found := _read(path)) is not None]
    if told and (difference := differences(told[-1], step.told)):
        return difference
    return f"{step.out} is unfinished" if step.out.exists() else "never made"


def _siblings(step: Step) -> Iterator[Path]:
    """Yield records of the same step with other keys."""
    digits = "[0-9a-f]" * NAME_DIGITS
    if step.link is not None:
        yield from step.link.parent.glob(f"{digits}/.steps/{step.out.name}.json")
    stem = step.out.name[:-NAME_DIGITS]
    if stem.endswith("_"):
        yield from step.record.parent.glob(f"{stem}{digits}.json")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Name what differs between what two steps were told."""
    found = [*_configs(old, new), *_words(old["words"], new["words"])]
    configs = {*old["configs"], *new["configs"]}
    found += [
        f"{path} has other content"
        for path, stamp in new["stamps"].items()
        if path not in configs and old["stamps"].get(path, stamp) != stamp
    ]
    if not found:  # what it reads is another; that step says why
        found = [
            f"{name} is another"
            for name, key in new["steps"].items()
            if old["steps"].get(name) != key
        ]
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "; ".join(found[:SHOWN]) + more


def _configs(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Name values that differ in configs of the same place, renamed or not."""
    pairs = zip(old["configs"].items(), new["configs"].items(), strict=False)
    for (_, before), (path, after) in pairs:
        changed = list(leaves(before, after))
        if changed:
            yield f"{path} changed: {', '.join(changed[:SHOWN])}"


def leaves(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Name every leaf in which two trees differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys(), key=str):
            yield from leaves(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif old != new:
        yield f"{path}: {old!r} -> {new!r}"


def _words(old: list[str], new: list[str]) -> Iterator[str]:
    before, after = _by_option(old), _by_option(new)
    for option in dict.fromkeys([*before, *after]):
        if before.get(option) != after.get(option):
            yield f"{option}: {before.get(option, 'none')} -> {after.get(option, 'none')}"


def _by_option(words: list[str]) -> dict[str, str]:
    """Group the words by the option before them."""
    grouped: dict[str, list[str]] = {}
    option = ""
    for word in words:
        if word.startswith("--"):
            option, sign, word = word.partition("=")
            grouped.setdefault(option, [])
            if not sign:
                continue
        grouped.setdefault(option, []).append(word)
    return {option: " ".join(values) for option, values in grouped.items()}
