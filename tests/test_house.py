"""What holds of every file of the package."""

import ast
from pathlib import Path

import pytest

import espnet_otreg

PACKAGE = Path(espnet_otreg.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
LAYERS = [  # what stands in a line may import what stands above it, and nothing else
    "espnet_otreg",  # the version
    "errors",
    "files", "languages", "yaml_files", "progress", "commands", "weights", "compat",
    "ot", "configuration",
    "corpora", "mini", "natural",
    "scoring",
    "pretrained", "packages", "models", "tasks",
    "hub",
    "decode",
    "measure",
    "transcribe",
    "demo",
    "report",
    "recipe",
    "hook",
    "stages",
    "shim", "asr_sh", "cli", "espnet3",
]  # fmt: skip


def imported(tree: ast.AST) -> set[str]:
    """Names of the modules that are imported anywhere in a file."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
            if node.module == "espnet_otreg":
                names |= {f"espnet_otreg.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names |= {word.value for word in node.args if isinstance(word, ast.Constant)}
    return names


def layer(module: str) -> str:
    """The package of a module, or the module that stands beside the packages."""
    parts = module.split(".")
    lies_below = len(parts) > 1 and (
        (PACKAGE / parts[1]).is_dir() or (PACKAGE / f"{parts[1]}.py").is_file()
    )
    return parts[1] if lies_below else parts[0]


def test_imports_go_downwards_only_late_ones_too():
    """Of packages and the modules beside them; within a package Python itself tells of a circle."""
    wrong = []
    for path in FILES:
        module = ".".join(["espnet_otreg", *path.relative_to(PACKAGE).with_suffix("").parts])
        own = layer(module.removesuffix(".__init__"))
        for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            if name.split(".")[0] != "espnet_otreg" or layer(name) == own:
                continue
            if LAYERS.index(layer(name)) > LAYERS.index(own):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert not wrong, wrong


def test_every_file_is_in_a_layer_and_every_layer_has_a_file():
    inside = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}
    assert inside - {"__init__"} == set(LAYERS) - {"espnet_otreg"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_functions_and_files_can_be_taken_in_at_a_glance(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
            names = [each.arg for each in every if each and each.arg not in ("self", "cls")]
            assert len(names) <= 7, f"{node.name} takes {', '.join(names)}"
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 60, f"{node.name} has {length} lines"


def test_at_most_25_modules_have_fewer_than_60_lines():
    short = [
        str(path.relative_to(PACKAGE))
        for path in FILES
        if len(path.read_text(encoding="utf-8").splitlines()) < 60
    ]
    assert len(short) <= 25, f"{len(short)}: {', '.join(short)}"


def test_transport_needs_torch_and_nothing_else_of_the_package():
    for path in sorted((PACKAGE / "ot").glob("*.py")):
        for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            if name.startswith("espnet_otreg"):
                assert name.startswith("espnet_otreg.ot"), f"{path.name} imports {name}"
            assert not name.startswith(("espnet2", "numpy", "yaml", "transformers")), path.name
