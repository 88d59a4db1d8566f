"""The matrix view of pools and activations: one plane, written out element by element."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import sympy
from numpy.typing import NDArray

from symconv.derive.elements import output_elements, symbols
from symconv.derive.function_view import function_steps
from symconv.derive.matrices import as_rows, grid, matrix_latex
from symconv.derive.steps import Check, Formula, Step
from symconv.errors import SymconvError
from symconv.layers.activation import Activation
from symconv.layers.layer import Layer
from symconv.notation.arrays import evaluate_arrays
from symconv.notation.contraction import Program
from symconv.notation.evaluate import program_terms
from symconv.notation.graph import Graph
from symconv.notation.layout import beside

TIMES = r" \times "
SHOWN = 9  # equations that are shown, unless all are asked for
CHAIN_RULE = Formula(
    "∂E/∂X_ij = Σ_p ∂E/∂O_p · ∂O_p/∂X_ij",
    r"\frac{\partial E}{\partial X_{ij}} &= \sum_p "
    r"\frac{\partial E}{\partial O_p} \frac{\partial O_p}{\partial X_{ij}}",
)
MOST = 2_000  # elements of a plane that is written out

Equations = Mapping[sympy.Symbol, Sequence[sympy.Symbol]]


def plane_steps(layer: Layer, full: bool = False) -> tuple[Step, ...]:
    """Return the derivation for one plane of a pool, or of an activation.

    Raises
    ------
    SymconvError
        If the layer has three spatial axes, or its plane is too large to write out.
    """
    plane = _plane(layer)
    elements = int(np.prod(plane.input_shape))
    if len(plane.input_shape) > 4 or elements > MOST:
        raise SymconvError(
            f"view = 'matrix': must be 'index' for three spatial axes, or more than {MOST} elements"
        )
    full = full or max(plane.input_shape[2:], default=elements) <= 4
    if one := plane.pointwise:
        return (_given(layer, plane), function_steps(one)[0], *_of_function(one, full))
    if plane.pooling and plane.pooling.takes_maxima:
        return (_given(layer, plane), *_of_maximum(plane, full))
    return (_given(layer, plane), *_of_average(plane, full))


def _plane(layer: Layer) -> Layer:
    shape = layer.input_shape
    one = (1, 1, *shape[2:]) if len(shape) > 2 else shape
    changed: Layer = replace(layer, input_shape=one)  # type: ignore[type-var]  # every kind is a dataclass
    return changed


def _given(layer: Layer, plane: Layer) -> Step:
    x, g = plane.tensors["x"], plane.cotangent
    texts, latex = [], []
    for name, left, tensor in (
        ("X = ", "X", x),
        ("G = ∂E/∂O = ", r"G = \frac{\partial E}{\partial O}", g),
    ):
        rows = as_rows(symbols(tensor), tensor.sizes)
        texts.append(beside(name, grid(rows)))
        latex.append(f"{left} &= {matrix_latex(rows)}")
    same = layer == plane
    return Step(
        "Write the input and the upstream gradient as matrices of symbols",
        Formula(
            f"X {_by(x.sizes)}, O {_by(g.sizes)}",
            rf"&X\ {_by(x.sizes, TIMES)},\quad O\ {_by(g.sizes, TIMES)}",
        ),
        Formula("\n".join(texts), " \\\\\n".join(latex)),
        "each tensor is a single matrix"
        if same
        else "one sample and one channel are shown; the others are computed in the same way",
        Check("every element has a symbol of its own", len(set(symbols(x))) == len(symbols(x))),
    )


def _of_maximum(plane: Layer, full: bool) -> tuple[Step, Step]:
    windows = _windows(plane)
    outputs = [f"max({', '.join(map(str, cells))})" for cells in windows.values()]
    outputs_latex = [
        rf"\max({', '.join(sympy.latex(cell) for cell in cells)})" for cells in windows.values()
    ]
    cotangents = dict(zip(windows, symbols(plane.cotangent), strict=True))
    texts, latex = [], []
    for x in symbols(plane.tensors["x"]):
        reading = [o for o, cells in windows.items() if x in cells]
        texts.append(" + ".join(f"{cotangents[o]}·[{x} is selected for {o}]" for o in reading) or "0")
        selected = r"{}\,[{} \text{{ is selected for }} {}]"
        parts = [selected.format(*map(sympy.latex, (cotangents[o], x, o))) for o in reading]
        latex.append(" + ".join(parts) or "0")
    x = symbols(plane.tensors["x"])
    return (
        Step(
            "Write out every element of the output",
            Formula("each element of O is the maximum of its window", r"&O_p = \max_{k} X_{p, k}"),
            _list(
                list(map(str, windows)), list(map(sympy.latex, windows)), outputs, outputs_latex, full
            ),
            "the window is laid on X at every output position; places outside X are left out",
            Check(
                "SymPy's maxima of the layer's own terms are the same",
                [sympy.Max(*cells) for cells in windows.values()] == output_elements(plane),
            ),
        ),
        Step(
            "Apply the chain rule for ∂E/∂X",
            CHAIN_RULE,
            _list(
                *_gradient_names(x),
                texts,
                latex,
                full,
            ),
            "∂O_p/∂X_ij is 1 for the element that is the maximum of window p, and 0 for the others; of "
            "equal elements the first is selected. A bracket [...] is 1 if what it says is true, else 0",
            Check("for random numbers, the layer's gradient is the same", _agrees(plane, windows)),
        ),
    )


def _windows(plane: Layer) -> dict[sympy.Symbol, list[sympy.Symbol]]:
    """Return the elements that each maximum is taken over, from the layer's own terms."""
    program = plane.graph.steps[-1]
    assert isinstance(program, Program)
    x = plane.tensors["x"]
    given = {x.name: np.array(symbols(x), dtype=object).reshape(x.sizes)}
    output = symbols(plane.graph.output)
    found: dict[sympy.Symbol, list[sympy.Symbol]] = {symbol: [] for symbol in output}
    for cell, term in program_terms(program, given):
        found[output[int(np.ravel_multi_index(cell, plane.output_shape))]].append(term)
    return found


