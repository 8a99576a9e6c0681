"""Compare scored experiments: systems x test sets x languages, all on the same draws of speakers.

A system is one experiment, or several that differ by what chance decides only, see `levels`. The
first system is the baseline.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from espnet_otreg.errors import UserError
from espnet_otreg.scoring.comparison import Comparison, SetName, System, TestedSet
from espnet_otreg.scoring.failures import UNRELATED, warning_of_unrelated
from espnet_otreg.scoring.levels import Labels, labels_of
from espnet_otreg.scoring.parts import Parts, Replicates
from espnet_otreg.scoring.score_file import Scored, load_pooled
from espnet_otreg.scoring.significance import SAMPLES
from espnet_otreg.scoring.timing import read_timing
from espnet_otreg.scoring.wer import AUTO, TOTAL

SCORE_FILE = "score.json"
POOLED = "+"  # between the names of test sets that are judged as one


def parse_systems(folders: Sequence[str], names: Sequence[str] | None) -> tuple[System, ...]:
    """Read `exp/a_seed1,exp/a_seed2` as one system with two seeds; default name: the folder's."""
    groups = [tuple(Path(part) for part in group.split(",") if part) for group in folders]
    if any(not group for group in groups):
        raise UserError(f"an experiment is empty in {list(folders)}; give a folder for each")
    names = names or [group[0].name for group in groups]
    if len(names) != len(groups):
        raise UserError(
            f"{len(groups)} experiments but {len(names)} names ({', '.join(names)}); "
            "give one name each, the baseline's first"
        )
    for what, values in (("name", names), ("folder", [f for group in groups for f in group])):
        repeated = sorted({str(value) for value in values if list(values).count(value) > 1})
        if repeated:
            raise UserError(f"the same {what} is given twice: {', '.join(repeated)}")
    return tuple(System(*pair) for pair in zip(names, groups, strict=True))


def parse_external(given: Sequence[str]) -> tuple[System, ...]:
    """Read `name=folder` of systems that were decoded elsewhere."""
    systems = []
    for text in given:
        name, _, folder = text.partition("=")
        if not name or not folder:
            raise UserError(
                f"--external {text!r} should be name=folder, a folder with <test_set>/score.json"
            )
        systems.append(System(name, (Path(folder),), external=True))
    return tuple(systems)


def decoding_folder(system: System, folder: Path, decode_tag: str, test_set: str) -> Path:
    """Name the folder with a system's results on a test set."""
    tag = dict(zip(system.folders, system.tags, strict=False)).get(folder, decode_tag)
    return folder / test_set if system.external else folder / tag / test_set


def pooled_sets(given: Sequence[str], sets: Sequence[SetName]) -> list[SetName]:
    """Read `graded0_test+graded1_test`: several of the test sets, to be judged as one too."""
    domains = dict(sets)
    found = []
    for text in given:
        names = text.split(POOLED)
        if len(set(names)) < max(2, len(names)) or not set(names) <= domains.keys():
            raise UserError(
                f"--pooled {text!r}: two or more different test sets expected, joined by "
                f"{POOLED}, of {', '.join(domains)}"
            )
        of = {domains[name] for name in names}
        if len(of) > 1:
            raise UserError(
                f"--pooled {text!r}: expected test sets of one domain, but they are "
                f"{' and '.join(sorted(of))}"
            )
        found.append(SetName(text, of.pop()))
    return found


