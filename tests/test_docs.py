"""The pages that people read: their length, their links, the commands they name, their pictures."""

import importlib.util
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from espnet_otreg import __version__, cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/*.md", "egs2/*/README.md", "egs3/*/*/README.md")
    for path in ROOT.glob(pattern)
)
HISTORY = {Path("docs/LOG.md"), Path("CHANGELOG.md")}  # commands of their time
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_MODULE = re.compile(r"python3? -m (espnet_otreg(?:\.\w+)+)")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LARGEST_PICTURE = 100_000  # bytes


def text_of(page: Path) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def anchors(path: Path) -> set[str]:
    """Name the headings of a page as links do."""
    headings = re.findall(
        r"^#+ (.+)$", _FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE
    )
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def tracked(*patterns: str) -> list[Path]:
    found = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns], cwd=ROOT, capture_output=True, text=True
    )
    if found.returncode:
        pytest.skip("not a git checkout")
    return [path for name in found.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def citation() -> dict[str, Any]:
    """Read CITATION.cff, which is YAML."""
    return yaml.safe_load(text_of(Path("CITATION.cff")))


def test_the_readme_has_at_most_150_lines():
    assert len(text_of(Path("README.md")).splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_of_a_page_leads_somewhere(page):
    wrong = []
    for link in _LINK.findall(_FENCE.sub("", text_of(page))):
        if "://" in link:
            continue
        place, _, anchor = link.partition("#")
        target = (ROOT / page).parent / place if place else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert not wrong


@pytest.mark.parametrize("page", [page for page in PAGES if page not in HISTORY], ids=str)
def test_every_command_that_a_page_names_exists(page):
    named = set(_MODULE.findall(text_of(page)))
    assert not [name for name in sorted(named) if importlib.util.find_spec(name) is None]


@pytest.mark.parametrize("page", [page for page in PAGES if page not in HISTORY], ids=str)
def test_no_page_speaks_of_folders_that_are_gone(page):
    parts = re.findall(r"`((?:espnet_otreg|egs2|benchmarks|tests|docs)/[\w./-]+)`", text_of(page))
    assert not [part for part in parts if not (ROOT / part).exists()]


def test_the_tree_of_the_readme_names_what_is_there():
    tree = text_of(Path("README.md")).split("## Where things are")[1].split("```")[1]
    above, named = Path(), []
    for line in tree.splitlines():
        deep = len(line) - len(line.lstrip())
        if deep > 4:  # goes on from the line before
            continue
        words = re.split(r"\s{2,}", line.strip())
        places = [word for word in words if re.fullmatch(r"[\w/.]+(\.sh|/)", word)]
        if deep == 0 and places:
            above = Path(places[0])
        named += [above / place if deep else Path(place) for place in places]
    assert len(named) > 15
    assert not [str(place) for place in named if not (ROOT / place).exists()]


def test_the_loss_in_the_readme_runs_as_it_stands_there():
    section = text_of(Path("README.md")).split("## The loss in your own trainer")[1]
    code = section.split("```python\n")[1].split("```")[0]
    torch.manual_seed(0)
    names = {
        "token_ids": torch.tensor([[3, 4, 5], [6, 7, 0]]),
        "token_lengths": torch.tensor([3, 2]),
        "embedding": torch.nn.Embedding(10, 8),
        "pad_id": 0,
        "frames": torch.randn(2, 12, 8, requires_grad=True),
        "frame_lengths": torch.tensor([12, 9]),
        "main_loss": torch.tensor(1.0),
    }
    exec(code, names)
    names["loss"].backward()
    assert names["loss"] > 1
    assert names["frames"].grad.abs().sum() > 0


def test_a_marked_block_is_there_for_the_results_of_make_run():
    page = text_of(Path("egs2/covost2_otreg/README.md"))
    assert page.index("<!-- results:begin -->") < page.index("<!-- results:end -->")


def test_pictures_in_git_are_small_pngs():
    pictures = tracked("*.png", "*.jpg", "*.jpeg", "*.gif", "*.webp", "*.svg")
    assert pictures
    template = ROOT / "espnet_otreg/report/template"
    assert not [p for p in pictures if p.suffix != ".png" and template not in p.parents]
    assert not [p for p in pictures if p.stat().st_size > LARGEST_PICTURE]


def test_changelog_and_citation_are_of_this_version():
    headings = re.findall(r"^## (\S+)", text_of(Path("CHANGELOG.md")), re.MULTILINE)
    assert headings[0] == __version__
    assert citation()["version"] == __version__


def test_the_papers_of_the_readme_are_the_references_of_the_citation():
    named = set(re.findall(r"arXiv (\d{4}\.\d{5})", text_of(Path("README.md"))))
    cited = {
        each["value"].removeprefix("arXiv:")
        for paper in citation()["references"]
        for each in paper["identifiers"]
    }
    assert len(named) == 2
    assert cited == named


@pytest.mark.parametrize("form", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml")))
def test_an_issue_form_asks_only_for_commands_that_exist(form):
    content = yaml.safe_load(form.read_text(encoding="utf-8"))
    assert content["name"] and content["description"]
    ids = [field["id"] for field in content["body"]]
    assert len(set(ids)) == len(ids) > 2
    verbs = re.findall(r"`espnet-otreg ([a-z]+)", str(content))
    assert not set(verbs) - set(cli.VERBS)
