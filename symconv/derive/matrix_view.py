"""The matrix view: X, F and ∂E/∂O written out, and every gradient element by element, with SymPy.

It shows one plane: the first image and one pair of channels. The others are the same; over images
(for ∂E/∂F) and output channels (for ∂E/∂X) the results are summed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import sympy

from symconv.derive.elements import gradient_elements, output_elements, symbols
from symconv.derive.forms import (
    FilterCorrelation,
    FullConvolution,
    input_form,
    roles,
    weight_form,
)
from symconv.derive.matrices import as_rows, correlate, grid, matrix_latex, pad, stuff
from symconv.derive.steps import Check, Formula, Step
from symconv.errors import SymconvError
from symconv.layers.conv import ConvLayer
from symconv.notation.contraction import Tensor
from symconv.notation.evaluate import evaluate
from symconv.notation.graph import Graph
from symconv.notation.layout import beside
from symconv.notation.monomials import columns, equal, monomials, term_count

TIMES = r" \times "
SHOWN = 9  # elements of a list of equations that are shown
TERMS = 6  # terms of a sum that are shown
MOST_TERMS = 60_000  # terms of a plane that is written out
SMALL = 2_000  # terms up to which SymPy differentiates every element, beyond it those shown


def matrix_steps(layer: ConvLayer, full: bool = False) -> tuple[Step, ...]:
    """Return the derivation for one plane of a layer with one or two spatial axes.

    Every element and term is printed for inputs up to 4×4 and filters up to 3×3, and if ``full``.

    Raises
    ------
    SymconvError
        If the layer has three spatial axes, or its plane is too large to write out.
    """
    if len(layer.windows) > 2:
        raise SymconvError("view = 'matrix': must be 'index' for a layer of three spatial axes")
    plane = _plane(layer)
    terms = term_count(plane.graph)
    if terms > MOST_TERMS:
        raise SymconvError(
            f"view = 'matrix': must be 'index' for a plane of {terms} terms (at most {MOST_TERMS})"
        )
    full = full or _is_small(plane)
    steps = [
        _written_out(layer, plane),
        _operation(plane, full),
        _rotated_filter(plane),
        _chain_rule(plane, "weight", full),
        _weight_recognised(plane),
        _chain_rule(plane, "x", full),
        _input_recognised(plane),
    ]
    if plane.bias:
        steps.append(_chain_rule(plane, "bias", full))
    return tuple(steps)


def _is_small(plane: ConvLayer) -> bool:
    """Whether every element of a plane is printed without being asked for."""
    return max(plane.input_shape[2:]) <= 4 and max(w.kernel for w in plane.windows) <= 3


def _plane(layer: ConvLayer) -> ConvLayer:
    """Return the layer of one image and one channel in and out."""
    shape = (1, 1, *layer.input_shape[2:])
    return replace(layer, input_shape=shape, out_channels=1, groups=1)


def _written_out(layer: ConvLayer, plane: ConvLayer) -> Step:
    tensors = [*plane.tensors.values(), Tensor("G", plane.output_shape)]
    texts, latex = [], []
    for tensor in tensors:
        name = "G = ∂E/∂O" if tensor.name == "G" else tensor.name
        rows = as_rows(symbols(tensor), tensor.sizes)
        texts.append(beside(f"{name} = ", grid(rows)))
        left = r"\frac{\partial E}{\partial O} = G" if tensor.name == "G" else tensor.name
        latex.append(f"{left} &= {matrix_latex(rows)}")
    whole = (
        "there is one sample and one channel in and out, so that each tensor is a single matrix"
        if layer.input_shape[:2] == (1, 1) == (layer.input_shape[0], layer.out_channels)
        else (
            "one sample and one channel in and out are shown; the others have the same form, ∂E/∂F is "
            "summed over the batch, ∂E/∂X over the output channels of a group"
        )
    )
    shape = plane.output_shape[2:]
    sizes = Formula(
        f"X {_by(plane.input_shape[2:])}, F {_by(plane.parameters['weight'][2:])}, O {_by(shape)}",
        rf"&X\ {_by(plane.input_shape[2:], TIMES)},\quad "
        rf"F\ {_by(plane.parameters['weight'][2:], TIMES)},\quad O\ {_by(shape, TIMES)}",
    )
    return Step(
        "Write the input, the filter and the upstream gradient as matrices of symbols",
        sizes,
        Formula("\n".join(texts), " \\\\\n".join(latex)),
        whole,
        Check("every element has a symbol of its own", _all_different(tensors)),
    )


def _all_different(tensors: Sequence[Tensor]) -> bool:
    names = [s for tensor in tensors for s in symbols(tensor)]
    return len(set(names)) == len(names)


def _operation(plane: ConvLayer, full: bool) -> Step:
    elements = output_elements(plane)
    named = symbols(Tensor("O", plane.output_shape))
    star, star_latex = ("⋆", r"\star") if plane.plain else ("⋆ᵀ", r"\star^{\top}")
    bias = " + b" if plane.bias else ""
    return Step(
        "Write out every element of the output",
        Formula(
            f"O = X {star} F{bias}{_settings(plane)}",
            rf"O &= X {star_latex} F{bias}\text{{{_settings(plane)}}}",
        ),
        _equations([str(n) for n in named], [sympy.latex(n) for n in named], elements, full),
        _operation_reason(plane),
        _evaluated(plane, elements),
    )


def _evaluated(plane: ConvLayer, elements: Sequence[sympy.Expr]) -> Check:
    """Compare the expressions of O with the sum's own loops, run on symbols."""
    if _terms(plane) > SMALL:
        terms = sum(len(sympy.Add.make_args(e)) for e in elements if e != 0)
        return Check("O has a term for each cell that a window reads", terms == _terms(plane))
    values = {
        t.name: np.array(symbols(t), dtype=object).reshape(t.sizes) for t in plane.tensors.values()
    }
    wanted = evaluate(plane.graph, values)["O"].ravel()
    same = all(a == b for a, b in zip(elements, wanted, strict=True))
    return Check("the sum's loops, run on symbols, give every element of O", same)


