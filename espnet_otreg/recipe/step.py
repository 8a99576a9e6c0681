"""A step of a recipe: what it reads, what it is told, what it makes; and the key of all that.

otreg.sh declares a step as words. Among them

    @NAME/a/b    a file that the step NAME makes; @@NAME is the name of NAME's folder alone, and
                 @NAME/.. the folder that this lies in
    @out, @up    where this step writes, and the folder above
    ^PATH        a file or folder of the user's, known by its content
    ^^PATH       a corpus, known by its tables
    ++           what follows decides what is made, but not what the folder is called
    <            what follows is only waited for
    +            what follows decides nothing: numbers of processes and the like

The key is the hash of these words, in which every @NAME stands for that step's key and every ^PATH
for its content. A folder named with % is called after the key of the words before ++.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from espnet_otreg.errors import UserError
from espnet_otreg.recipe.stamps import Given, Stamps

ZONES = ("++", "<", "+")
NAME_DIGITS = 8
_REFERENCE = re.compile(
    r"(?:^|(?<=[=,]))(?:@[\w:.+=-]+/\.\.|@@?[\w:.+=-]+|\^\^?[^,]+)|(?<=/)@@[\w:.+=-]+"
)


@dataclass
class Step:
    """A step, resolved: its folder and key are known though nothing may have been made yet."""

    kind: str  # step; job: long, may be queued; train: with processes of its own
    stage: int
    name: str
    out: Path
    module: str
    words: list[str]  # as the command gets them
    key: str
    needs: list[str]  # names of the steps it reads
    told: dict[str, Any] = field(default_factory=dict)  # what the key was made of, for people
    given: dict[str, Given] = field(default_factory=dict)  # YAML files, to be copied beside
    digest_of: str = ""  # glob of the files that later steps read; all by default

    @property
    def record(self) -> Path:
        """Where it is written down that the step is done."""
        return self.out.parent / ".steps" / f"{self.out.name}.json"

    @property
    def copies(self) -> dict[Path, bytes]:
        """The YAML files that the command reads, with what they held."""
        found = self.given.items()
        return {
            _copy(self.out, path): one.content for path, one in found if one.content is not None
        }

    @property
    def lock(self) -> Path:
        """What one run at a time holds."""
        return self.out.parent / ".steps" / f"{self.out.name}.lock"

    @property
    def link(self) -> Path | None:
        """For OUT = a/KEY/b: a/b, which shows what the last run used."""
        above = self.out.parent
        if re.fullmatch(f"[0-9a-f]{{{NAME_DIGITS}}}", above.name):
            return above.parent / self.out.name
        return None


def resolve(fields: Sequence[str], known: Mapping[str, Step], stamps: Stamps) -> Step:
    """Make a step of its declared words; `known` holds the steps before it."""
    kind, stage, name, out, module, *words = fields
    zones = _zones(words)
    needs: list[str] = []
    given: dict[str, Given] = {}

    def in_key(reference: str) -> str:
        if reference.startswith("^^"):
            return stamps.corpus(reference[2:]).stamp + " " + reference[2:]
        if reference.startswith("^"):
            found = stamps.content(reference[1:])
            if found.content is not None:
                given[reference[1:]] = found
            return found.stamp
        if reference in ("@out", "@up"):
            return reference
        step = _step(reference, known, name)
        if step.name not in needs:
            needs.append(step.name)
        return f"{step.name}={step.key}" if not reference.startswith("@@") else step.out.name

    def keyed(zone: str) -> list[str]:
        return [_replace(word, in_key) for word in zones[zone]]

    named_after = [module, *keyed("")]
    further, waited = keyed("++"), keyed("<")
    place = _place(out, named_after, known, name)

    def in_command(reference: str) -> str:
        if reference.startswith("^"):
            path = reference.lstrip("^")
            return str(_copy(place, path)) if reference[1:] in given else path
        if reference in ("@out", "@up"):
            return str(place if reference == "@out" else place.parent)
        return _folder(reference, _step(reference, known, name))

    for word in zones["+"]:  # a reference here must exist as well
        _replace(word, in_key)
    command = [_replace(word, in_command) for zone in ("", "++", "+") for word in zones[zone]]
    return Step(
        kind=kind,
        stage=int(stage),
        name=name,
        out=place,
        module=module,
        words=command,
        key=_hash([*named_after, "++", *further, "<", *waited], 12),
        needs=needs,
        told={
            "words": [word for zone in ("", "++") for word in zones[zone]],
            "steps": {need: known[need].key for need in needs},
            "configs": {path: one.values for path, one in given.items()},
            "stamps": dict(_stamps(zones, stamps)),
        },
        given=given,
        digest_of="*.*.pth" if kind == "train" else "",
    )


def _copy(out: Path, path: str) -> Path:
    """Where a step finds the YAML as it was when the folder was named after it."""
    return out.parent / ".steps" / f"{out.name}.{Path(path).name}"


def _zones(words: Sequence[str]) -> dict[str, list[str]]:
    zones: dict[str, list[str]] = {"": [], **{mark: [] for mark in ZONES}}
    zone = ""
    for word in words:
        if word in ZONES:
            zone = word
        else:
            zones[zone].append(word)
    return zones


def _replace(word: str, meaning: Callable[[str], str]) -> str:
    return _REFERENCE.sub(lambda found: meaning(found[0]), word)


def _step(reference: str, known: Mapping[str, Step], own: str) -> Step:
    name = reference.lstrip("@").removesuffix("/..")
    if name not in known:
        raise UserError(f"step {own} reads @{name}, and no step before it has that name")
    return known[name]


def _folder(reference: str, step: Step) -> str:
    if reference.startswith("@@"):
        return step.out.name
    return str(step.out.parent if reference.endswith("/..") else step.out)


def _place(out: str, named_after: Sequence[str], known: Mapping[str, Step], own: str) -> Path:
    place = _replace(out, lambda reference: _folder(reference, _step(reference, known, own)))
    return Path(place.replace("%", _hash(named_after, NAME_DIGITS)))


def _stamps(zones: Mapping[str, Sequence[str]], stamps: Stamps) -> Iterator[tuple[str, str]]:
    for zone in ("", "++"):
        for word in zones[zone]:
            for reference in _REFERENCE.findall(word):
                if reference.startswith("^^"):
                    yield reference[2:], stamps.corpus(reference[2:]).stamp
                elif reference.startswith("^"):
                    yield reference[1:], stamps.content(reference[1:]).stamp


def _hash(words: Sequence[str], digits: int) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:digits]
