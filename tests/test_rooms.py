"""A room imports only rooms before it; the package speaks of itself only; imports are quick."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from symconv.layers import Layer

ROOT = Path(__file__).resolve().parents[1]
ROOMS = [
    "errors",
    "version",
    "notation",
    "layers",
    "plan",
    "derive",
    "prove",
    "templating",
    "kernel",
    "lower",
    "targets",
    "check",
    "explain",
    "bench",
    "files",
    "figure_files",
    "explanation",
    "unit",
    "apart",
    "verb_arguments",
    "verbs",
    "measuring",
    "frameworks",
    "testing",
    "building",
    "loading_weights",
    "onnx",
    "torch",
    "jax",
    "dask",
    "configuration",
    "terminal",
    "importing",
    "actions",
    "layer_commands",
    "cli",
    "pytest_plugin",
    "__main__",
]
FILES = sorted((ROOT / "symconv").rglob("*.py"))
IN_ROOMS = [path for path in FILES if path != ROOT / "symconv" / "__init__.py"]


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "symconv" and len(parts) > 1 else None


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "a relative import hides the room"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.every
@pytest.mark.parametrize("path", IN_ROOMS, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_imports_only_rooms_before_it(path: Path) -> None:
    room = path.relative_to(ROOT / "symconv").parts[0].removesuffix(".py")
    for module in imports(path):
        other = room_of(module)
        assert module != "symconv", "the whole package is every room"
        if other is not None:
            assert ROOMS.index(other) <= ROOMS.index(room), f"{room} imports {module}"


def kinds(path: Path) -> set[str]:
    """Return the kinds of layers that a file imports; networks, which are many layers, are not one."""
    of_layers = {m.split(".")[-1] for m in imports(path) if m.startswith("symconv.layers.")}
    return of_layers & (set(Layer.kinds) - {"Network"})


ALGORITHMS = [
    p for room in ("kernel", "lower", "targets") for p in (ROOT / "symconv" / room).rglob("*.py")
]


@pytest.mark.every
@pytest.mark.parametrize("path", ALGORITHMS, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_is_computed_does_not_depend_on_a_layers_kind(path: Path) -> None:
    assert not kinds(path)


def test_an_imported_kind_is_seen() -> None:
    assert kinds(ROOT / "symconv" / "prove" / "survey.py")


BEHIND = [p for p in FILES if p.relative_to(ROOT / "symconv").parts[0] != "layers"]


def asked(text: str) -> list[str]:
    """Return the questions of a file for a layer's kind: isinstance, a case, or its type's name."""
    tree = ast.parse(text)
    known = set(Layer.kinds) | {"ConvLayer", "PoolLayer", "Normalisation"}
    own = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("symconv.layers")
        for alias in node.names
        if alias.name in known
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.MatchClass) and ast.unparse(node.cls) in own:
            found.append(ast.unparse(node.cls))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass"):
            words = {n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)}
            found += [ast.unparse(node)] if words & own else []
        if isinstance(node, ast.Compare) and "type(" in ast.unparse(node):
            words = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            found += [ast.unparse(node)] if words & own or ".__name__" in ast.unparse(node) else []
    return found


@pytest.mark.every
@pytest.mark.parametrize("path", BEHIND, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_behind_the_layers_asks_for_a_kind(path: Path) -> None:
    assert not asked(path.read_text("utf-8"))


@pytest.mark.parametrize(
    "question",
    [
        "isinstance(layer, Conv)",
        "isinstance(layer, int | Conv)",
        "type(layer) is Conv",
        "type(layer).__name__ == 'Conv'",
        "match layer:\n    case Conv():\n        pass",
    ],
)
def test_a_question_for_a_kind_is_seen(question: str) -> None:
    assert asked(f"from symconv.layers.conv import Conv\n{question}\n")


@pytest.mark.every
@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_text_is_never_run(path: Path) -> None:
    """No eval, exec or sympify: user-supplied text cannot reach them."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            assert name not in {"eval", "exec", "sympify", "parse_expr"}


def test_oracles_import_nothing_from_symconv() -> None:
    for path in (ROOT / "tests" / "oracles").glob("*.py"):
        assert not any(module.startswith("symconv") for module in imports(path))


def test_no_two_files_have_one_name() -> None:
    """One concept, one place, one name; the same thing has the same name in two target languages."""
    places = {(path.parent.parent if "targets" in path.parts else path, path.name) for path in FILES}
    names = Counter(name for _, name in places)
    assert [name for name, count in names.items() if count > 1] == ["__init__.py"]


def test_files_are_short() -> None:
    for path in FILES:
        assert len(path.read_text("utf-8").splitlines()) <= 480, path


def test_importing_leaves_sympy_for_later() -> None:
    program = "import sys, symconv; assert 'sympy' not in sys.modules; print(symconv.__version__)"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True)
