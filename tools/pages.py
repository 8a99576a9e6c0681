"""Hooks of mkdocs: pages of files outside docs/, of the notebook, and the reference of the package.

On a code host links lead through the repository; in the site all files have the same places, but
for docs/, whose pages stand at the top, and the README, which is the first page. What a page links
to comes along: Markdown as a page, code and folders of configs as pages that show them.
"""

import ast
import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
START = "README.md"
MORE = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "egs2/fleurs_otreg/README.md")
PICTURES = (".png", ".svg")
REFERENCE = {  # page: what is in it, in the order of the packages
    "ot": "Optimal transport between padded batches; torch alone",
    "models": "Models, their parts and options",
    "pretrained": "Speech encoders and language models of others",
    "tasks": "What ESPnet is told; training and its checkpoints",
    "corpora": "Corpora, and tables of your own",
    "transcribe": "Recordings to text with word times",
    "demo": "A page in the browser to try a model",
    "decode": "From audio to text",
    "scoring": "Error rates, intervals, tables",
    "measure": "Alignments, and the gap between speech and text",
    "report": "The web page of results",
    "hub": "Packs, model cards, upload",
    "recipe": "What must run, and how it is run",
    "espnet3": "What a recipe of ESPnet3 names",
    "mini": "Small corpora and language models, made here",
    "natural": "Real sentences in natural synthetic voices",
    "packages": "Speech and models that package registries carry",
}
_FENCE = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")
_AWAY = re.compile(r"[a-z]+:")  # https:, and data: of pictures inside a notebook
_LANGUAGES = {".sh": "bash", ".py": "python", ".yaml": "yaml", ".cff": "yaml", ".json": "json"}


def uri(place: str) -> str:
    """Say where in the site's sources a place of the repository is."""
    path = ROOT / place
    if place == START:
        return "index.md"
    if place.startswith("docs/"):
        place = place.removeprefix("docs/")
        return place.removesuffix(".ipynb") + ".md" if place.endswith(".ipynb") else place
    if path.is_dir():
        return f"{place}/index.md"
    return place if path.suffix in (".md", *PICTURES) else f"{place}.md"


def links(page: str, text: str) -> Iterator[str]:
    """Yield the places in the repository that a page links to."""
    for part in _FENCE.split(text)[::2]:
        for found in _LINK.finditer(part):
            if not _AWAY.match(found[1]):
                yield _place(page, found[1])


def with_links_of_the_site(page: str, text: str) -> str:
    """Let the links of a page, a place in the repository, lead to the same things in the site."""

    def moved(found: re.Match[str]) -> str:
        if _AWAY.match(found[1]):
            return found[0]
        start = posixpath.dirname(uri(page)) or "."
        return posixpath.relpath(uri(_place(page, found[1])), start) + (found[2] or "")

    parts = _FENCE.split(text)
    parts[::2] = [_LINK.sub(moved, part) for part in parts[::2]]
    return "".join(parts)


def _place(page: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def sources() -> dict[str, str]:
    """Return the text of every page by its place in the repository, with all that they link to."""
    docs = [f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))]
    notebooks = [str(path.relative_to(ROOT)) for path in (ROOT / "docs/notebooks").glob("*.ipynb")]
    found: dict[str, str] = {}
    waiting = [START, *MORE, *docs, *notebooks]
    while waiting:
        place = waiting.pop(0)
        if place not in found and not place.endswith(PICTURES):
            found[place] = text_of(place)
            waiting += links(place, found[place])
    return found


def text_of(place: str) -> str:
    """Write a place of the repository as Markdown."""
    path = ROOT / place
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        return _notebook(json.loads(path.read_text(encoding="utf-8")))
    if path.is_dir():
        pages = [str(each.relative_to(path)) for each in sorted(path.rglob("*.md"))]
        listed = "".join(f"- [{name}]({path.name}/{name})\n" for name in pages)
        files = [each for each in sorted(path.rglob("*")) if each.suffix in _LANGUAGES]
        shown = "\n".join(_shown(each, f"## {each.relative_to(path)}") for each in files)
        return f"# {place}\n\n{listed}\n{shown}"
    return _shown(path, f"# {place}")


def _shown(path: Path, heading: str) -> str:
    text = path.read_text(encoding="utf-8").rstrip("\n")
    return f"{heading}\n\n````{_LANGUAGES.get(path.suffix, 'text')}\n{text}\n````\n"


def _notebook(content: dict[str, Any]) -> str:
    """Write a notebook's cells with their stored outputs."""
    parts = []
    for cell in content["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            text = "".join(output.get("text", data.get("text/plain", "")))
            if "image/png" in data:
                encoded = "".join(data["image/png"]).replace("\n", "")
                parts.append(f"![What the cell draws](data:image/png;base64,{encoded})")
            elif text:
                parts.append(f"```text\n{text.rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def reference(package: str) -> str:
    """Write a page that mkdocstrings fills: the modules of a package."""
    folder = ROOT / "espnet_otreg" / package
    parts = [f"# espnet_otreg.{package}", f"{REFERENCE[package]}.\n"]
    for path in sorted(folder.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path.name != "__init__.py" and any(
            isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            for node in tree.body
        ):
            name = f"espnet_otreg.{package}.{path.stem}"
            parts.append(f"::: {name}\n    options:\n      heading_level: 2\n")
    return "\n\n".join(parts)


def on_files(files: Any, config: Any) -> Any:
    """Add what lies outside docs/, the notebook and the reference to mkdocs' files."""
    from mkdocs.structure.files import File, InclusionLevel

    def add(name: str, where: InclusionLevel = InclusionLevel.NOT_IN_NAV, **given: str) -> None:
        old = files.get_file_from_path(name)
        if old is not None:
            files.remove(old)
        files.append(File.generated(config, name, inclusion=where, **given))

    for place, text in sources().items():
        level = InclusionLevel.UNDEFINED if place.startswith("docs/") else InclusionLevel.NOT_IN_NAV
        add(uri(place), level, content=with_links_of_the_site(place, text))
        for target in links(place, text):
            if target.endswith(PICTURES) and not target.startswith("docs/"):
                add(uri(target), abs_src_path=str(ROOT / target))
    for package in REFERENCE:
        add(f"reference/{package}.md", content=reference(package))
    rows = [f"- [espnet_otreg.{name}]({name}.md): {text}" for name, text in REFERENCE.items()]
    add("reference/index.md", content="# Reference\n\n" + "\n".join(rows) + "\n")
    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            files.remove(file)
    return files
