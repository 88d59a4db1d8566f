"""From a plan to the text of a module."""

from __future__ import annotations

import re
import shlex
import textwrap

from symconv.layers.layer import Layer
from symconv.layers.spelling import shell_options
from symconv.notation.graph import Graph, folded
from symconv.notation.step_text import step_text
from symconv.plan.layer import Array, Function, Plan
from symconv.prove.covers import rests_on
from symconv.render.environment import fill
from symconv.render.explain import choice_text
from symconv.render.expressions import ERFC
from symconv.render.literal import literal
from symconv.render.stages import render_constants, render_stage
from symconv.render.syntax import shape

WIDTH = 96
JOINER = "\0"  # stands for a space at which a formula is not folded


def render_module(plan: Plan, name: str, version: str) -> str:
    """Return the source of a standalone module: the same text for the same plan, always."""
    functions = [plan.forward, *plan.gradients]
    constants = [render_constants(s).rstrip("\n") for f in functions for s in f.stages]
    rendered = [_function(function, plan.layer) for function in functions]
    code = "\n".join(str(function["body"]) for function in rendered)
    helpers = [
        fill(f"numpy/{helper}.py.j2", numbers=ERFC).rstrip("\n")
        for helper in ("scratch", "zeros", "erf", "erfc")
        if f"_{helper}(" in code or (helper == "erfc" and "_erf(" in code)
    ]
    return fill(
        "numpy/module.py.j2",
        version=version,
        command=shlex.join(["symconv", "generate", *shell_options(plan.layer), "--name", name]),
        title=f"{name}: {_title(plan.layer)}.",
        summary=[*_formulas(folded(plan.layer.graph)), *_theorems(plan.layer)],
        imports=_imports(code, helpers),
        dtype=f"np.{plan.layer.dtype}",
        layer=[(key, literal(value)) for key, value in plan.layer.as_dict().items()],
        constants=list({_code(text): text for text in reversed(constants) if text}.values())[::-1],
        functions=rendered,
        backward=_backward(plan),
        helpers=helpers,
    )


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


def _function(function: Function, layer: Layer) -> dict[str, object]:
    names = [array.name for array in function.inputs]
    body = "".join(render_stage(stage, function.name, function.result.name) for stage in function.stages)
    choice = textwrap.wrap(choice_text(function), WIDTH - 4)
    return {
        "name": function.name,
        "summary": _summary(function, layer),
        "notes": textwrap.indent("\n".join([*_formulas(function.formula), "", *choice]), "    "),
        "signature": _signature(
            function.name, [*_annotated(names), "*", "out: Array | None = None"], "Array"
        ),
        "inputs": ", ".join(names),
        "checks": [(array.name, shape(array.shape)) for array in function.inputs],
        "result": function.result.name,
        "result_shape": shape(function.result.shape),
        "body": textwrap.indent(body, "    ").rstrip("\n"),
    }


def _summary(function: Function, layer: Layer) -> str:
    if not function.by:
        return "Return O, the layer's output."
    gradient, by = function.formula.output.name, layer.words[function.by]
    return f"Return {gradient}, the gradient by {by}, where grad_output = ∂E/∂O = G."


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


def _backward(plan: Plan) -> dict[str, object]:
    output = Array("grad_output", plan.layer.output_shape)
    inputs = [output, *plan.forward.inputs]
    names = [array.name for array in inputs]
    results = [function.result.name for function in plan.gradients]
    gradients = [
        {
            "function": function.name,
            "inputs": ", ".join(array.name for array in function.inputs),
            "result": function.result.name,
            "out": f"outs[{number}]",
            "shape": shape(function.result.shape),
            "apart": ", ".join(names + results[:number]),
        }
        for number, function in enumerate(plan.gradients)
    ]
    return {
        "signature": _signature(
            "backward",
            [*_annotated(names), "*", "out: tuple[Array, ...] | None = None"],
            "tuple[Array, ...]",
        ),
        "listed": shape(results),
        "by": ", ".join(names[1:]),
        "nones": shape(["None"] * len(results)),
        "count": len(results),
        "checks": [(array.name, shape(array.shape)) for array in inputs],
        "gradients": gradients,
        "returned": ", ".join(results) if len(results) > 1 else f"({results[0]},)",
    }