def _operation_reason(plane: ConvLayer) -> str:
    if plane.transposed:
        return "every element of X adds the filter, times itself, to a window of O"
    filter_ = "filter, rotated by 180° (convolution)," if plane.flip else "filter (correlation)"
    return (
        f"the {filter_} is laid on X at every output position; the elements that meet are multiplied "
        "and the products added"
    )


def _settings(plane: ConvLayer) -> str:
    """Name the stride, dilation and padding of a plane that are not 1, 1 and 0."""
    windows = plane.windows
    found = [
        f"{word} {_by([getattr(w, word) for w in windows])}"
        for word in ("stride", "dilation")
        if any(getattr(w, word) > 1 for w in windows)
    ]
    if any(w.lo or w.hi for w in windows):
        found.append(f"padding {' and '.join(str((w.lo, w.hi)) for w in windows)}")
    return f"   ({', '.join(found)})" if found else ""


def _terms(plane: ConvLayer) -> int:
    """Count the distinct products of elements (padding that repeats cells may join some)."""
    pairs = {
        (cell, *leaves)
        for part in columns(plane.graph)
        for cell, *leaves in zip(*(part[name].tolist() for name in sorted(part)), strict=True)
    }
    return len(pairs)


def _rotated_filter(plane: ConvLayer) -> Step:
    weight = plane.tensors["weight"]
    rows = as_rows(symbols(weight), weight.sizes)
    rotated = [row[::-1] for row in rows[::-1]]
    matrix = sympy.Matrix([[sympy.Symbol(c) for c in row] for row in rotated])
    once = sympy.Matrix([[sympy.Symbol(c) for c in row] for row in rows])
    opposite = replace(plane, flip=not plane.flip)
    substitution = dict(zip(list(once), list(matrix), strict=True))
    here, there = output_elements(plane), output_elements(opposite)
    pairs = list(zip(here, there, strict=True))
    pairs = pairs if _terms(plane) <= SMALL else pairs[:SHOWN]
    same = all(a.xreplace(substitution) == b for a, b in pairs)
    return Step(
        "Rotate the filter by 180°",
        Formula(beside("F = ", grid(rows)), f"F &= {matrix_latex(rows)}"),
        Formula(
            beside("F rotated = ", grid(rotated)),
            rf"F^{{\mathrm{{rot}}}} &= {matrix_latex(rotated)}",
        ),
        "convolution with a filter is correlation with the rotated filter; ∂E/∂X will need it",
        Check(f"correlation with it is the convolution: {len(pairs)} elements of O compared", same),
    )


