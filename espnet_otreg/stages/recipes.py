"""Lay the recipes that an installed wheel carries into a folder, where they can be run and edited.

    espnet-otreg recipes work
    cd work/egs2/covost2_otreg && ./run.sh --plan true

WORK/egs2 is then as in a checkout: TEMPLATE holds what recipes share, db.sh names your corpora.
WORK/egs3 has the recipe for ESPnet3, which needs Python 3.12 or newer; its README has the commands.
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
KINDS = ("egs2", "egs3")


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "work",
        type=Path,
        nargs="?",
        default=Path(),
        help="folder that gets egs2 and egs3 [this one]",
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Lay the recipes."""
    args = get_parser().parse_args(cmd)
    run(lambda: tell(lay(carried(), args.work)))


def carried() -> Path:
    """Find the folder of egs2 and egs3 in the installed package."""
    package = Path(espnet_otreg.__file__).resolve().parent
    if all((package / kind).is_dir() for kind in KINDS):
        return package
    checkout = package.parent / "egs2"
    if checkout.is_dir():
        raise UserError(
            f"this is a checkout: its recipes are in {checkout} already, run them there"
        )
    raise UserError(f"{package} has no recipes: install a wheel that `make dist` built")


def lay(source: Path, work: Path) -> Path:
    """Copy the recipes, and link in each what it shares with the template."""
    for target in (work / kind for kind in KINDS):
        if target.exists():
            raise UserError(
                f"{target} is there already, and nothing is overwritten: name another folder"
            )
    beside = work / f".recipes.{os.getpid()}.tmp"
    try:
        for kind in KINDS:
            shutil.copytree(
                source / kind, beside / kind, ignore=shutil.ignore_patterns("__pycache__")
            )
        for recipe in recipes_in(beside / "egs2"):
            shared, own = beside / "egs2" / TEMPLATE, beside / "egs2" / recipe
            _link(shared, own)
            _link(shared / "conf", own / "conf")
        for kind in KINDS:
            os.replace(beside / kind, work / kind)
    finally:  # Ctrl-C too
        shutil.rmtree(beside, ignore_errors=True)
    return work


def recipes_in(egs2: Path) -> list[str]:
    """Name the folders that have something to run."""
    return sorted(path.parent.name for path in egs2.glob("*/run.sh"))


def _link(shared: Path, folder: Path) -> None:
    """Give a folder what it lacks of the shared one, by relative links."""
    for path in shared.iterdir():
        if not (folder / path.name).exists():
            (folder / path.name).symlink_to(os.path.relpath(path, folder))


def tell(work: Path) -> None:
    """Say what can be run."""
    egs2 = work / "egs2"
    for recipe in recipes_in(egs2):
        scripts = sorted(path.name for path in (egs2 / recipe).glob("run*.sh"))
        print(f"cd {egs2 / recipe} && ./run.sh    # or {' '.join(scripts[1:])}")
    for path in sorted((work / "egs3").glob("*/*/README.md")):
        print(f"with ESPnet3, as {path} tells: cd {path.parent}")
    print(f"your corpora: {egs2 / TEMPLATE / 'db.sh'}")


if __name__ == "__main__":
    main()
