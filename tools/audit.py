"""List what the project pulls in: versions against what is asked for, licences, advisories.

    make audit      (or python tools/audit.py)

Walks the requirements of `espnet_otreg`, its extras included, through what is installed. Exits
with 1 where a distribution is missing or outside what another asks for, and where pip-audit, if
installed, finds an advisory. Licences are flagged for a person to judge.
"""

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import (
    Distribution,
    PackageMetadata,
    PackageNotFoundError,
    distribution,
)
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "espnet_otreg"
COPYLEFT = ("GPL", "GNU", "MPL", "MOZILLA", "EPL", "ECLIPSE", "EUPL", "CDDL", "OSL", "-SA")
UNKNOWN = "unknown"
Find = Callable[[str], Distribution]


class Fault(NamedTuple):
    """A requirement that what is installed does not meet."""

    asked_by: str
    requirement: str
    installed: str | None  # None: missing

    def __str__(self) -> str:
        """Tell it in one line."""
        found = "is not installed" if self.installed is None else f"found {self.installed}"
        return f"{self.asked_by} asks for {self.requirement}: {found}"


@dataclass
class Audit:
    """What a walk through the requirements found."""

    found: dict[str, Distribution] = field(default_factory=dict)  # by canonical name
    direct: dict[str, list[Requirement]] = field(default_factory=dict)  # what the project declares
    absent: list[Requirement] = field(default_factory=list)  # extras of the project, not installed
    faults: list[Fault] = field(default_factory=list)


def walk(project: str, find: Find = distribution) -> Audit:
    """Follow the requirements of `project` with all its extras, and of others as they are asked."""
    audit = Audit()
    root = find(project)
    extras = set(root.metadata.get_all("Provides-Extra") or ())
    todo: list[tuple[Distribution, set[str]]] = [(root, extras)]
    seen: dict[str, set[str]] = {}  # name -> extras that were followed
    while todo:
        asking, wanted = todo.pop()
        name = canonicalize_name(asking.metadata["Name"])
        if name in seen and wanted <= seen[name]:
            continue
        seen[name] = seen.get(name, set()) | wanted
        for needed, optional in _asked(asking, seen[name]):
            target = canonicalize_name(needed.name)
            if asking is root and target != name:
                audit.direct.setdefault(target, []).append(needed)
            try:
                other = find(needed.name)
            except PackageNotFoundError:
                if asking is root and optional:
                    audit.absent.append(needed)
                else:
                    audit.faults.append(Fault(name, _shown(needed), None))
                continue
            if not needed.specifier.contains(other.version, prereleases=True):
                audit.faults.append(Fault(name, _shown(needed), other.version))
            if target != canonicalize_name(project):
                audit.found[target] = other
                todo.append((other, set(needed.extras)))
    audit.faults = sorted(set(audit.faults), key=str)
    return audit


def _asked(asking: Distribution, extras: set[str]) -> Iterable[tuple[Requirement, bool]]:
    """Yield what holds on this machine, and whether an extra alone asks for it."""
    for line in asking.requires or ():
        needed = Requirement(line)
        if needed.marker is None or needed.marker.evaluate({"extra": ""}):
            yield needed, False
        elif any(needed.marker.evaluate({"extra": extra}) for extra in extras):
            yield needed, True


def _shown(needed: Requirement) -> str:
    return f"{needed.name}{needed.specifier}"


def licence(metadata: PackageMetadata) -> str:
    """Return a distribution's licence as it states it: expression, name, classifiers or text."""
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    lines = "\n".join(metadata.get_all("License") or ()).strip().splitlines()
    if len(lines) == 1 and lines[0].upper() not in ("UNKNOWN", "NONE"):
        return lines[0]
    classifiers = [c for c in metadata.get_all("Classifier") or () if c.startswith("License ::")]
    names = [c.rsplit(" :: ", 1)[-1] for c in classifiers if c.count("::") > 1]
    if not names and len(lines) > 1:  # the whole text
        return " ".join(lines[0].split())[:60]
    return ", ".join(names) or UNKNOWN


def flag(name: str) -> str:
    """Say what a person should look at in a licence; empty where nothing."""
    if name == UNKNOWN:
        return "UNKNOWN"
    if any(word in name.upper() for word in COPYLEFT):
        return "COPYLEFT"
    return "PROPRIETARY" if "PROPRIETARY" in name.upper() else ""


def bound(requirements: Sequence[Requirement]) -> str:
    """Say how the project holds a dependency: pinned, bounded, at least, or not at all."""
    parts = {str(part) for needed in requirements for part in needed.specifier}
    operators = {part[:2] for part in parts}
    if operators & {"=="}:
        kind = "pinned"
    elif any(operator[0] in "<~" for operator in operators):
        kind = "bounded"
    else:
        kind = "at least" if parts else "unpinned"
    return " ".join([kind, ",".join(sorted(parts))]).strip()


def report(audit: Audit) -> None:
    """Print the table and what is to be looked at."""
    rows = [("distribution", "version", "licence", "", "asked for by the project as")]
    for name, found in sorted(audit.found.items()):
        stated = licence(found.metadata)
        asked = bound(audit.direct[name]) if name in audit.direct else ""
        rows.append((name, found.version, stated, flag(stated), asked))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    flags = [row[3] for row in rows[1:]]
    print(
        f"\n{len(audit.found)} distributions: {flags.count('COPYLEFT')} copyleft, "
        f"{flags.count('PROPRIETARY')} proprietary, {flags.count('UNKNOWN')} of unknown licence"
    )
    for needed in audit.absent:
        print(f"not installed, of an extra: {_shown(needed)}")
    for fault in audit.faults:
        print(f"error: {fault}", file=sys.stderr)


def advisories() -> int:
    """Ask pip-audit, where it is installed, for known advisories; return its exit code."""
    if importlib.util.find_spec("pip_audit") is None:
        print("known advisories were not looked up: `pip install pip-audit`, then run this again")
        return 0
    sys.stdout.flush()
    return subprocess.run([sys.executable, "-m", "pip_audit", "--local"]).returncode


def main(cmd: Sequence[str] | None = None) -> None:
    """Print the audit; exit with 1 if something is not as declared."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args(cmd)
    try:
        audit = walk(PROJECT)
    except PackageNotFoundError:
        sys.exit(f"error: {PROJECT} is not installed in {sys.prefix}: run `make venv` first")
    report(audit)
    if advisories() or audit.faults:
        sys.exit(1)


if __name__ == "__main__":
    main()