def compare(
    systems: Sequence[System],
    sets: Sequence[SetName],
    decode_tag: str,
    *,
    metric: str = AUTO,
    samples: int = SAMPLES,
    seed: int = 0,
    labels: Sequence[Sequence[Labels]] | None = None,
) -> Comparison:
    """Collect the scores of all systems on all test sets and judge them against the first.

    `labels` say what each system's models are draws of; by default, what their folders tell.
    """
    repeated = sorted({s.name for s in sets if [t.name for t in sets].count(s.name) > 1})
    if repeated:
        raise UserError(f"a test set can be in one domain only: {', '.join(repeated)}")
    if len({system.name for system in systems}) < len(systems):
        names = ", ".join(system.name for system in systems)
        raise UserError(f"two systems have one name among {names}; rename one")
    found = labels_of(systems) if labels is None else labels
    normalisers: dict[str, Path] = {}
    tested = []
    cautions: list[str] = []
    for name, domain in sets:
        places = [
            [decoding_folder(system, folder, decode_tag, name) for folder in system.folders]
            for system in systems
        ]
        scores = [[_load(place, metric) for place in group] for group in places]
        flat = [scored for group in scores for scored in group]
        normalisers.update((scored.normaliser, scored.path) for scored in flat)
        _check_one_normaliser(normalisers)
        _check_same_references(flat)
        timings = tuple(tuple(filter(None, map(read_timing, group))) for group in places)
        replicates = Replicates.of([system.name for system in systems], found)
        parts = Parts(scores, metric, replicates, samples, seed)
        cautions += caveats(name, systems, scores)
        tested.append(TestedSet(name, domain, parts.all(), parts.macro(), timings))
    facts = (next(iter(normalisers)), decode_tag, samples, seed)
    told = tuple(map(tuple, found))
    return Comparison(tuple(systems), tuple(tested), *facts, tuple(cautions), told)


def _load(place: Path, metric: str) -> Scored:
    names = [place.name] if place.is_dir() else place.name.split(POOLED)
    return load_pooled({name: place.with_name(name) / SCORE_FILE for name in names}, metric)


def _check_one_normaliser(normalisers: Mapping[str, Path]) -> None:
    if len(normalisers) > 1:
        seen = "; ".join(f"'{name}' in {path}" for name, path in normalisers.items())
        raise UserError(
            f"scores made with different normalisers do not compare: {seen}; score all with one"
        )


def _check_same_references(scores: Sequence[Scored]) -> None:
    first = scores[0]
    expected = {u.name: (u.speaker, u.language, u.reference) for u in first.utterances}
    for scored in scores[1:]:
        given = {u.name: (u.speaker, u.language, u.reference) for u in scored.utterances}
        differ = sorted(
            name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name)
        )
        if differ:
            raise UserError(
                f"{first.path} and {scored.path} were scored against different references: "
                f"{len(differ)} utterances differ in text, speaker or language or are in one "
                f"only ({', '.join(differ[:3])}); score both again from one data directory"
            )


def caveats(
    test_set: str, systems: Sequence[System], scores: Sequence[Sequence[Scored]]
) -> Iterator[str]:
    """Say, in sentences, what was done to hypotheses and what speakers and languages are not."""
    for system, group in zip(systems, scores, strict=True):
        for folder, scored in zip(system.folders, group, strict=True):
            who = system.name if len(group) == 1 else f"{system.name} ({folder.name})"
            if scored.missing:
                yield (
                    f"{who} has no hypothesis for {scored.missing:,} of the "
                    f"{len(scored.utterances):,} utterances of {test_set}; each counts as empty, "
                    "every word deleted."
                )
            if scored.ignored:
                yield (
                    f"{scored.ignored:,} hypotheses of {who} for {test_set} have no reference and "
                    "were left out."
                )
        shares = [s.summaries[TOTAL].failures[UNRELATED] / len(s.utterances) for s in group]
        warning = warning_of_unrelated(f"{system.name} on {test_set}", statistics.fmean(shares))
        if warning is not None:
            yield warning
    first = scores[0][0]
    total = first.summaries[TOTAL]
    if total.speakers == total.utterances > 1:
        yield (
            f"In {test_set} every utterance counts as a speaker of its own; if people speak "
            "several, its intervals are too narrow."
        )
    silent = [name for name, part in first.summaries.items() if not part.primary.reference]
    if silent:
        yield (
            f"{', '.join(silent)} in {test_set} has no reference word, so no error rate, and is "
            "left out of the macro average."
        )
