"""The Python module beside a C file: the functions of the NumPy module, which call those in C."""

from __future__ import annotations

from collections.abc import Iterable

from symconv.kernel.language import Buffer, Kernel
from symconv.lower.assembly import GIVEN, PARAMETERS, RESULTS
from symconv.lower.layer_plan import Function, Plan
from symconv.lower.network_plan import NetworkPlan
from symconv.targets.c.network_calls import LETTERS, ONE
from symconv.targets.numpy.functions import Written, function_text, render_backward, render_mask
from symconv.targets.numpy.lines import INDENT, in_lines
from symconv.targets.numpy.module import HELPERS, accuracy, command, layer_text
from symconv.targets.numpy.network_functions import network_functions
from symconv.targets.numpy.network_module import network_declarations, network_text

TEMPLATES = {"call": "c/call.py.j2", "library": "c/library.py.j2", **HELPERS}
IMPORTS = (
    "import ctypes",
    "import functools",
    "import hashlib",
    "import os",
    "import shutil",
    "import subprocess",
    "import tempfile",
    "from pathlib import Path",
)
FLAGS = ("-std=c99", "-O2", "-ftree-vectorize", "-march=native", "-ffp-contract=fast")


def wrapper_text(plan: Plan | NetworkPlan, name: str, version: str, workspace: int) -> str:
    """Return the source of the module; ``workspace`` is how many numbers the functions need."""
    flags = "".join(f'"{flag}", ' for flag in FLAGS).rstrip(", ")
    declarations = [
        f'NAME = "{name}"  # of the C file beside this one, and what its functions begin with',
        f"WORKSPACE = {workspace}  # numbers",
        f"FLAGS = ({flags})  # those in CFLAGS come after them",
        'REALS = {"float32": "float", "float64": "double", "int64": "unsigned long long"}',
        'TARGET = "c"',
    ]
    more = {
        "version": version,
        "command": command(plan, name, "c"),
        "templates": TEMPLATES,
        "imports": IMPORTS,
    }
    if isinstance(plan, NetworkPlan):
        texts = network_functions(plan, _network_lines)
        written = [Written((), text.rstrip("\n")) for text in texts]
        whole = [*network_declarations(plan), *declarations]
        return network_text(plan, name, written, declarations=whole, **more)
    written = [Written((), function_text(f, plan.layer, _body(f))) for f in plan.functions]
    if plan.backward is None:
        written.insert(1 + len(plan.gradients), Written((), _backward(plan)))
    written += render_mask(plan)
    whole = [*accuracy(plan), *declarations]
    return layer_text(plan, name, written, declarations=whole, **more)


def _body(function: Function) -> str:
    """Write the call of a layer's function."""
    arrays = (*function.inputs, *function.results)
    return INDENT + _call(function.name, [array.name for array in arrays])


def _call(name: str, arrays: Iterable[str]) -> str:
    return f"\n{INDENT}".join(in_lines(f'_call("{name}", {", ".join(arrays)})', 1))


def _backward(plan: Plan) -> str:
    """Write the function of all gradients."""
    inputs = ["grad_output", *(array.name for array in plan.forward.inputs)]
    results = [function.results[0].name for function in plan.gradients]
    return render_backward(plan, [_call("backward", [*inputs, *results])], ())


def _network_lines(kernel: Kernel) -> list[str]:
    """Write the call of a network's function."""
    given = sorted(kernel.inputs, key=lambda b: not b.tensor.name.startswith(PARAMETERS))
    names = dict.fromkeys(_argument(buffer) for buffer in (*given, *kernel.outputs))
    return in_lines(f'_call("{kernel.name}", {", ".join(n for n in names if n)})', 1)


def _argument(buffer: Buffer) -> str:
    """Return what an array is called in Python: a dict for those that have names in it."""
    kind, slash, own = buffer.tensor.name.partition("/")
    if buffer.tensor.name == ONE:
        return ""
    if kind + slash in (GIVEN, RESULTS):
        return own
    return LETTERS[kind + slash] if slash else kind