def _chain_rule(plane: ConvLayer, name: str, full: bool) -> Step:
    """Differentiate each element of O by each element of a tensor, with SymPy."""
    tensor = plane.tensors[name]
    outputs, by = output_elements(plane), symbols(tensor)
    cotangents = symbols(Tensor("G", plane.output_shape))
    found = gradient_elements(plane, name)
    reading: dict[sympy.Symbol, list[int]] = {symbol: [] for symbol in by}
    for at, output in enumerate(outputs):
        for symbol in output.free_symbols & reading.keys():
            reading[symbol].append(at)
    checked = range(len(by)) if _terms(plane) <= SMALL else range(min(SHOWN, len(by)))
    agree = all(
        sympy.expand(
            sympy.Add(*(cotangents[p] * sympy.diff(outputs[p], by[at]) for p in reading[by[at]]))
        )
        == found[at]
        for at in checked
    )
    every = "every element" if len(checked) == len(by) else f"the first {len(checked)} elements"
    letter, index = tensor.name, "ij"[: max(1, len(tensor.shape) - 2)]
    element = f"{letter}_{{{index}}}"
    return Step(
        f"Apply the chain rule for ∂E/∂{letter}",
        Formula(
            f"∂E/∂{letter}_{index} = Σ_p ∂E/∂O_p · ∂O_p/∂{letter}_{index}",
            rf"\frac{{\partial E}}{{\partial {element}}} &= \sum_p "
            rf"\frac{{\partial E}}{{\partial O_p}} \frac{{\partial O_p}}{{\partial {element}}}",
        ),
        _equations(
            [f"∂E/∂{symbol}" for symbol in by],
            [rf"\frac{{\partial E}}{{\partial {sympy.latex(symbol)}}}" for symbol in by],
            found,
            full,
        ),
        f"E depends on an element of {letter} through every element of O whose sum contains it",
        Check(f"SymPy's derivative of {every} of {letter} is the same", agree),
    )


def _weight_recognised(plane: ConvLayer) -> Step:
    parts = roles(plane)
    axes = [FilterCorrelation.of(w) for w in parts.windows]
    cells = pad(_rows_of_cells(plane), [(w.lo, w.hi) for w in parts.windows])
    cotangent = Tensor(parts.positions.name, parts.positions.shape)
    other = as_rows(symbols(cotangent), cotangent.sizes)
    natural = [a.taps for a in axes]
    crop = (
        ""
        if natural == [w.kernel for w in parts.windows]
        else (f", its {_by(natural)} result cropped to {_by([w.kernel for w in parts.windows])}")
    )
    what = (
        f"{parts.cells.name[0]} padded"
        if any(w.lo or w.hi for w in parts.windows)
        else (parts.cells.name[0])
    )
    rotated = ", and the result rotated by 180°" if plane.flip else ""
    return Step(
        "Recognise ∂E/∂F as a correlation",
        Formula("∂E/∂F as above", r"\frac{\partial E}{\partial F} &\text{ as above}"),
        Formula(
            beside("∂E/∂F = ", grid(cells), " ⋆ ", grid(other)),
            rf"\frac{{\partial E}}{{\partial F}} &= {matrix_latex(cells)} \star "
            f"{matrix_latex(other)}",
        ),
        f"each line above is the sum over a window of {what} times {parts.positions.name}: a "
        f"correlation{_steps('stride', axes)}{_steps('dilation', axes)}{crop}{rotated}",
        _printed_check(
            plane,
            "weight",
            weight_form(plane),
            cells,
            other,
            [a.stride for a in axes],
            [a.dilation for a in axes],
        ),
    )


def _input_recognised(plane: ConvLayer) -> Step:
    before = Formula("∂E/∂X as above", r"\frac{\partial E}{\partial X} &\text{ as above}")
    parts = roles(plane)
    filter_rows = as_rows(symbols(parts.taps), parts.taps.sizes)
    if plane.flip:
        filter_rows = [row[::-1] for row in filter_rows[::-1]]
    if plane.transposed:
        cells = pad(_rows_of_cells(plane), [(w.lo, w.hi) for w in parts.windows])
        return Step(
            "Recognise ∂E/∂X as a correlation",
            before,
            Formula(
                beside("∂E/∂X = ", grid(cells), " ⋆ ", grid(filter_rows)),
                rf"\frac{{\partial E}}{{\partial X}} &= {matrix_latex(cells)} \star "
                f"{matrix_latex(filter_rows)}",
            ),
            "each line above is the sum over a window of G times the filter: a correlation"
            f"{_steps('stride', parts.windows)}{_steps('dilation', parts.windows)}",
            _printed_check(
                plane,
                "x",
                input_form(plane),
                cells,
                filter_rows,
                [w.stride for w in parts.windows],
                [w.dilation for w in parts.windows],
            ),
        )
    axes = [FullConvolution.of(w) for w in parts.windows]
    cotangent = Tensor("G", plane.output_shape)
    stuffed = stuff(as_rows(symbols(cotangent), cotangent.sizes), [a.stuffing for a in axes])
    padded = pad(stuffed, [(a.lo, a.hi) for a in axes])
    rotated = [row[::-1] for row in filter_rows[::-1]]
    folded = len(plane.graph.steps) > 1
    left = "∂E/∂(X extended)" if folded else "∂E/∂X"
    latex_left = r"\frac{\partial E}{\partial X'}" if folded else r"\frac{\partial E}{\partial X}"
    zeros = "with zeros inserted between its elements, " if any(a.stuffing > 1 for a in axes) else ""
    reason = (
        "the filter elements in each line above come in reverse order, the last one first: laid on G, "
        f"{zeros}padded by {' and '.join(f'({a.lo}, {a.hi})' for a in axes)}, the filter rotated by "
        f"180° meets the same elements of G{_steps('dilation', axes)}"
    )
    if folded:
        reason += (
            f". Then the gradient of each element of the {plane.padding_mode} padding is added to the "
            "element that it copies"
        )
    return Step(
        "Recognise ∂E/∂X as a full convolution",
        before,
        Formula(
            beside(f"{left} = ", grid(padded), " ⋆ ", grid(rotated)),
            rf"{latex_left} &= {matrix_latex(padded)} \star {matrix_latex(rotated)}",
        ),
        reason,
        _printed_check(
            plane,
            "x",
            input_form(plane),
            padded,
            rotated,
            [1] * len(axes),
            [a.dilation for a in axes],
        ),
    )


