"""Run a notebook's cells and store what they print and draw.

    python tools/notebook.py docs/notebooks/align_two_sentences.ipynb

Without Jupyter: a cell is Python, what it prints is its output, and so is the PNG of its last
expression, if that has a `_repr_png_`. Pictures differ in no byte from run to run on one machine.
"""

import ast
import base64
import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any


def run_cells(notebook: dict[str, Any]) -> dict[str, Any]:
    """Run the cells of code in order, replace their outputs, and return the names they made."""
    names: dict[str, Any] = {"__name__": "__main__"}
    count = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            cell["outputs"] = _run("".join(cell["source"]), names, count)
            cell["execution_count"] = count
    return names


def _run(source: str, names: dict[str, Any], count: int) -> list[dict[str, Any]]:
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(tree, f"<cell {count}>", "exec"), names)
        value = None
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"<cell {count}>", "eval"), names)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        lines = printed.getvalue().splitlines(keepends=True)
        outputs.append({"output_type": "stream", "name": "stdout", "text": lines})
    if hasattr(value, "_repr_png_"):
        data = {"image/png": base64.b64encode(value._repr_png_()).decode()}
        outputs.append({
            "output_type": "execute_result", "data": data, "metadata": {}, "execution_count": count,
        })  # fmt: skip
    return outputs


def main(path: Path) -> None:
    """Run a notebook and write it back."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    run_cells(notebook)
    text = json.dumps(notebook, indent=1, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
