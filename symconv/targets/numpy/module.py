"""From a plan to the text of a module."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from symconv.kernel.share import shared
from symconv.layers.layer import Layer
from symconv.layers.spelling import shell_options
from symconv.lower.layer_plan import Function, Plan
from symconv.lower.network_plan import NetworkPlan
from symconv.lower.tiles import Filtered
from symconv.notation.text import shape_text
from symconv.prove.covers import rests_on
from symconv.targets.numpy.expressions import ERFC
from symconv.targets.numpy.functions import (
    Written,
    constant_names,
    formulas,
    gradient_calls,
    renamed,
    render_backward,
    render_function,
    render_mask,
    render_shared,
    without_comments,
)
from symconv.targets.numpy.literal import literal, literal_lines
from symconv.targets.numpy.syntax import WIDTH
from symconv.templating import fill

NAMES = ("named", "samples", "checked", "result", "scratch", "strided", "labels", "finite", "normal")
HELPERS = {name: f"numpy/{name}.py.j2" for name in (*NAMES, "erf", "erfc")}


def render_layer(plan: Plan, name: str, version: str) -> str:
    """Return the source of a layer's module: the same text for the same plan, always."""
    layer = plan.layer
    kernels = shared([f.kernel for f in plan.functions])
    names = {k: f"_correlate{f'_{n}' if n > 1 else ''}" for n, k in enumerate(kernels, 1)}
    written = [render_function(f, layer, names) for f in plan.functions]
    if plan.backward is None:
        at = 1 + len(plan.gradients)
        taken = {array for function in plan.gradients for array in function.inputs}
        written.insert(at, Written((), render_backward(plan, gradient_calls(plan), taken)))
    written += render_mask(plan)
    written += [render_shared(kernel, name) for kernel, name in names.items()]
    return layer_text(plan, name, written, version=version, command=command(plan, name))


def layer_text(plan: Plan, name: str, written: Sequence[Written], **more: Any) -> str:
    """Return the text of a layer's module around its functions."""
    layer = plan.layer
    return module_text(
        written,
        title=layer_title(plan, name),
        summary=layer_summary(plan),
        dtype=layer.dtype,
        layer=[
            line
            for key, value in layer.as_dict().items()
            for line in literal_lines(value, 4, f"{literal(key)}: ")
        ],
        **{"declarations": accuracy(plan), **more},
    )


def layer_title(plan: Plan, name: str) -> str:
    """Return a module's first line: the layer's kind and shapes."""
    return f"{name}: {_title(plan.layer)}."


def layer_summary(plan: Plan, checks: str = "Other shapes and dtypes are refused.") -> list[str]:
    """Return what a module says of its layer: formulas, what their symbols are, theorems.

    ``checks`` says what happens to other arguments.
    """
    layer = plan.layer
    return [
        *_all_formulas(plan),
        *textwrap.wrap(layer.remark, WIDTH),
        "",
        *textwrap.wrap(f"{_legend(layer)} {checks}", WIDTH),
        *theorems(layer),
        *tiled(plan.functions),
    ]


def _legend(layer: Layer) -> str:
    """Say what the formulas' symbols are in the code."""
    names = [f"{layer.symbols[name]} is {name}" for name in layer.inputs if name in layer.symbols]
    of = ", ".join([*names, "O is y, G = ∂E/∂O is grad_output"])
    if layer.any_batch:
        return f"{of}. N, the number of samples, may be any."
    return f"{of}."


def _all_formulas(plan: Plan) -> list[str]:
    """Write what all functions compute, each formula once."""
    found = _joined(formulas(plan.definition))
    found += [text for f in plan.functions for text in _joined(formulas(f.formula))]
    return [line for text in dict.fromkeys(found) for line in text]


def _joined(lines: Sequence[str]) -> list[tuple[str, ...]]:
    """Return formulas, each with the lines that it is folded into."""
    found: list[tuple[str, ...]] = []
    for line in lines:
        if line.startswith(" ") and found:
            found[-1] = (*found[-1], line)
        else:
            found.append((line,))
    return found


