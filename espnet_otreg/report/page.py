"""Put everything into one file of HTML that needs nothing else, not even a network."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from espnet_otreg.errors import UserError
from espnet_otreg.files import writing
from espnet_otreg.languages import has_spaces
from espnet_otreg.report.media import Figure, Packed, Picture
from espnet_otreg.report.utterances import Browsed
from espnet_otreg.scoring.comparison import Comparison
from espnet_otreg.scoring.failures import MODES
from espnet_otreg.scoring.tables import Table


class Verdict(NamedTuple):
    """One line of what the numbers allow to be said."""

    text: str
    under: bool  # belongs to the line before


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    anchor: str
    title: str
    text: str = ""
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    verdicts: Sequence[Verdict] = ()
    caveats: Sequence[str] = ()


@dataclass(frozen=True)
class Page:
    """All that the template needs, but for the audio."""

    title: str
    facts: Sequence[str]
    sections: Sequence[Section]
    comparison: Comparison
    browsed: Browsed
    pictures: Sequence[Picture] = ()
    made: Sequence[str] = ()
    commands: Sequence[str] = ()
    notes: Sequence[str] = field(default_factory=tuple)


def as_verdicts(lines: Iterable[str]) -> list[Verdict]:
    """Take Markdown's list of verdicts apart."""
    return [
        Verdict(line.strip().removeprefix("- ").replace("**", ""), line.startswith("  "))
        for line in lines
    ]


def write_page(path: Path, page: Page, clips: Iterable[Packed]) -> list[Packed]:
    """Write the page, streaming the audio into it; return the recordings that are not in it."""
    left_out: list[Packed] = []
    template = _template()
    pieces = template.generate(
        **{name: getattr(page, name) for name in ("title", "facts", "sections", "made")},
        commands=page.commands,
        notes=page.notes,
        pictures=page.pictures,
        clips=_readable(clips, left_out),
        data=_inert(_data(page)),
        css=_part("report.css"),
        js=_part("report.js"),
    )
    with writing(path) as stream:
        stream.writelines(pieces)
    return left_out


def _readable(clips: Iterable[Packed], left_out: list[Packed]) -> Iterator[Packed]:
    for clip in clips:
        if clip.problem:
            left_out.append(clip)
        else:
            yield clip


def _data(page: Page) -> dict[str, Any]:
    systems = [{"name": s.name, "seeds": len(s.folders)} for s in page.comparison.systems]
    sets = [{"name": tested.name, "domain": tested.domain} for tested in page.comparison.sets]
    return {
        "systems": systems,
        "sets": sets,
        "modes": MODES,
        "utterances": page.browsed.entries,
        "audio": sorted(page.browsed.audio),
        "tight": sorted({u["l"] for u in page.browsed.entries if not has_spaces(u["l"])}),
        "pictured": sorted({picture.key for picture in page.pictures}),
    }


def _inert(data: dict[str, Any]) -> str:
    """Write JSON that cannot end the script element around it, whatever a hypothesis says."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _part(name: str) -> str:
    return files("espnet_otreg.report").joinpath("template", name).read_text(encoding="utf-8")


def _template() -> Any:
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise UserError(
            "a report needs jinja2 and matplotlib: pip install 'espnet_otreg[report]'"
        ) from error
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(_part("report.html"))
