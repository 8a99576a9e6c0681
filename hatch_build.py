"""The part of building a wheel that pyproject.toml cannot say: the recipes lie inside the package.

`espnet-otreg recipes` lays them into a folder again, and makes the links that a wheel cannot hold.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CARRIED = ("*/*.sh", "*/conf/**/*")


class RecipesInside(BuildHookInterface):
    """Puts egs2/ into the wheel as espnet_otreg/egs2/."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files; an editable installation has them in its checkout."""
        if version == "editable":
            return
        egs2 = Path(self.root, "egs2")
        for path in sorted(found for pattern in CARRIED for found in egs2.glob(pattern)):
            recipe, *within = path.relative_to(egs2).parts
            shared = egs2.joinpath("TEMPLATE", *within)
            # in an sdist, links to folders of the template have become folders
            if path.is_file() and (recipe == "TEMPLATE" or not shared.exists()):
                build_data["force_include"][str(path)] = (
                    f"espnet_otreg/{path.relative_to(self.root)}"
                )