def module_text(
    functions: Sequence[Written],
    *,
    version: str,
    command: str,
    title: str,
    summary: list[str],
    dtype: str,
    layer: list[str],
    declarations: list[str],
    templates: Mapping[str, str] = HELPERS,
    imports: Sequence[str] = (),
    holes: Mapping[str, object] = MappingProxyType({}),
) -> str:
    """Return a module's text: what it says of itself, constants, functions, helpers.

    ``templates`` are those of the helpers, with ``holes``; ``imports`` is what these need besides.
    """
    constants, texts = _with_constants(functions)
    helpers = _helpers("\n".join(texts), templates, {"numbers": ERFC, **holes})
    return fill(
        "numpy/module.py.j2",
        version=version,
        command=command,
        title=title,
        summary=summary,
        imports=sorted([*_imports("\n".join(texts), helpers), *imports], key=_import_order),
        dtype=f"np.{dtype}",
        layer=layer,
        declarations=declarations,
        constants=constants,
        functions=texts,
        helpers=helpers,
    )


def _with_constants(functions: Iterable[Written]) -> tuple[list[str], list[str]]:
    """Return constants and functions: equal constants are one, others of the same name get a number."""
    known: dict[str, dict[str, str]] = {}  # new names of each constant's own names
    taken: set[str] = set()
    constants, texts = [], []
    for function in functions:
        text = function.text
        for constant in function.constants:
            key = function.prefix + without_comments(constant)
            if key not in known:
                known[key] = {}
                for name in constant_names(constant):
                    numbers = ("", *(f"_{number}" for number in range(2, 100)))
                    free = (f"{function.prefix}{name}{n}" for n in numbers)
                    known[key][name] = next(new for new in free if new not in taken)
                taken |= set(known[key].values())
                constants.append(renamed(constant, known[key]))
            text = renamed(text, known[key])
        texts.append(text.rstrip("\n"))
    return constants, texts


def command(plan: Plan | NetworkPlan, name: str, target: str = "numpy") -> str:
    """Return the command that regenerates a module."""
    options = ["--order", "2"] if plan.order == 2 else []
    options += ["--accuracy", "fast"] if plan.accuracy == "fast" else []
    options += ["--machine", "machine.json"] if plan.calibrated else []
    if isinstance(plan, Plan) and plan.tuned:
        options += ["--tuning", f"{name}.tuning.json"]
    options += ["--target", target] if target != "numpy" else []
    return shlex.join(["symconv", "generate", *shell_options(plan.layer), *options, "--name", name])


def accuracy(plan: Plan | NetworkPlan) -> list[str]:
    """Declare that a module may round more than plain sums do."""
    return ['ACCURACY = "fast"  # rounds more than plain sums do'] if plan.accuracy == "fast" else []


def _helpers(code: str, templates: Mapping[str, str], holes: Mapping[str, object]) -> list[str]:
    """Return the functions that code calls, or that these call."""
    found: dict[str, str] = {}
    for helper, template in templates.items():
        called = "\n".join([code, *found.values()])
        if _calls(called, f"_{helper}") or (helper == "erfc" and _calls(called, "_erf")):
            found[helper] = fill(template, **holes).rstrip("\n")
    return list(found.values())


def _imports(code: str, helpers: list[str]) -> list[str]:
    kinds = [kind for kind in ("Callable", "Sequence") if f"{kind}[" in "".join(helpers)]
    return [
        *(["import math"] if any(re.search(r"(?<![\w.])math\.", text) for text in helpers) else []),
        "import threading",
        *([f"from collections.abc import {', '.join(kinds)}"] if kinds else []),
        *(["from itertools import product"] if _calls(code, "product") else []),
        "from typing import Any",
    ]


def _import_order(line: str) -> tuple[bool, str]:
    """Put whole modules before parts of them, each by name."""
    return line.startswith("from"), line


def _calls(code: str, function: str) -> bool:
    """Whether code calls a function of this whole name."""
    return re.search(rf"(?<![\w.]){function}\(", code) is not None


def _title(layer: Layer) -> str:
    others = {*layer.parameters, *layer.statistic_names}
    data = [shape for name, shape in layer.inputs.items() if name not in others]
    given = " and ".join(map(shape_text, data))
    return f"{type(layer).__name__} from {given} to {shape_text(layer.output_shape)} ({layer.dtype})"


def tiled(functions: Iterable[Function]) -> list[str]:
    """Name the theorems that Winograd's algorithms rest on, if there are any."""
    if not any(isinstance(a, Filtered) for function in functions for a in function.fast):
        return []
    return ["Winograd's algorithms rest on T5 (tiles) and T8 (their identities), too."]


def theorems(layer: Layer) -> list[str]:
    """Name the theorems that the formulas rest on."""
    results = [f"{result} on {' and '.join(names)}" for result, names in rests_on(layer).items()]
    text = f"Theorems for every size that it rests on, as `symconv prove` shows: {', '.join(results)}."
    return textwrap.wrap(text, WIDTH) if results else []
