"""A sweep: one YAML of variants and seeds, read and checked whole before anything runs.

A variant is a training config with a few values changed by dotted keys. Its config is written under
a name that depends on the variant's name alone, and a variant that changes nothing uses the config
it came from: so the recipe finds the same experiment folders again, in later runs and other sweeps.
"""

import copy
import itertools
import json
import math
import re
import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from espnet_otreg.errors import UserError
from espnet_otreg.files import writing
from espnet_otreg.yaml_files import read_yaml

KEYS = ("recipe", "arguments", "base", "seeds", "variants", "grid")
SET_HERE = ("asr_config", "seeds", "names", "results", "plan", "readme")  # not for `arguments`
MOST_POINTS = 1000  # of a grid: each is trained
LAST_ROW = "common checkpoint"  # the name that recipes give the checkpoint all variants start from


class Variant(NamedTuple):
    """One row of the table."""

    name: str
    source: Path  # the config it is made from
    overrides: dict[str, Any]  # by dotted key
    config: dict[str, Any]  # the source with the overrides

    @property
    def file_name(self) -> str:
        """A file name without characters that a shell would split or expand."""
        letters = []
        for letter in unicodedata.normalize("NFKC", self.name.replace("∞", "inf")):
            word = unicodedata.name(letter, "")
            greek = word.removeprefix("GREEK SMALL LETTER ").replace("LAMDA", "lambda").lower()
            letters.append(greek if word.startswith("GREEK SMALL LETTER ") else letter)
        return re.sub(r"[^A-Za-z0-9.=+-]+", "_", "".join(letters)).strip("_")

    @property
    def changes(self) -> str:
        """The overrides, for people."""
        return ", ".join(f"{key}: {shown(value)}" for key, value in self.overrides.items())


class Sweep(NamedTuple):
    """Everything that is to be run."""

    name: str
    question: str  # the comment at the top of the file
    recipe: str
    arguments: tuple[str, ...]  # further ones for the recipe
    seeds: tuple[int, ...]
    variants: tuple[Variant, ...]  # the first is what the others are compared with
    notes: tuple[str, ...]  # grid points that are a variant already


def read_sweep(path: Path) -> Sweep:
    """Read and check a sweep; configs are looked up from the current folder, the recipe's."""
    content = _read_yaml(path, "sweep")
    try:
        return _sweep(path, content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def write_configs(sweep: Sweep, folder: Path) -> list[str]:
    """Write each variant's config, unless it is there already; returns the paths in order."""
    paths = []
    for variant in sweep.variants:
        path = variant.source
        if variant.overrides:
            path = folder / f"{variant.file_name}.yaml"
            text = f"# {variant.source} with {_printable(variant.changes)}\n"
            text += yaml.safe_dump(variant.config, sort_keys=False)  # ASCII: U+0085 reads back
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                with writing(path) as stream:
                    stream.write(text)
        if re.search(r"[^\w./=+-]", str(path)):
            raise UserError(
                f"the path {path} has characters that the recipe's list of configs cannot hold; "
                "use letters, digits and . _ - = + only"
            )
        paths.append(str(path))
    return paths


def _printable(text: str) -> str:
    """Escape what may not stand in a comment of YAML, such as U+2028, which ends its line."""
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)


