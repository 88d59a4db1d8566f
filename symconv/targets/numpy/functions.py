"""Functions of a module: signature, docstring, checks, and the code of each stage."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from symconv.errors import SymconvError
from symconv.kernel.language import Kernel
from symconv.layers.layer import Layer
from symconv.lower.any_batch import LETTER
from symconv.lower.layer_plan import Array, Function, Plan
from symconv.lower.network_plan import NetworkPlan
from symconv.notation.contraction import index
from symconv.notation.graph import Graph
from symconv.notation.step_text import step_text
from symconv.targets.numpy.choice import choice_text, rounding_text
from symconv.targets.numpy.code import Constant
from symconv.targets.numpy.lines import LONGEST, in_lines
from symconv.targets.numpy.syntax import JOINER, WIDTH, shape, tuple_text
from symconv.targets.numpy.writer import written
from symconv.templating import fill


def formulas(graph: Graph) -> list[str]:
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


@dataclass(frozen=True)
class Written:
    """A function's text, and the constants that it reads, whose names begin with ``prefix``."""

    constants: tuple[str, ...]
    text: str
    prefix: str = ""


def formulas_by_function(plan: Plan | NetworkPlan) -> dict[str, tuple[str, ...]]:
    """Return the formulas of each public function of a layer's module, by the function's name."""
    if isinstance(plan, NetworkPlan):
        return {}
    found = {f.name: tuple(step_text(step) for step in f.formula.steps) for f in plan.functions}
    every = tuple(formula for f in plan.gradients for formula in found[f.name])
    return {"backward": every} | found


def render_function(function: Function, layer: Layer, shared: Mapping[Kernel, str]) -> Written:
    """Write a function that users call."""
    body, constants = _body(function.kernel, function.name, shared)
    return Written(constants, function_text(function, layer, body))


def function_text(function: Function, layer: Layer, body: str) -> str:
    """Write a function that users call around what it does."""
    names = [array.name for array in function.inputs]
    common = {
        "summary": _summary(function, layer),
        "notes": _notes(function, layer, _given(function)),
        "checks": [(array.name, check_of(array, layer)) for array in function.inputs],
        "body": body,
    }
    if len(function.results) > 1:
        head = several(function.name, layer.fewest, function.inputs, function.results)
        return fill("numpy/functions.py.j2", **common, **head).rstrip("\n")
    (result,) = function.results
    text = fill(
        "numpy/function.py.j2",
        **common,
        signature=signature(
            function.name, [*annotated(names), "*", "out: Array | None = None"], "Array"
        ),
        result=result.name,
        placed=[*counted(function.inputs, layer.fewest), *_placed(result, "out", names)],
    )
    return text.rstrip("\n")


def render_private(function: Function, layer: Layer, name: str, title: str, prefix: str) -> Written:
    """Write a function of a network's layer: of arrays that are checked, into arrays."""
    names = [array.name for array in (*function.inputs, *function.results)]
    *parts, last = [result.name for result in function.results]
    results = f"{', '.join(parts)} and {last}" if parts else last
    body, constants = _body(function.kernel, name, {}, private=True)
    text = fill(
        "numpy/layer_function.py.j2",
        signature=signature(name, annotated(names), "None"),
        summary=f"{title}: {what(function, layer).partition(', where')[0]}, into {results}.",
        notes="\n".join([*_indented(formulas(function.formula)), "", _notes(function, layer)]),
        body=body,
    )
    return Written(constants, text.rstrip("\n"), prefix)


def _notes(function: Function, layer: Layer, given: str = "") -> str:
    """Write what a function's docstring says behind its first line: shapes, algorithm, rounding."""
    first = f"{given} {choice_text(function)}".strip()
    texts = [_meaning(function), first, rounding_text(function, layer.dtype)]
    return "\n".join(_indented([x for text in texts for x in textwrap.wrap(text, WIDTH - 4)]))


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def render_shared(kernel: Kernel, name: str) -> Written:
    """Write a function that others call, on views of their arrays."""
    body, constants = _body(kernel, name, {}, given_views=True, private=True)
    names = [buffer.tensor.name for buffer in (*kernel.inputs, *kernel.outputs)]
    *given, result = names
    text = fill(
        "numpy/shared_function.py.j2",
        signature=signature(name, annotated(names), "None"),
        summary=f"Correlate {' with '.join(given)}, into {result}.",
        body=body,
    )
    return Written(constants, text.rstrip("\n"))


