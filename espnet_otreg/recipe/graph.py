"""The steps that otreg.sh declared, in order; which are done, and what would run."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from espnet_otreg.errors import UserError
from espnet_otreg.recipe.reasons import read_record, why_not_done
from espnet_otreg.recipe.stamps import Stamps
from espnet_otreg.recipe.step import Step, resolve

SAY = "say"  # a remark of a stage, no step
RUN, CHECK, DONE = "run", "check", "done"


class Remark(NamedTuple):
    """What a stage has to say though it does nothing."""

    stage: int
    text: str


class Planned(NamedTuple):
    """What would become of a step."""

    step: Step
    state: str  # RUN, CHECK or DONE
    reason: str


class Graph:
    """Declared steps and remarks, by stage."""

    def __init__(self, declared: bytes, stamps: Stamps) -> None:
        self.stamps = stamps
        self.steps: dict[str, Step] = {}
        self.entries: list[Step | Remark] = []
        for fields in _records(declared):
            if fields[0] == SAY:
                self.entries.append(Remark(int(fields[1]), " ".join(fields[2:])))
                continue
            step = resolve(fields, self.steps, stamps)
            if step.name in self.steps:
                raise UserError(f"two steps are called {step.name}: name one otherwise")
            for other in self.steps.values():
                if other.out == step.out:
                    raise UserError(f"steps {other.name} and {step.name} both make {step.out}")
            self.steps[step.name] = step
            self.entries.append(step)
        self.entries.sort(key=lambda entry: entry.stage)  # stable: the shell's order within each

    def in_stages(self, first: int, last: int) -> Iterator[Step | Remark]:
        """Yield what belongs to these stages."""
        return (entry for entry in self.entries if first <= entry.stage <= last)

    def digest(self, name: str) -> str | None:
        """Return the digest of what a step made; None if it is not done."""
        step = self.steps[name]
        record = read_record(step)
        if record is None or record["key"] != step.key or not step.out.exists():
            return None
        return str(record["digest"])

    def why(self, step: Step) -> str:
        """Say why a step has to run; empty if it is done."""
        return why_not_done(step, {name: self.digest(name) for name in step.needs})

    def plan(self, first: int, last: int) -> Iterator[Planned]:
        """Yield the steps of these stages and what would become of them."""
        unsure: set[str] = (
            set()
        )  # are made again, or may be; as likely as not with the same content
        for entry in self.in_stages(first, last):
            if isinstance(entry, Remark):
                continue
            reason = "as every time" if entry.kind == "always" else self.why(entry)
            waits = [name for name in entry.needs if name in unsure]
            if reason:
                yield Planned(entry, RUN, reason)
            elif waits:
                yield Planned(entry, CHECK, f"done, unless {waits[0]} comes out otherwise")
            else:
                yield Planned(entry, DONE, str(entry.out))
                continue
            unsure.add(entry.name)

    def missing(self, step: Step) -> str:
        """Say what a step that is about to run still lacks; empty if nothing."""
        for name in step.needs:
            other = self.steps[name]
            if self.digest(name) is None and other.kind != "optional":
                return (
                    f"stage {step.stage} ({step.name}) reads {other.out}, and stage {other.stage} "
                    f"has not made it: {self.why(other) or 'never made'}. Run from --stage "
                    f"{other.stage}"
                )
        return ""


def _records(declared: bytes) -> Iterator[list[str]]:
    """Read what the shell wrote: each declaration a count and as many words, all ended by NUL."""
    words = declared.decode("utf-8", "surrogateescape").split("\0")[:-1]
    place = 0
    while place < len(words):
        count = int(words[place])
        yield words[place + 1 : place + 1 + count]
        place += 1 + count


def read_graph(path: Path, cache: Path) -> Graph:
    """Read a file of declarations."""
    return Graph(path.read_bytes(), Stamps(cache))
