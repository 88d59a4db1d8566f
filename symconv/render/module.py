"""From a plan to the text of a module."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Sequence
from typing import get_args

from symconv.layers.layer import Layer
from symconv.layers.spelling import shell_options
from symconv.notation.graph import Graph, folded
from symconv.notation.step_text import step_text
from symconv.plan.algorithms import Algorithm
from symconv.plan.layer import Array, Function, Plan
from symconv.prove.covers import rests_on
from symconv.render.environment import fill
from symconv.render.explain import choice_text
from symconv.render.expressions import ERFC
from symconv.render.literal import literal
from symconv.render.stages import render_constants, render_stage
from symconv.render.syntax import JOINER, WIDTH, shape


def render_module(plan: Plan, name: str, version: str) -> str:
    """Return the source of a standalone module: the same text for the same plan, always."""
    constants = [render_constants(s).rstrip("\n") for f in plan.functions for s in f.stages]
    first = [render_function(function, plan.layer) for function in (plan.forward, *plan.gradients)]
    together = render_function(plan.backward, plan.layer) if plan.backward else _backward(plan)
    functions = [*first, together, *(render_function(function, plan.layer) for function in plan.second)]
    code = "\n".join(functions)
    helpers = _helpers(code)
    return fill(
        "numpy/module.py.j2",
        version=version,
        command=shlex.join(_command(plan, name)),
        title=f"{name}: {_title(plan.layer)}.",
        summary=[*_formulas(folded(plan.layer.graph)), *_theorems(plan.layer)],
        imports=_imports(code, helpers),
        dtype=f"np.{plan.layer.dtype}",
        layer=[(key, literal(value)) for key, value in plan.layer.as_dict().items()],
        constants=list({_code(text): text for text in reversed(constants) if text}.values())[::-1],
        functions=[function.rstrip("\n") for function in functions],
        helpers=helpers,
    )


def _command(plan: Plan, name: str) -> list[str]:
    """Return the words of the command that regenerates a module."""
    order = ["--order", "2"] if plan.order == 2 else []
    return ["symconv", "generate", *shell_options(plan.layer), *order, "--name", name]


def _helpers(code: str) -> list[str]:
    """Return the functions that code calls."""
    return [
        fill(f"numpy/{helper}.py.j2", numbers=ERFC).rstrip("\n")
        for helper in ("scratch", "zeros", "strided", "labels", "erf", "erfc")
        if f"_{helper}(" in code or (helper == "erfc" and "_erf(" in code)
    ]


def _code(text: str) -> str:
    """Return a constant without its comment: two sweeps may read the same table."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


def _title(layer: Layer) -> str:
    data = [shape for name, shape in layer.inputs.items() if name not in layer.parameters]
    given, returned = (
        " and ".join(" × ".join(map(str, shape)) for shape in shapes)
        for shapes in (data, [layer.output_shape])
    )
    return f"{type(layer).__name__} from {given} to {returned} ({layer.dtype})"


def _theorems(layer: Layer) -> list[str]:
    """Name the theorems that the formulas rest on."""
    results = [f"{result} on {' and '.join(names)}" for result, names in rests_on(layer).items()]
    text = f"Theorems for every size that it rests on, as `symconv prove` shows: {', '.join(results)}."
    return ["", *textwrap.wrap(text, WIDTH)] if results else []


def _imports(code: str, helpers: list[str]) -> list[str]:
    return [
        *(["import math"] if any("math." in helper for helper in helpers) else []),
        "import threading",
        *(["from itertools import product"] if "product(" in code else []),
        "from typing import Any",
    ]


def _formulas(graph: Graph) -> list[str]:
    """Write the formulas of a function, too long ones folded."""
    lines = []
    for step in graph.steps:
        for line in step_text(step).splitlines():
            whole = re.sub(r"\[[^\]]*\]", lambda found: found[0].replace(" ", JOINER), line)
            folded = textwrap.wrap(
                whole, WIDTH - 4, subsequent_indent="        ", break_on_hyphens=False
            )
            lines += [part.replace(JOINER, " ") for part in folded]
    return lines


def render_function(function: Function, layer: Layer) -> str:
    """Return a function's text."""
    names = [array.name for array in function.inputs]
    called = [result.name for result in function.results]
    body = "".join(
        render_stage(stage, label, called)
        for stage, label in zip(function.stages, _labels(function), strict=True)
    )
    choice = textwrap.wrap(choice_text(function), WIDTH - 4)
    meaning = textwrap.wrap(_meaning(function), WIDTH - 4)
    common = {
        "summary": _summary(function, layer),
        "notes": textwrap.indent(
            "\n".join([*meaning, *_formulas(function.formula), "", *choice]), "    "
        ),
        "checks": [(array.name, _check(array, layer)) for array in function.inputs],
        "body": textwrap.indent(body, "    ").rstrip("\n"),
    }
    if len(called) > 1:
        return fill(
            "numpy/functions.py.j2", **common, **_several(function.name, names, function.results)
        )
    (result,) = function.results
    return fill(
        "numpy/function.py.j2",
        **common,
        signature=_signature(
            function.name, [*_annotated(names), "*", "out: Array | None = None"], "Array"
        ),
        inputs=", ".join(names),
        result=result.name,
        shape=shape(result.shape),
    )


