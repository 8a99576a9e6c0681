"""Lay the recipes that an installed wheel carries into a folder, where they can be run and edited.

    espnet-otreg recipes work
    cd work/egs2/covost2_otreg && ./run.sh --plan true

WORK/egs2 is then as in a checkout: TEMPLATE holds what recipes share, db.sh names your corpora.
Run it with the environment active into which espnet_otreg is installed, or with that environment
in WORK/.venv. Nothing is overwritten: after an update, lay the recipes into another folder.
"""

import argparse
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import espnet_otreg
from espnet_otreg.errors import UserError
from espnet_otreg.stages.command import run

TEMPLATE = "TEMPLATE"


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "work", type=Path, nargs="?", default=Path(), help="folder that gets egs2 [this one]"
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Lay the recipes."""
    args = get_parser().parse_args(cmd)
    run(lambda: tell(lay(carried(), args.work / "egs2")))


def carried() -> Path:
    """Find the recipes in the installed package."""
    package = Path(espnet_otreg.__file__).resolve().parent
    if (package / "egs2").is_dir():
        return package / "egs2"
    checkout = package.parent / "egs2"
    if checkout.is_dir():
        raise UserError(
            f"this is a checkout: its recipes are in {checkout} already, run them there"
        )
    raise UserError(f"{package} has no recipes: install a wheel that `make dist` built")


def lay(source: Path, target: Path) -> Path:
    """Copy the recipes, and link in each what it shares with the template; all or nothing."""
    if target.exists():
        raise UserError(
            f"{target} is there already, and nothing is overwritten: name another folder"
        )
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        shutil.copytree(source, beside, ignore=shutil.ignore_patterns("__pycache__"))
        for recipe in recipes_in(beside):
            _link(beside / TEMPLATE, beside / recipe)
            _link(beside / TEMPLATE / "conf", beside / recipe / "conf")
        os.replace(beside, target)
    except BaseException:  # Ctrl-C too
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return target


def recipes_in(egs2: Path) -> list[str]:
    """Name the folders that have something to run."""
    return sorted(path.parent.name for path in egs2.glob("*/run.sh"))


def _link(shared: Path, folder: Path) -> None:
    """Give a folder what it lacks of the shared one, by relative links."""
    for path in shared.iterdir():
        if not (folder / path.name).exists():
            (folder / path.name).symlink_to(os.path.relpath(path, folder))


def tell(egs2: Path) -> None:
    """Say what can be run."""
    for recipe in recipes_in(egs2):
        scripts = sorted(path.name for path in (egs2 / recipe).glob("run*.sh"))
        print(f"cd {egs2 / recipe} && ./run.sh    # or {' '.join(scripts[1:])}")
    print(f"your corpora: {egs2 / TEMPLATE / 'db.sh'}")


if __name__ == "__main__":
    main()
