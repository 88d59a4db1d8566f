"""A layer's functions as calls in programs of XLA: in C by its foreign function interface.

Without a compiler, a module in NumPy is called back instead.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from symconv.errors import SymconvError
from symconv.files import compiler
from symconv.layers.layer import Layer
from symconv.lower.layer_plan import Plan
from symconv.templating import fill
from symconv.verbs import generate

NAME = "layer"
Shape = tuple[int, ...]
_DECLARED = re.compile(rf"^void {NAME}_(\w+)\(([^;]*)\);", re.MULTILINE)


@dataclass(frozen=True)
class Functions:
    """The functions of a layer's module, which take and return arrays of JAX.

    ``taken`` names what each takes.
    """

    layer: Layer
    order: int
    taken: Mapping[str, Sequence[str]]
    run: Callable[[str, Sequence[Any], Sequence[Shape]], tuple[Any, ...]]


def functions(layer: Layer, order: int, target: str | None, accuracy: str) -> Functions:
    """Return a layer's functions: by default in C where there is a compiler.

    Raises
    ------
    SymconvError
        If an argument is not valid, or the compiler does not accept the files.
    """
    chosen = target or ("c" if compiler() else "numpy")
    unit = generate(layer, NAME, order=order, accuracy=accuracy, target=chosen)
    module: Any = unit.load()
    dtype = np.dtype(layer.dtype)
    assert isinstance(unit.plan, Plan)  # since it is a single layer's
    taken = {f.name: [array.name for array in f.inputs] for f in unit.plan.functions}
    taken["backward"] = ["grad_output", *layer.inputs]
    if chosen == "numpy":

        def call_back(name: str, given: Sequence[Any], shapes: Sequence[Shape]) -> tuple[Any, ...]:
            function = getattr(module, name)
            labels = [own in layer.classes for own in taken[name]]

            def host(*arrays: Any) -> Any:
                whole = [
                    np.asarray(a, np.int64 if is_label else dtype)
                    for a, is_label in zip(arrays, labels, strict=True)
                ]
                found = function(*whole)
                return found if isinstance(found, tuple) else (found,)

            results = tuple(jax.ShapeDtypeStruct(shape, dtype) for shape in shapes)
            return tuple(jax.pure_callback(host, results, *given))

        return Functions(layer, order, taken, call_back)
    header = unit.beside[".h"]
    spaces = {name: _workspace(declared) for name, declared in _DECLARED.findall(header)}
    targets = _registered(unit.source, header, module, module.REALS[layer.dtype])

    def run(name: str, given: Sequence[Any], shapes: Sequence[Shape]) -> tuple[Any, ...]:
        more = [(spaces[name],)] if spaces[name] else []
        results = [jax.ShapeDtypeStruct(shape, dtype) for shape in (*shapes, *more)]
        found = jax.ffi.ffi_call(targets[name], results)(*(x.astype(dtype) for x in given))
        return tuple(found[: len(shapes)])

    return Functions(layer, order, taken, run)


def _workspace(declared: str) -> int:
    """Return how many numbers a function's workspace has."""
    found = re.search(r"workspace\[\w+ (\d+)\]", declared)
    return int(found[1]) if found else 0


def _arguments(declared: str) -> str:
    """Write what a handler calls a function on: arguments, which are constant, then results."""
    given = declared.count("const ")
    places = [f"argument(frame, {at})" for at in range(given)]
    places += [f"result(frame, {at})" for at in range(declared.count("[") - given)]
    return ",\n            ".join(["", *places]).removeprefix(",")


def _registered(source: str, header: str, module: Any, real: str) -> dict[str, str]:
    """Compile a layer's file with a handler for each function, and make them known to XLA."""
    key = hashlib.sha256(f"{real}{source}{header}".encode()).hexdigest()[:16]
    rows = [(name, _arguments(declared)) for name, declared in _DECLARED.findall(header)]
    names = {name: f"symconv_{key}_{name}" for name, _ in rows}
    if key in _REGISTERED:
        return names
    texts = {
        f"{NAME}_xla.c": fill("c/xla.c.j2", name=NAME, handlers=rows),
        f"{NAME}.c": source,
        f"{NAME}.h": header,
    }
    flags = [*module.FLAGS, f"-D{NAME.upper()}_REAL={real}", f"-I{jax.ffi.include_dir()}"]
    try:
        library = ctypes.CDLL(str(module._compiled(f"{NAME}_xla", texts, flags)))
    except OSError as error:
        raise SymconvError(f"target = 'c': {error}") from error
    for name, target in names.items():
        handler = getattr(library, f"{NAME}_{name}_handler")
        jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(handler), platform="cpu")
    _REGISTERED[key] = library
    return names


_REGISTERED: dict[str, ctypes.CDLL] = {}
