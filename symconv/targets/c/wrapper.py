"""The Python module beside a C file: the functions of the NumPy module, which call those in C."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from symconv.kernel.language import Buffer, Kernel
from symconv.layers.layer import Layer
from symconv.lower.assembly import GIVEN, ONE, PARAMETERS, RESULTS
from symconv.lower.layer_plan import Function, Plan
from symconv.lower.network_plan import NetworkPlan
from symconv.targets.c.file import Files
from symconv.targets.c.network_calls import LETTERS
from symconv.targets.numpy.functions import Written, function_text, render_backward, render_mask
from symconv.targets.numpy.lines import INDENT, in_lines
from symconv.targets.numpy.module import HELPERS, accuracy, command, layer_text
from symconv.targets.numpy.network_functions import network_functions
from symconv.targets.numpy.network_module import network_declarations, network_text
from symconv.templating import fill

MOST = 24  # arrays that are passed without ctypes
COMMON = {name: f"c/{name}.py.j2" for name in ("workspace", "library", "caller", "checked")}
NAMES = ("named", "result", "labels", "finite", "normal")
OTHERS = {name: HELPERS[name] for name in NAMES}
TEMPLATES = {"call": "c/call.py.j2", **COMMON, **OTHERS}
NETWORK_TEMPLATES = {"call": "c/call_network.py.j2", **OTHERS, **COMMON}
IMPORTS = (
    "import ctypes",
    "import functools",
    "import hashlib",
    "import os",
    "import shlex",
    "import shutil",
    "import subprocess",
    "import tempfile",
    "from pathlib import Path",
)
CALLER_IMPORTS = (
    "import importlib.machinery",
    "import importlib.util",
    "import sysconfig",
)
FLAGS = ("-std=c99", "-O2", "-ftree-vectorize", "-march=native", "-ffp-contract=fast")


def wrapper_text(plan: Plan | NetworkPlan, name: str, version: str, files: Files) -> str:
    """Return the source of the module that calls the functions of files in C."""
    flags = "".join(f'"{flag}", ' for flag in FLAGS).rstrip(", ")
    declarations = [
        f'NAME = "{name}"  # of the C file beside this one, and what its functions begin with',
        f"WORKSPACE = {files.workspace}  # numbers",
        "# of the compiler; those in the environment's CFLAGS come after them",
        f"FLAGS = ({flags})",
        'REALS = {"float32": "float", "float64": "double", "int64": "unsigned long long"}',
        'TARGET = "c"',
    ]
    more: dict[str, Any] = {"version": version, "command": command(plan, name, "c")}
    if isinstance(plan, NetworkPlan):
        texts = network_functions(plan, lambda kernel: _network_lines(kernel, name))
        written = [Written((), text.rstrip("\n")) for text in texts]
        more |= {"templates": NETWORK_TEMPLATES, "imports": IMPORTS}
        whole = [*network_declarations(plan), *declarations]
        return network_text(plan, name, written, declarations=whole, **more)
    written = [
        Written((), function_text(f, plan.layer, _body(f, plan, files, name))) for f in plan.functions
    ]
    if plan.backward is None:
        written.insert(1 + len(plan.gradients), Written((), _backward(plan, files, name)))
    written += render_mask(plan)
    more |= {"templates": TEMPLATES, "imports": (*IMPORTS, *CALLER_IMPORTS)}
    more["holes"] = {"glue": _glue(), "most": MOST}
    functions = "_FUNCTIONS: dict[Any, tuple[int, Callable[..., None]]] = {}  # by name and DTYPE"
    whole = [*accuracy(plan), *declarations, functions]
    return layer_text(plan, name, written, declarations=whole, **more)


def _glue() -> str:
    """Write the C that calls a function on Python's arrays, by how many it takes."""
    calls = [
        (n, ", ".join(["at"] * n), ", ".join(f"a[{k}]" for k in range(n))) for n in range(1, MOST + 1)
    ]
    return fill("c/glue.c.j2", most=MOST, calls=calls).rstrip("\n")


def _body(function: Function, plan: Plan, files: Files, name: str) -> str:
    """Write the call of a layer's function."""
    arrays = [array.name for array in (*function.inputs, *function.results)]
    return INDENT + _call(f"{name}_{function.name}", arrays, plan.layer, files)


def _call(name: str, arrays: Iterable[str], layer: Layer, files: Files) -> str:
    """Write a call; labels become numbers of the dtype at hand."""
    given = [f'{a}.astype(DTYPE, "C")' if a in layer.classes else a for a in arrays]
    given += ["_workspace()"] if name in files.needy else []
    return f"\n{INDENT}".join(in_lines(f'_call("{name}", {", ".join(given)})', 1))


def _backward(plan: Plan, files: Files, name: str) -> str:
    """Write the function of all gradients."""
    inputs = ["grad_output", *(array.name for array in plan.forward.inputs)]
    results = [function.results[0].name for function in plan.gradients]
    return render_backward(plan, [_call(f"{name}_backward", [*inputs, *results], plan.layer, files)], ())


def _network_lines(kernel: Kernel, name: str) -> list[str]:
    """Write the call of a network's function."""
    given = sorted(kernel.inputs, key=lambda b: not b.tensor.name.startswith(PARAMETERS))
    names = dict.fromkeys(_argument(buffer) for buffer in (*given, *kernel.outputs))
    return in_lines(f'_call("{name}_{kernel.name}", {", ".join(n for n in names if n)})', 1)


def _argument(buffer: Buffer) -> str:
    """Return what an array is called in Python: a dict for those that have names in it."""
    kind, slash, own = buffer.tensor.name.partition("/")
    if buffer.tensor.name == ONE:
        return ""
    if kind + slash in (GIVEN, RESULTS):
        return own
    return LETTERS[kind + slash] if slash else kind
