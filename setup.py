"""The part of building that pyproject.toml cannot say: both archives carry the recipes.

`espnet-otreg recipes` lays them into a folder again, and makes the links that a wheel cannot hold.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

CARRIED = ("*/*.sh", "*/conf/**/*")
OF_ESPNET3 = ("*/asr/*.py", "*/asr/README.md", "*/asr/conf/*", "*/asr/dataset/*.py")
MADE = ("downloads", "data", "dump", "exp")  # by running recipes


class ArchiveOfSources(sdist):
    """Takes recipes as they are, links included, which MANIFEST.in would follow and then miss."""

    def make_release_tree(self, base_dir: str, files: Sequence[str]) -> None:
        """Fill the folder that is archived."""
        super().make_release_tree(base_dir, files)
        made = shutil.ignore_patterns(*MADE)
        for recipes in ("egs2", "egs3"):
            shutil.copytree(recipes, Path(base_dir, recipes), symlinks=True, ignore=made)


class BuildWithRecipes(build_py):
    """Puts egs2/ and egs3/ into the wheel, in espnet_otreg/; an editable one has its checkout's."""

    def run(self) -> None:
        """Copy the files of the template, and of a recipe of egs2 those that are its own."""
        super().run()
        if getattr(self, "editable_mode", False):
            return
        for path in sorted(found for pattern in OF_ESPNET3 for found in Path("egs3").glob(pattern)):
            self._carry(path)
        egs2 = Path("egs2")
        for path in sorted(found for pattern in CARRIED for found in egs2.glob(pattern)):
            recipe, *within = path.relative_to(egs2).parts
            own = recipe == "TEMPLATE" or not egs2.joinpath("TEMPLATE", *within).exists()
            if path.is_file() and own:
                self._carry(path)

    def _carry(self, path: Path) -> None:
        target = Path(self.build_lib, "espnet_otreg", path)
        self.mkpath(str(target.parent))
        self.copy_file(str(path), str(target))


# `license` stands here, since setuptools before 77 and after it read it differently elsewhere, and
# ESPnet 202511 keeps setuptools below 74.
setup(license="Apache-2.0", cmdclass={"build_py": BuildWithRecipes, "sdist": ArchiveOfSources})