def _steps(word: str, axes: Sequence[object]) -> str:
    """Name a stride or a dilation of a correlation, if it is not 1."""
    steps = [int(getattr(axis, word)) for axis in axes]
    return f", {word} {_by(steps)}" if any(step > 1 for step in steps) else ""


def _printed_check(
    plane: ConvLayer,
    name: str,
    form: Graph,
    cells: list[list[str]],
    other: list[list[str]],
    strides: list[int],
    dilations: list[int],
) -> Check:
    """Compare the recognised form with the chain rule, and so the matrices that are printed."""
    same = equal(plane.gradient(name), form)
    if name == "x" and len(plane.graph.steps) > 1:
        return Check("with the fold-back, both are the same polynomials, element by element", same)
    if _terms(plane) > SMALL:
        return Check("both are the same polynomials, element by element", same)
    found = gradient_elements(plane, name)
    if name == "weight" and plane.flip:
        found = found[::-1]
    sizes = plane.tensors[name].sizes[2:]
    printed = correlate(cells, other, strides, dilations, sizes)
    return Check(
        "both are the same polynomials, element by element; the printed matrices give them too",
        same and printed == found,
    )


def _rows_of_cells(plane: ConvLayer) -> list[list[str]]:
    """Return what windows read: X (extended by a padding mode), or G of a transposed convolution."""
    if plane.transposed:
        cotangent = Tensor("G", plane.output_shape)
        return as_rows(symbols(cotangent), cotangent.sizes)
    x = plane.tensors["x"]
    if len(plane.graph.steps) == 1:
        return as_rows(symbols(x), x.sizes)
    extended = roles(plane).cells
    named = symbols(x)
    sources = dict(monomials(Graph(plane.graph.steps[:-1])).tolist())
    return as_rows([named[sources[cell]] for cell in sorted(sources)], extended.sizes)


def _equations(
    names: list[str], latex: list[str], elements: Sequence[sympy.Expr], full: bool
) -> Formula:
    """Write the elements of a list as equations: the first ones, unless all are asked for."""
    texts, rows = [], []
    shown = len(elements) if full else SHOWN
    for name, tex, element in list(zip(names, latex, elements, strict=True))[:shown]:
        terms = element.as_ordered_terms()
        more = 0 if full else len(terms) - TERMS
        if more > 0:
            terms = terms[:TERMS]
        text = " + ".join(str(term).replace("*", "·") for term in terms)
        plural = "s" * (more != 1)
        tail = f" + … ({more} more term{plural})" if more > 0 else ""
        texts.append(f"{name} = {text}{tail}")
        tex_tail = rf" + \cdots\ (\text{{{more} more term{plural}}})" if more > 0 else ""
        rows.append(f"{tex} &= {' + '.join(map(sympy.latex, terms))}{tex_tail}")
    if len(elements) > shown:
        texts.append(f"… and {len(elements) - shown} more (all of them: full)")
        rows.append(rf"&\ \,\vdots\ \text{{and {len(elements) - shown} more}}")
    return Formula("\n".join(texts), " \\\\\n".join(rows))


def _by(sizes: Sequence[int], times: str = "×") -> str:
    return times.join(map(str, sizes))
