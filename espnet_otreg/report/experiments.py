"""Which experiments, decodings and test sets a report is about, guessed where that is safe."""

import re
from collections.abc import Sequence
from pathlib import Path

from espnet_otreg.errors import UserError
from espnet_otreg.scoring.comparison import System
from espnet_otreg.scoring.results import SCORE_FILE, parse_systems

_TRAINED = re.compile(r"(?:asr_)?(?P<name>.+?)(?:_seed(?P<seed>\d+))?_[0-9a-f]{8}")


def group_experiments(folders: Sequence[str], names: Sequence[str] | None) -> tuple[System, ...]:
    """Make systems of folders, the baseline first.

    Seeds are joined by commas, as elsewhere; without `names` and commas, folders that differ only
    by seed and hash (`asr_otreg_seed1_0f3a...`) are one system.
    """
    if names or any("," in folder for folder in folders):
        return parse_systems(folders, names)
    groups: dict[str, dict[str, str]] = {}
    for folder in folders:
        match = _TRAINED.fullmatch(Path(folder).name)
        name, seed = (match["name"], match["seed"] or "") if match else (Path(folder).name, "")
        seeds = groups.setdefault(name, {})
        if seed in seeds:
            raise UserError(
                f"{seeds[seed]} and {folder} look like the same system and seed: leave one out, "
                "or say which folders are seeds of one system by commas, and give --names"
            )
        seeds[seed] = folder
    return parse_systems([",".join(seeds.values()) for seeds in groups.values()], list(groups))


def find_decoding(systems: Sequence[System], wanted: str | None) -> str:
    """Return the decoding that every experiment has; more than one must be chosen from.

    Systems that were decoded elsewhere have none.
    """
    folders = [folder for system in systems if not system.external for folder in system.folders]
    if wanted is not None or not folders:
        return wanted or ""
    everywhere = set.intersection(*(_decodings(folder) for folder in folders))
    if len(everywhere) == 1:
        return everywhere.pop()
    found = {str(folder): sorted(_decodings(folder)) for folder in folders}
    listed = "\n".join(f"  {name}: {', '.join(tags) or 'none'}" for name, tags in found.items())
    what = "no scored decoding is" if not everywhere else "several scored decodings are"
    raise UserError(
        f"{what} common to all experiments:\n{listed}\nChoose by --decode_tag, leave experiments "
        "out, or decode and score them (stages 12 and 13)."
    )


def find_sets(systems: Sequence[System], decode_tag: str) -> list[str]:
    """Return the test sets that every experiment has scores of."""
    folders = [
        folder if system.external else folder / decode_tag
        for system in systems
        for folder in system.folders
    ]
    everywhere = set.intersection(*(_scored_sets(folder) for folder in folders))
    if not everywhere:
        listed = ", ".join(map(str, folders))
        raise UserError(f"no test set is scored in all of {listed}: look for <test_set>/score.json")
    return sorted(everywhere)


def _decodings(folder: Path) -> set[str]:
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist: name folders of trained experiments")
    return {tag.name for tag in folder.iterdir() if tag.is_dir() and _scored_sets(tag)}


def _scored_sets(decoding: Path) -> set[str]:
    return {path.parent.name for path in decoding.glob(f"*/{SCORE_FILE}")}