def _body(
    kernel: Kernel,
    label: str,
    shared: Mapping[Kernel, str],
    given_views: bool = False,
    private: bool = False,
) -> tuple[str, tuple[str, ...]]:
    """Write what a function does, and the constants that it reads."""
    lines, constants = written(kernel, label, shared, given_views)
    if private and any(re.search(rf"\b{LETTER}\b", line) for line in lines):
        arrays = [b.tensor for b in (*kernel.inputs, *kernel.outputs) if index(LETTER) in b.tensor.shape]
        if not arrays:
            raise SymconvError(f"{label}: no array's shape tells the number of samples")
        axis = arrays[0].shape.index(index(LETTER))
        count = f"{arrays[0].name}.shape[{axis}]" if axis else f"len({arrays[0].name})"
        lines.insert(0, f"{LETTER} = {count}")
    return "\n".join(f"    {line}" for line in lines), tuple(map(_constant_text, constants))


def _constant_text(constant: Constant) -> str:
    """Write a constant, after a comment that says what it is."""
    comment = [f"# {line}" for line in textwrap.wrap(constant.note, WIDTH)]
    rows = constant.rows
    if isinstance(rows, tuple):  # that a loop goes through
        if rows and len(rows[0]) == 1:
            body = [f"{constant.name} = {shape(row[0] for row in rows)}"]
        else:
            body = [f"{constant.name} = (", *(f"    {shape(row)}," for row in rows), ")"]
    else:
        body = _array_text(constant.name, rows)
    return "\n".join([*comment, *body])


def _array_text(name: str, rows: object) -> list[str]:
    """Write an array, a row on each line."""
    assert isinstance(rows, list)
    if not isinstance(rows[0], list):
        return [f"{name} = np.array([{', '.join(map(_entry, rows))}])"]
    inside = [f"        [{', '.join(map(_entry, row))}]," for row in rows]
    return [f"{name} = np.array(", "    [", *inside, "    ]", ")"]


def _entry(number: object) -> str:
    if isinstance(number, list):
        return f"[{', '.join(map(_entry, number))}]"
    assert isinstance(number, int | Fraction)
    return str(number) if Fraction(number).denominator == 1 else repr(float(number))


def constant_names(text: str) -> list[str]:
    """Return the names that constants give."""
    return re.findall(r"^(_[A-Z_0-9]+) = ", text, re.MULTILINE)


def renamed(text: str, names: Mapping[str, str]) -> str:
    """Replace whole names."""
    for old, new in names.items():
        text = re.sub(rf"(?<!\w){old}(?!\w)", new, text)
    return text