def _agrees(plane: Layer, windows: Equations) -> bool:
    """Compare the equations with the layer's gradient, for numbers with ties among them."""
    x, g = plane.tensors["x"], plane.cotangent
    rng = np.random.default_rng(0)
    drawn = {t.name: rng.integers(-4, 5, t.sizes).astype(float) for t in (x, g)}
    value = dict(zip(symbols(x), drawn[x.name].ravel().tolist(), strict=True))
    wanted = dict.fromkeys(symbols(x), 0.0)
    for cells, upstream in zip(windows.values(), drawn[g.name].ravel().tolist(), strict=True):
        wanted[max(cells, key=lambda cell: (value[cell], -cells.index(cell)))] += upstream
    found = evaluate_arrays(plane.gradient("x"), drawn)
    return bool(np.array_equal(found.ravel(), list(wanted.values())))


def _of_average(plane: Layer, full: bool) -> tuple[Step, Step]:
    outputs, x = output_elements(plane), symbols(plane.tensors["x"])
    named, cotangents = symbols(plane.graph.output), symbols(plane.cotangent)
    derived = [
        sympy.Add(*(g * sympy.diff(o, each) for g, o in zip(cotangents, outputs, strict=True)))
        for each in x
    ]
    return (
        Step(
            "Write out every element of the output",
            Formula(
                "each element of O is the average of its window",
                r"&O_p = \frac{1}{D_p} \sum_{k} X_{p, k}",
            ),
            _expressions(list(map(str, named)), list(map(sympy.latex, named)), outputs, full),
            "the window is laid on X at every output position; its elements are added and divided by D, "
            "the number of places that count",
            Check(
                "for random numbers, the layer's output is the same",
                _is(outputs, plane, plane.graph.only(plane.graph.output.name)),
            ),
        ),
        Step(
            "Apply the chain rule for ∂E/∂X",
            CHAIN_RULE,
            _expressions(
                *_gradient_names(x),
                derived,
                full,
            ),
            "each element of a window has the same share 1/D of its average; so each upstream gradient "
            "is divided by D and spread over its window, and overlapping windows add up",
            Check(
                "for random numbers, the layer's gradient is the same",
                _is(derived, plane, plane.gradient("x")),
            ),
        ),
    )


