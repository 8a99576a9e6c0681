"""How mkdocstrings reads our docstrings: prose as it stands, fields by their comments."""

import ast
import re
from collections.abc import Iterator
from typing import Any

import griffe

_CODE = re.compile(r"(`[^`]*`)")
_MARKS = str.maketrans({"<": "&lt;", "*": "\\*", "_": "\\_", "[": "\\["})
_OPTIONS = {"option": (0, 1), "required": (None, 0), "same": (2, 3)}  # places of default and help


class Prose(griffe.Extension):
    """Escapes what Markdown would take for marks, and finds what is said of a field."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Write a docstring as Markdown; of a field, its comment or its option's help."""
        if isinstance(obj, griffe.Attribute) and obj.parent is not None and obj.parent.is_class:
            default, said = field_of(obj.source)
            if default is not None:
                obj.value = default or None
            if said and not obj.docstring:
                obj.docstring = griffe.Docstring(said, parent=obj)
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def field_of(source: str) -> tuple[str | None, str]:
    """Return of a field its option's default ("": none; None: no option), and what is said of it.

    That is the option's help, or the comment on its line.
    """
    call = _called(source)
    if call is not None and getattr(call.func, "id", "") in _OPTIONS:
        at, place = _OPTIONS[call.func.id]  # type: ignore[attr-defined]
        default = "" if at is None else ast.unparse(call.args[at])
        helps = [*call.args[place:], *(word.value for word in call.keywords if word.arg == "help")]
        said = helps[0].value if helps and isinstance(helps[0], ast.Constant) else ""
        return default, said if isinstance(said, str) else ""
    comments = re.findall(r"  # (?!type:|fmt:|noqa)(.+)$", source, re.MULTILINE)
    return None, " ".join(comments)


def _called(source: str) -> ast.Call | None:
    try:
        [field] = ast.parse(source.strip()).body
    except (SyntaxError, ValueError):
        return None
    value = getattr(field, "value", None)
    return value if isinstance(value, ast.Call) else None


def as_markdown(text: str) -> str:
    """Escape prose, leave indented blocks as code, and fence what begins with >>>."""
    return "\n".join(_lines(text.splitlines()))


def _lines(lines: list[str]) -> Iterator[str]:
    fenced = blank = False
    for line in lines:
        if line.startswith(">>>") and not fenced:
            fenced = True
            yield "```pycon"
        if fenced and not line:
            fenced = False
            yield "```"
        code = fenced or line.startswith("    ")
        if line.startswith(("- ", "  ")) and blank:
            yield ""
        yield line if code else "".join(_escaped(line))
        blank = bool(line) and not line.startswith(("- ", "  ", ">>>"))
    if fenced:
        yield "```"


def _escaped(line: str) -> Iterator[str]:
    for place, part in enumerate(_CODE.split(line)):
        yield part if place % 2 else part.translate(_MARKS)