def _labels(function: Function) -> list[str]:
    """Return a name for each stage's own zeros: the function's, with a number from the second on."""
    labels = []
    count = 0
    for stage in function.stages:
        count += isinstance(stage, get_args(Algorithm))
        labels.append(f"{function.name} {count}" if count > 1 else function.name)
    return labels


def _several(name: str, inputs: list[str], results: Sequence[Array]) -> dict[str, object]:
    """Return the head and the end of a function with several results."""
    names = [result.name for result in results]
    outs = "out: tuple[Array, ...] | None = None"
    return {
        "signature": _signature(name, [*_annotated(inputs), "*", outs], "tuple[Array, ...]"),
        "nones": shape(["None"] * len(results)),
        "count": len(results),
        "arrays": "1 array" if len(results) == 1 else f"{len(results)} arrays",
        "results": [
            {
                "name": result.name,
                "out": f"outs[{number}]",
                "shape": shape(result.shape),
                "apart": ", ".join(inputs + names[:number]),
            }
            for number, result in enumerate(results)
        ],
        "returned": ", ".join(names) if len(names) > 1 else f"({names[0]},)",
    }


def _check(array: Array, layer: Layer) -> str:
    """Write the call that checks an input."""
    if array.name in layer.classes:
        return (
            f'_labels("{array.name}", {array.name}, {shape(array.shape)}, {layer.classes[array.name]})'
        )
    return f'_checked("{array.name}", {array.name}, {shape(array.shape)})'


def _summary(function: Function, layer: Layer) -> str:
    """Say what a function returns."""
    if function.name == "jvp":
        return "Return dO, the output's change to first order."
    if function.name == "double_backward":
        return f"Return {shape(result.name for result in function.results)}, gradients of second order."
    if not function.by:
        *parts, last = ["O, the layer's output", *(layer.words[name] for name in layer.updates)]
        return f"Return {', '.join(parts) + ' and ' if parts else ''}{last}."
    if len(function.by) > 1:
        return f"Return {_gradients_of(function.results, function.by)}, where grad_output = ∂E/∂O = G."
    gradient, by = function.formula.output.name, layer.words[function.by[0]]
    return f"Return {gradient}, the gradient by {by}, where grad_output = ∂E/∂O = G."


def _meaning(function: Function) -> str:
    """Say what a function of second order takes and returns."""
    names = [array.name for array in function.inputs]
    if function.name == "jvp":
        changes = ", ".join(name for name in names if f"t{name}" not in names and name[0] == "t")
        return f"The inputs change by {changes}: a Jacobian-vector product."
    if function.name == "double_backward":
        given = shape(names[: names.index("grad_output")])
        return (
            f"They are the gradients by {', '.join(function.by)} of E = ⟨G, dO⟩, which is the inner "
            f"product of backward's results with {given}; dO is the output's change when the inputs "
            "change by these."
        )
    return ""


def _gradients_of(results: Sequence[Array], by: Sequence[str]) -> str:
    return f"{shape(result.name for result in results)}, the gradients by {', '.join(by)}"


def _annotated(names: list[str]) -> list[str]:
    return [f"{name}: Array" for name in names]


def _signature(name: str, parameters: list[str], returned: str) -> str:
    """Write a function's head on one line, or, where that is too long, its parameters on one."""
    line = f"def {name}({', '.join(parameters)}) -> {returned}:"
    if len(line) <= WIDTH:
        return line
    folded = ", ".join(parameters)
    if len(folded) + 4 > WIDTH:
        folded = ",\n    ".join(parameters) + ","
    return f"def {name}(\n    {folded}\n) -> {returned}:"


def _backward(plan: Plan) -> str:
    """Write the function that returns all gradients, which share nothing: one after the other."""
    inputs = [Array("grad_output", plan.layer.output_shape), *plan.forward.inputs]
    results = [function.results[0] for function in plan.gradients]
    by = [name for function in plan.gradients for name in function.by]
    calls = [
        f"{function.name}({', '.join(array.name for array in function.inputs)}, out={result.name})"
        for function, result in zip(plan.gradients, results, strict=True)
    ]
    return fill(
        "numpy/backward.py.j2",
        **_several("backward", [array.name for array in inputs], results),
        summary=f"Return {_gradients_of(results, by)}, where grad_output = ∂E/∂O.",
        checks=[_check(array, plan.layer) for array in inputs],
        calls=calls,
    )
