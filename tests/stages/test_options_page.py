"""docs/OPTIONS.md is made from the declarations, and tells every key that is accepted."""

import ast
import inspect
import re
from pathlib import Path

import pytest
import yaml

import espnet_otreg
from espnet_otreg.configuration import read_options
from espnet_otreg.ot.options import declared
from espnet_otreg.recipe.declared import OPTIONS
from espnet_otreg.stages.options_page import CHAPTERS, main, options_page
from espnet_otreg.tasks.asr import PARTS

PAGE = Path(__file__).parents[2] / "docs/OPTIONS.md"
CONFS = {section.conf for chapter in CHAPTERS for section in chapter.sections}


def rows(conf: type) -> set[str]:
    """Read the keys that the page tells of a class."""
    for chapter in CHAPTERS:
        for section in chapter.sections:
            if section.conf is conf and section.changed is None:
                text = PAGE.read_text(encoding="utf-8").split(f"### {section.place}\n")[1]
                return set(re.findall(r"^\| `(\w+)` \|", text.split("\n#")[0], re.MULTILINE))
    return set()


def test_the_page_is_the_one_that_is_generated(tmp_path):
    main(["--output", str(tmp_path / "page.md")])
    made = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert made == PAGE.read_text(encoding="utf-8"), (
        "run python -m espnet_otreg.stages.options_page"
    )


def test_every_class_that_a_configuration_is_read_into_is_on_the_page():
    parsed = set()
    for path in Path(espnet_otreg.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                name = node.args[0] if node.func.id in ("read_options", "options_of") else None
                if isinstance(name, ast.Name) and name.id != "cls":
                    parsed.add(name.id)
    assert parsed == {conf.__name__ for conf in CONFS}


@pytest.mark.parametrize("conf", sorted(CONFS, key=str), ids=lambda conf: conf.__name__)
def test_every_key_of_a_class_is_on_the_page(conf):
    assert rows(conf) == {each.name for each in declared(conf)}


@pytest.mark.parametrize("kind, name", [(kind, name) for kind in PARTS for name in PARTS[kind]])
def test_every_part_that_espnet_is_given_is_on_the_page_with_its_own_options(kind, name):
    page = PAGE.read_text(encoding="utf-8")
    option = kind.removesuffix("_choices")
    assert re.search(rf"^##.*{option}: {name}`$", page, re.MULTILINE)
    part = PARTS[kind][name]
    own = [
        parameter.name
        for parameter in inspect.signature(part).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    assert own
    for key in own:
        assert f"| `{key}` |" in page or f"### `model_conf.{key}`" in page, key


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.title)
def test_examples_hold_what_is_accepted(chapter):
    example = yaml.safe_load(chapter.example)
    for section in chapter.sections:
        place, _, part = section.place.replace("`", "").partition(" of ")
        kind, _, name = part.partition(": ")
        if kind == "model" or not part or example[kind] == name:
            given = example
            for key in place.split("."):
                given = given.get(key, {})
            read_options(section.conf, given, place)


def test_every_option_of_the_recipes_is_on_the_page():
    page = options_page()
    assert "### Scoring\n\n| option | default | allowed | what it is |" in page
    for option in OPTIONS.values():
        default = f"`{option.default}`" if option.default else "none"
        assert f"\n| `--{option.name}` | {default} |" in page