def shown(value: Any) -> str:
    """Write a value as a YAML file would."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _sweep(path: Path, content: Mapping[str, Any]) -> Sweep:
    unknown = [key for key in content if key not in KEYS]
    if unknown:
        raise UserError(f"unknown key {unknown[0]!r}; known keys: {', '.join(KEYS)}")
    missing = [key for key in ("recipe", "base", "seeds") if key not in content]
    if missing or not content.keys() & {"variants", "grid"}:
        raise UserError(f"`{(missing or ['variants'])[0]}` is missing; see conf/ablations/*.yaml")
    for key in ("recipe", "base", "arguments"):
        if not isinstance(content.get(key, ""), str):
            raise UserError(f"`{key}` must be text, got {content[key]!r}")
    comment = itertools.takewhile(
        lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines()
    )
    variants, notes = _variants(content)
    return Sweep(
        path.stem,
        "\n".join(line.removeprefix("#").strip() for line in comment),
        content["recipe"],
        read_arguments(content.get("arguments", "")),
        _seeds(content["seeds"]),
        variants,
        notes,
    )


def read_arguments(given: str) -> tuple[str, ...]:
    """Split further arguments for the recipe; those that the sweep gives itself are refused."""
    try:
        arguments = tuple(shlex.split(given))
    except ValueError as error:
        raise UserError(f"`arguments` are no words of a shell ({error}): {given!r}") from error
    for word in arguments:
        if not word.isprintable():  # NUL is no argument at all
            raise UserError(f"`arguments` may not hold unprintable characters, got {word!r}")
        if word.startswith("--") and word[2:].replace("-", "_") in SET_HERE:
            raise UserError(f"`arguments` may not hold {word}: the sweep gives it itself")
    return arguments


def _seeds(given: Any) -> tuple[int, ...]:
    good = isinstance(given, list) and given and all(type(seed) is int for seed in given)
    if not good or len(set(given)) < len(given):
        raise UserError(f"`seeds` must be a list of different whole numbers, got {given!r}")
    return tuple(given)


def _variants(content: Mapping[str, Any]) -> tuple[tuple[Variant, ...], tuple[str, ...]]:
    """The named variants, or the base alone, and then the grid."""
    base = Path(content["base"])
    base_config = _read_yaml(base, "base config")
    variants, notes = [], []
    if "variants" in content:
        named = content["variants"]
        if not isinstance(named, dict) or not named:
            raise UserError(f"`variants` must map names to what they change, got {named!r}")
        for name, given in named.items():
            if not isinstance(given, dict):
                raise UserError(f"variant {name!r} must be a mapping such as {{}}, got {given!r}")
            overrides = {key: value for key, value in given.items() if key != "config"}
            source, config = base, base_config
            if "config" in given:
                source = Path(str(given["config"]))
                config = _read_yaml(source, f"config of variant {name!r}")
            variants.append(_variant(str(name), source, config, overrides))
    else:
        variants.append(_variant(base.stem, base, base_config, {}))
    _check_different(variants)
    for point in _grid(content.get("grid", {})):
        variant = _variant(_point_name(point), base, base_config, point)
        same = [other.name for other in variants if other.config == variant.config]
        if same:
            notes.append(f"grid point {variant.name} is {same[0]}: one row, trained once")
        else:
            variants.append(variant)
    _check_names(variants)
    if len(variants) < 2:
        raise UserError("one variant has nothing to be compared with; add `variants` or `grid`")
    return tuple(variants), tuple(notes)


def _grid(given: Any) -> list[dict[str, Any]]:
    """All combinations, the last key changing fastest."""
    if not isinstance(given, dict):
        raise UserError(f"`grid` must map dotted keys to lists of values, got {given!r}")
    for key, values in given.items():
        if not isinstance(values, list) or not values:
            raise UserError(f"grid `{key}` must be a list of at least one value, got {values!r}")
        if len({shown(value) for value in values}) < len(values):
            raise UserError(f"grid `{key}` holds a value twice: {values!r}")
    points = math.prod(map(len, given.values()))
    if points > MOST_POINTS:
        raise UserError(f"`grid` has {points:,} points, at most {MOST_POINTS:,}; shorten its lists")
    if not given:
        return []
    return [dict(zip(given, point, strict=True)) for point in itertools.product(*given.values())]


def _point_name(point: Mapping[str, Any]) -> str:
    last = [str(key).rsplit(".", 1)[-1] for key in point]
    names = [k if last.count(k) == 1 else key for k, key in zip(last, point, strict=True)]
    return ", ".join(f"{n}={shown(v)}" for n, v in zip(names, point.values(), strict=True))


def _variant(name: str, source: Path, config: dict[str, Any], overrides: dict[str, Any]) -> Variant:
    changed = copy.deepcopy(config)
    for key, value in overrides.items():
        _change(changed, str(key), copy.deepcopy(value), f"variant {name!r}: `{key}`", source)
    if changed == config:  # values that were so already: the source itself is the config
        overrides = {}
    return Variant(name, source, overrides, changed)


def _change(config: dict[str, Any], key: str, value: Any, where: str, source: Path) -> None:
    """Set a dotted key; the key may be new, the mapping that holds it may not."""
    *parents, last = key.split(".")
    holder: Any = config
    for depth, part in enumerate(parents):
        if part not in holder or not isinstance(holder[part], dict):
            raise UserError(
                f"{where} is in no section of {source}: {'.'.join(parents[: depth + 1])} is not a "
                f"mapping there; {'.'.join(parents[:depth]) or 'it'} has {', '.join(holder)}"
            )
        holder = holder[part]
    if isinstance(value, dict) and isinstance(holder.get(last), dict):
        raise UserError(f"{where} would replace a whole section; give dotted keys down to values")
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str) and _is_number(text):
            raise UserError(
                f"{where} is the text {text!r}, not a number (YAML reads 1e-3 and inf as text: "
                "write 1.0e-3 and .inf)"
            )
    holder[last] = value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_different(variants: Sequence[Variant]) -> None:
    for first, second in itertools.combinations(variants, 2):
        if first.config == second.config:
            raise UserError(f"variants {first.name!r} and {second.name!r} are the same config")


def _check_names(variants: Sequence[Variant]) -> None:
    files: dict[str, str] = {}
    for variant in variants:
        name = variant.name
        odd = re.search(r"[;|]", name) or not name.isprintable()
        if odd or name.startswith("-") or name in ("", LAST_ROW):
            raise UserError(
                f"a variant cannot be called {name!r}: no ; or | or line break or what cannot be "
                f"printed, no - at the start, not empty, not {LAST_ROW!r}"
            )
        if not variant.file_name or variant.file_name in files:
            other = files.get(variant.file_name, "nothing")
            raise UserError(
                f"variants {name!r} and {other!r} would have the same file name "
                f"{variant.file_name!r}; rename one, in plain or Greek letters"
            )
        files[variant.file_name] = name


def _read_yaml(path: Path, what: str) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"{what} {path} does not exist (run this inside a recipe's folder)")
    return read_yaml(path)