def without_comments(text: str) -> str:
    """Return a constant without its comment: two sweeps may read the same table."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


def _placed(result: Array, out: str, apart: Sequence[str]) -> list[str]:
    """Write where a result goes: into ``out``, which must not overlap what it is kept apart from."""
    return in_lines(f"{result.name} = _result({', '.join([out, tuple_text(result.shape), *apart])})", 1)


def several(
    name: str,
    least: int,
    given: Sequence[Array],
    results: Sequence[Array],
    before: Sequence[str] = (),
    apart: Sequence[str] = (),
) -> dict[str, object]:
    """Return the head and the end of a function with several results, of at least so many samples.

    ``before`` are parameters in front of the given arrays; results are kept ``apart`` from more arrays.
    """
    names = [result.name for result in results]
    inputs = [array.name for array in given]
    outs = "out: tuple[Array, ...] | None = None"
    return {
        "signature": signature(name, [*before, *annotated(inputs), "*", outs], "tuple[Array, ...]"),
        "nones": shape(["None"] * len(results)),
        "count": len(results),
        "arrays": "1 array" if len(results) == 1 else f"{len(results)} arrays",
        "results": [
            *counted(given, least),
            *(
                line
                for number, result in enumerate(results)
                for line in _placed(result, f"outs[{number}]", [*inputs, *apart, *names[:number]])
            ),
        ],
        "returned": ", ".join(names) if len(names) > 1 else f"({names[0]},)",
    }


def counted(arrays: Sequence[Array], least: int) -> list[str]:
    """Write the number of samples, where it may be any: that of the first array with a batch."""
    for array in arrays:
        if index(LETTER) in array.shape:
            axis = array.shape.index(index(LETTER))
            given = f'"{array.name}", {array.name}' + (f", axis={axis}" if axis else "")
            return [f"{LETTER} = _samples({given}{f', least={least}' if least > 1 else ''})"]
    return []


def check_of(array: Array, layer: Layer) -> str:
    """Write the call that checks an input."""
    if array.name in layer.classes:
        ignored = f", [{layer.ignored[array.name]}]" if array.name in layer.ignored else ""
        known = f"{tuple_text(array.shape)}, {layer.classes[array.name]}{ignored}"
        return f'_labels("{array.name}", {array.name}, {known})'
    return f'_checked("{array.name}", {array.name}, {tuple_text(array.shape)})'


def what(function: Function, layer: Layer) -> str:
    """Say what a function computes."""
    results = shape(result.name for result in function.results)
    if function.name == "jvp":
        return "dO, the output's change to first order"
    if function.name == "double_backward":
        return f"{results}, gradients of second order"
    if function.name == "second":
        return "the gradients of ⟨G, dO⟩"
    if not function.by:
        updates = layer.updates[: len(function.results) - 1]
        *parts, last = ["O, the layer's output", *(layer.words[name] for name in updates)]
        return f"{', '.join(parts) + ' and ' if parts else ''}{last}"
    if len(function.by) > 1:
        return _gradients_of(function.results, function.by)
    gradient, by = function.formula.output.name, layer.words[function.by[0]]
    return f"{gradient}, the gradient with respect to {by}"


def _summary(function: Function, layer: Layer) -> str:
    """Say what a function returns, and of which shape."""
    results = [array.shape for array in function.results]
    of = f", of shape {tuple_text(results[0])}" if len(results) == 1 else ""
    return f"Return {what(function, layer)}{of}."


def _given(function: Function) -> str:
    """Write the shapes of what a function takes."""
    return f"{', '.join(f'{array.name} {tuple_text(array.shape)}' for array in function.inputs)}."


def _meaning(function: Function) -> str:
    """Say what a function of second order takes and returns."""
    names = [array.name for array in function.inputs]
    if function.name == "jvp":
        changes = ", ".join(name for name in names if f"t{name}" not in names and name[0] == "t")
        return f"The inputs change by {changes}: a Jacobian-vector product."
    if function.name == "double_backward":
        given = shape(names[: names.index("grad_output")])
        return (
            f"They are the gradients with respect to {', '.join(function.by)} of E = ⟨G, dO⟩, which is "
            f"the inner product of backward's results with {given}; dO is the output's change when the "
            "inputs change by these."
        )
    return ""


def _gradients_of(results: Sequence[Array], by: Sequence[str]) -> str:
    return f"{shape(result.name for result in results)}, the gradients with respect to {', '.join(by)}"


def annotated(names: Iterable[str]) -> list[str]:
    """Return parameters that are arrays."""
    return [f"{name}: Array" for name in names]


def signature(name: str, parameters: list[str], returned: str) -> str:
    """Write a function's head on one line, or, where that is too long, its parameters on one."""
    line = f"def {name}({', '.join(parameters)}) -> {returned}:"
    if len(line) <= LONGEST:
        return line
    folded = ", ".join(parameters)
    if len(folded) > WIDTH:
        folded = ",\n    ".join(parameters) + ","
    return f"def {name}(\n    {folded}\n) -> {returned}:"


def render_mask(plan: Plan) -> list[Written]:
    """Write what draws the mask, if the layer takes one."""
    given = ["seed: int", *(["samples: int"] if plan.layer.any_batch else [])]
    return [
        Written(
            (),
            fill(
                "numpy/draw_mask.py.j2",
                signature=signature("draw_mask", given, "Array"),
                shape=tuple_text(array.shape),
                share=repr(plan.layer.masks[array.name]),
            ),
        )
        for array in plan.forward.inputs
        if array.name in plan.layer.masks
    ]


def gradient_calls(plan: Plan) -> list[str]:
    """Write the calls of each gradient's function, one after the other."""
    return [
        f"{function.name}({', '.join(array.name for array in function.inputs)}, "
        f"out={function.results[0].name})"
        for function in plan.gradients
    ]


def render_backward(plan: Plan, calls: Sequence[str], checked: Collection[Array]) -> str:
    """Write the function that returns all gradients, which share nothing.

    ``calls`` compute them, and check the arrays that are ``checked``.
    """
    inputs = [Array("grad_output", plan.forward.results[0].shape), *plan.forward.inputs]
    results = [function.results[0] for function in plan.gradients]
    return fill(
        "numpy/backward.py.j2",
        **several("backward", plan.layer.fewest, inputs, results),
        summary=f"Return {shape(r.name for r in results)}, all gradients, into ``out`` if given.",
        checks=[(a.name, check_of(a, plan.layer)) for a in inputs if a not in checked],
        calls=calls,
    )
