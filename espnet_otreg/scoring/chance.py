"""What an interval covers, in words; where its width comes from; how many runs would narrow it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from espnet_otreg.scoring.comparison import Comparison, Part, Result
from espnet_otreg.scoring.components import Component
from espnet_otreg.scoring.hierarchy import FARING, SPEAKERS, spoken
from espnet_otreg.scoring.levels import ENCODER, LM, NAMES
from espnet_otreg.scoring.tables import NOTHING, Table, percent
from espnet_otreg.scoring.wer import TOTAL

POINT = 0.01  # the difference that is to be seen
CONFIDENCE, POWER = 0.95, 0.8
_MOST = 1000

READING = """\
In % of the variance of a system's difference from the baseline: by how much it would be another one
with other speakers, with other draws of a level of training, and by how a speaker fares with one
model and not with another. A level with one draw is not there: nothing is known of it. On the
right, with how many draws of that level, all else as it is, a true difference of one point would be
told from 0 in four of five such experiments; – where that needs more than 1,000, or cannot be.
These are estimates from few models: read them as orders of magnitude."""


def covered(comparison: Comparison) -> str:
    """Name the levels that intervals of differences cover, with their numbers, and the others."""
    said: dict[str, list[str]] = {}
    for place, system in enumerate(comparison.systems[1:], start=1):
        result = comparison.sets[0].parts[TOTAL].results[place]
        said.setdefault(_covered(comparison, result), []).append(f"“{system.name}”")
    if len(said) < 2:
        return next(iter(said), _speakers(comparison))
    return "; and ".join(f"{text}, for {' and '.join(names)}" for text, names in said.items())


def _covered(comparison: Comparison, result: Result) -> str:
    names = [f"{spoken(level)} ({number})" for level, number in result.covers.items()]
    text = ", ".join([_speakers(comparison), *names])
    held = ", ".join(NAMES[level] for level in result.held)
    return text + (f"; held at one: {held}" if held else "")


def _speakers(comparison: Comparison) -> str:
    totals = {tested.name: tested.parts[TOTAL] for tested in comparison.sets}
    lone = all(part.speakers == part.utterances for part in totals.values())
    counts = {part.speakers for part in totals.values()}
    numbers = [f"{part.speakers:,} in {name}" for name, part in totals.items()]
    if len(counts) == 1:
        numbers = [f"{counts.pop():,}"]
    return f"{'utterances' if lone else SPEAKERS} ({', '.join(numbers)})"


def variance_table(comparison: Comparison) -> Table | None:
    """A row per test set and system: shares of the variance, draws needed; None without any."""
    rows = list(_totals(comparison))
    levels = dict.fromkeys(part.level for *_, found in rows for part in found.components)
    if not levels:
        return None
    header = ["test set", "system", "± points", *levels, "to see 1 point"]
    cells = []
    for test_set, system, part, found in rows:
        shares = _shares(found.components)
        width = sum(component.variance for component in found.components) ** 0.5
        told = [percent(shares[level]).split(".")[0] if level in shares else NOTHING
                for level in levels]  # fmt: skip
        enough = "; ".join(f"{n:,} {level}" for level, n in needed(part, found).items() if n)
        cells.append([test_set, system, percent(width), *told, enough or NOTHING])
    return Table(header, cells, text_columns=2)


def _totals(comparison: Comparison) -> Iterator[tuple[str, str, Part, Result]]:
    for tested in comparison.sets:
        part = tested.parts[TOTAL]
        for system, result in zip(comparison.systems[1:], part.results[1:], strict=True):
            if sum(component.variance for component in result.components) > 0:
                yield tested.name, system.name, part, result


def _shares(found: Sequence[Component]) -> dict[str, float]:
    whole = sum(component.variance for component in found) or 1.0
    return {component.level: component.variance / whole for component in found}


def needed(part: Part, result: Result, points: float = POINT) -> dict[str, int | None]:
    """Say, level by level, how many draws would show such a difference; None: no number would."""
    found = result.components
    return {
        component.level: _needed(part, found, place, points)
        for place, component in enumerate(found)
        if component.level != FARING
    }


def _needed(part: Part, found: Sequence[Component], place: int, points: float) -> int | None:
    """Look for the smallest number; more of a level is more of all that is inside of it."""
    now = max(2, found[place].draws)
    for number in _numbers():
        scale = now / number
        variance = [
            component.variance * (scale if _inside(found, place, other) else 1.0)
            for other, component in enumerate(found)
        ]
        speakers = number if place == 0 else part.speakers
        fewest = min((component.draws for component in found[2:]), default=_MOST)
        models = (number if place else fewest) - 1
        if _reach(variance, max(1, speakers - 1), max(1, models)) <= points:
            return number
    return None


def _numbers() -> Iterator[int]:
    yield from range(2, 50)
    yield from range(50, 200, 5)
    yield from range(200, _MOST + 1, 25)


def _inside(found: Sequence[Component], place: int, other: int) -> bool:
    """Tell whether more draws of one level are more draws of another one too."""
    if other == 1:  # how speakers fare with models: more of either
        return True
    if place == 0 or other < place:
        return place == other
    crossed = found[place].level.startswith(spoken(ENCODER)), found[other].level == spoken(LM)
    return not all(crossed)


def _reach(variance: Sequence[float], speakers: int, models: int) -> float:
    """Return the difference that is found with the wanted power."""
    from scipy.special import stdtrit

    total = sum(variance)
    if not total > 0:
        return 0.0
    by_speakers, by_models = sum(variance[:2]), sum(variance[1:])
    freedom = total**2 / (by_speakers**2 / speakers + by_models**2 / models)
    quantiles = stdtrit(freedom, 0.5 + CONFIDENCE / 2) + stdtrit(freedom, POWER)
    return float(quantiles * total**0.5)


def result_json(part: Part, result: Result) -> dict[str, Any]:
    """What results.json says of the levels of one difference."""
    found: Mapping[str, Any] = {
        "covers": {SPEAKERS: part.speakers, **result.covers},
        "held": list(result.held),
        "components": [component._asdict() for component in result.components],
        "freedom": result.freedom,
        "draws_to_see_1_point": needed(part, result),
    }
    return dict(found)
