"""Hypotheses of systems decoded elsewhere, scored on the way to a comparison.

An external system is a folder with `<test_set>/score.json`. Where it holds `<test_set>.jsonl` (or
.tsv, .csv) these hypotheses are scored there first: against the data directory of another system's
score of this test set, with its normaliser, so that the two compare.
"""

from collections.abc import Sequence
from pathlib import Path

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, read_table
from espnet_otreg.scoring.comparison import System
from espnet_otreg.scoring.hypotheses import WITH_FIELDS, match, name_by_text, read_hypotheses
from espnet_otreg.scoring.results import SCORE_FILE, decoding_folder
from espnet_otreg.scoring.score_file import save_score
from espnet_otreg.scoring.wer import score


def score_external(
    systems: Sequence[System], sets: Sequence[str], decode_tag: str
) -> tuple[System, ...]:
    """Score the hypotheses that external systems bring; a file becomes a folder beside it."""
    found = []
    for system in systems:
        given = system.folders[0]
        if system.external and given.is_file():
            if len(sets) != 1:
                raise UserError(
                    f"--external {system.name}={given} is one file, and there are {len(sets)} test "
                    "sets: give a folder with a <test_set>.jsonl for each"
                )
            folder = given.with_suffix("")
            _score(given, folder / sets[0] / SCORE_FILE, _example(systems, sets[0], decode_tag))
            system = system._replace(folders=(folder,))
        elif system.external:
            for name in sets:
                files = [p for end in WITH_FIELDS if (p := given / f"{name}{end}").is_file()]
                if files:
                    example = _example(systems, name, decode_tag)
                    _score(files[0], given / name / SCORE_FILE, example)
        found.append(system)
    return tuple(found)


def _example(systems: Sequence[System], test_set: str, decode_tag: str) -> Path:
    """Return a score of this test set that was made before."""
    for system in systems:
        for folder in system.folders:
            place = decoding_folder(system, folder, decode_tag, test_set) / SCORE_FILE
            if place.is_file() and "reference" in read_json(place):
                return place
    raise UserError(
        f"no system has a score of {test_set}, which would tell reference and normaliser: score "
        "one first, by espnet-otreg score"
    )


def _score(hypotheses: Path, output: Path, example: Path) -> None:
    facts = read_json(example)
    reference, normaliser = Path(str(facts["reference"])), str(facts.get("normaliser"))
    references = read_table(reference / "text")
    named = name_by_text(hypotheses, read_hypotheses(hypotheses), references)
    matched = match(references, named, hypotheses)
    tables = {
        kind: read_table(reference / file) if (reference / file).is_file() else None
        for kind, file in (("speakers", "utt2spk"), ("languages", "utt2lang"))
    }
    scored = score(references, matched.hypotheses, normaliser=normaliser, **tables)
    told = {"reference": str(reference), "hypothesis": str(hypotheses)}
    counts = {"missing_hypotheses": matched.missing, "ignored_hypotheses": matched.extra}
    save_score(output, scored, normaliser, {**told, **counts})
