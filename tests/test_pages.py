"""The site: where pages of the repository are in it, and how docstrings become text."""

import posixpath
from pathlib import Path

import pytest

from tools import pages

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def sources():
    return pages.sources()


def test_every_link_of_the_site_leads_to_one_of_its_pages(sources):
    there = {pages.uri(place) for place in sources}
    wrong = []
    for place, text in sources.items():
        for target in pages.links(pages.uri(place), pages.with_links_of_the_site(place, text)):
            if target not in there and not target.endswith(pages.PICTURES):
                wrong.append(f"{place}: {target}")
    assert not wrong
    assert {"index.md", "RECIPES.md", "egs2/TEMPLATE/otreg.sh.md"} <= there


def test_every_picture_of_the_site_is_in_the_repository(sources):
    targets = {target for place, text in sources.items() for target in pages.links(place, text)}
    pictures = {target for target in targets if target.endswith(pages.PICTURES)}
    assert len(pictures) > 5
    assert all((ROOT / picture).is_file() for picture in pictures)


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("README.md", "docs/RECIPES.md#corpora", "RECIPES.md#corpora"),
        ("docs/RECIPES.md", "../README.md", "index.md"),
        ("docs/RECIPES.md", "../egs2/TEMPLATE/otreg.sh", "egs2/TEMPLATE/otreg.sh.md"),
        ("docs/RECIPES.md", "pictures/plan.png", "pictures/plan.png"),
        ("egs2/covost2_otreg/README.md", "../../docs/REAL.md", "../../REAL.md"),
        ("egs2/covost2_otreg/README.md", "results/", "results/index.md"),
        ("docs/RECIPES.md", "https://example.org/a", "https://example.org/a"),
        ("docs/RECIPES.md", "#corpora", "#corpora"),
    ],
)
def test_a_link_leads_to_the_same_thing_in_the_site(page, link, expected):
    assert pages.with_links_of_the_site(page, f"see [it]({link}).") == f"see [it]({expected})."


def test_what_stands_in_a_block_of_code_is_no_link():
    text = "```sh\n[a](b.md)\n```\n"
    assert pages.with_links_of_the_site("docs/X.md", text) == text


def test_the_reference_has_every_package_and_every_module_with_something_public():
    packages = {path.parent.name for path in (ROOT / "espnet_otreg").glob("*/__init__.py")}
    assert packages - set(pages.REFERENCE) == {"stages"}  # commands, which tell of themselves
    for package in pages.REFERENCE:
        assert "::: espnet_otreg." in pages.reference(package)
    assert "::: espnet_otreg.ot.sinkhorn\n" in pages.reference("ot")


def test_a_page_stands_as_deep_in_the_site_as_its_address_says():
    assert posixpath.dirname(pages.uri("docs/REAL.md")) == ""
    assert pages.uri("egs2/covost2_otreg/results") == "egs2/covost2_otreg/results/index.md"


def test_docstrings_keep_their_signs_and_their_examples():
    docstrings = pytest.importorskip("tools.docstrings", reason="griffe is not installed")
    text = "Minimises <P, C> of `a_b*c` for a*b.\n\n>>> f(x)\n[1]\n\n    as *it* is\n"
    assert docstrings.as_markdown(text).split("\n\n") == [
        "Minimises &lt;P, C> of `a_b*c` for a\\*b.",
        "```pycon\n>>> f(x)\n[1]\n```",
        "    as *it* is",
    ]


@pytest.mark.parametrize(
    ("source", "default", "said"),
    [
        ("    x: int  # (B,) of each", None, "(B,) of each"),
        ('    x: int = option(3, "how many", low=1)', "3", "how many"),
        ('    x: str = required("a name")', "", "a name"),
        ('    x: float = same(Other, "x", 0.5, "how strong")', "0.5", "how strong"),
        ("    x: int = 3  # type: ignore", None, ""),
    ],
)
def test_of_a_field_is_told_what_stands_beside_it(source, default, said):
    docstrings = pytest.importorskip("tools.docstrings", reason="griffe is not installed")
    assert docstrings.field_of(source) == (default, said)