def _is(expressions: Sequence[sympy.Expr], plane: Layer, graph: Graph) -> bool:
    """Whether expressions are what a graph computes, for random numbers."""
    rng = np.random.default_rng(0)
    drawn: dict[str, NDArray[np.float64]] = {}
    values: dict[sympy.Symbol, float] = {}
    for tensor in (*plane.tensors.values(), plane.cotangent):
        drawn[tensor.name] = rng.integers(-99, 100, tensor.sizes).astype(float)
        values |= dict(zip(symbols(tensor), drawn[tensor.name].ravel().tolist(), strict=True))
    found = evaluate_arrays(graph, drawn).ravel()
    return bool(np.allclose([float(each.subs(values)) for each in expressions], found))


def _of_function(plane: Activation, full: bool) -> tuple[Step, Step]:
    x, named, g = (symbols(t) for t in (plane.tensors["x"], plane.graph.output, plane.cotangent))
    outputs = output_elements(plane)
    f = plane.expression
    (argument,) = f.free_symbols or {sympy.Symbol("x")}
    return (
        Step(
            "Write out every element of the output",
            Formula("O = f(X), element by element", "O &= f(X)"),
            _list(
                list(map(str, named)),
                list(map(sympy.latex, named)),
                [f"f({each})" for each in x],
                [f"f({sympy.latex(each)})" for each in x],
                full,
            ),
            "an element of O depends on one element of X, at the same place",
            Check(
                "f of every element, written by SymPy, is the layer's own expression",
                all(f.subs(argument, a) == b for a, b in zip(x, outputs, strict=True)),
            ),
        ),
        Step(
            "Apply the chain rule for ∂E/∂X",
            Formula(
                "∂E/∂X_ij = ∂E/∂O_ij · f′(X_ij)",
                r"\frac{\partial E}{\partial X_{ij}} &= \frac{\partial E}{\partial O_{ij}} f'(X_{ij})",
            ),
            _list(
                *_gradient_names(x),
                [f"{a}·f′({b})" for a, b in zip(g, x, strict=True)],
                [f"{sympy.latex(a)}\\, f'({sympy.latex(b)})" for a, b in zip(g, x, strict=True)],
                full,
            ),
            "O_ij is the only element of O that depends on X_ij, and its derivative is f′(X_ij)",
            function_steps(plane)[1].check,
        ),
    )


def _gradient_names(x: Sequence[sympy.Symbol]) -> tuple[list[str], list[str]]:
    """Return what the elements of ∂E/∂X are called, as text and in LaTeX."""
    latex = [rf"\frac{{\partial E}}{{\partial {sympy.latex(each)}}}" for each in x]
    return [f"∂E/∂{each}" for each in x], latex


def _expressions(
    names: Sequence[str], names_latex: Sequence[str], expressions: Sequence[sympy.Expr], full: bool
) -> Formula:
    texts = [str(each).replace("*", "·") for each in expressions]
    return _list(names, names_latex, texts, list(map(sympy.latex, expressions)), full)


def _list(
    names: Sequence[str],
    names_latex: Sequence[str],
    texts: Sequence[str],
    latex: Sequence[str],
    full: bool,
) -> Formula:
    """Write equations, the first ones unless all are asked for."""
    shown = len(names) if full else SHOWN
    rows = [f"{a} = {b}" for a, b in zip(names, texts, strict=True)][:shown]
    rows_latex = [f"{a} &= {b}" for a, b in zip(names_latex, latex, strict=True)][:shown]
    if len(names) > shown:
        rows.append(f"… and {len(names) - shown} more (all of them: full)")
        rows_latex.append(rf"&\ \,\vdots\ \text{{and {len(names) - shown} more}}")
    return Formula("\n".join(rows), " \\\\\n".join(rows_latex))


def _by(sizes: Sequence[int], times: str = "×") -> str:
    return times.join(map(str, sizes[2:] if len(sizes) > 2 else sizes))
