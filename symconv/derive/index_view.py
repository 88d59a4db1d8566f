"""The index view: any number of axes, channels, groups and images.

Each gradient is a list of graphs, every one a rewriting of the one before; a step's check compares
both as polynomials, exactly.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from symconv.derive.forms import (
    full_convolution_substitutions,
    input_form,
    roles,
    weight_form,
)
from symconv.derive.rewrites import (
    channels_sifted,
    free_names,
    in_phases,
    phases_disjoint,
    substituted,
    sum_of,
    with_deltas,
)
from symconv.derive.steps import Check, Formula, Step
from symconv.layers.conv import ConvLayer, along_axes
from symconv.layers.window import Window
from symconv.notation.backpropagation import gradient_of
from symconv.notation.contraction import (
    Access,
    Program,
    Tensor,
    index,
)
from symconv.notation.correlation import phase_count, recognise
from symconv.notation.graph import Graph
from symconv.notation.monomials import Table, equal, monomials, term_count
from symconv.notation.names import POSITIONS
from symconv.notation.text import (
    access_latex,
    access_text,
    name_latex,
    program_latex,
    program_text,
    subscript_latex,
    subscript_text,
)

Rewrite = Callable[[ConvLayer], Graph]

CHECKED = 400_000  # points that a check may visit before it turns to a smaller layer
MOST_PHASES = 1024  # contractions of a polyphase form that are made
SHOWN_PHASES = 16  # contractions of a polyphase form that are printed


def index_steps(layer: ConvLayer, full: bool = False) -> tuple[Step, ...]:
    """Return the derivation of every gradient of a layer; ``full`` prints every phase."""
    steps = [_forward_step(layer), *_weight_steps(layer), *_input_steps(layer, full)]
    if layer.bias:
        steps.append(_bias_step(layer))
    return tuple(steps)


def _forward_step(layer: ConvLayer) -> Step:
    rank = len(layer.windows)
    name = type(layer).__name__
    sizes = Formula(
        f"{name}: X {layer.input_shape}, F {layer.parameters['weight']}, O {layer.output_shape}",
        rf"&\text{{{name}}}:\ X\in\mathbb{{R}}^{{{_times(layer.input_shape)}}},\ "
        rf"F\in\mathbb{{R}}^{{{_times(layer.parameters['weight'])}}},\ "
        rf"O\in\mathbb{{R}}^{{{_times(layer.output_shape)}}}",
    )
    added = layer.transposed.output_padding if layer.transposed else 0
    extra = (added,) * rank if isinstance(added, int) else added
    fits = all(_fits(w, None if layer.plain else e) for w, e in zip(layer.windows, extra, strict=True))
    remainders = ", ".join(
        f"r = {w.remainder} along {axis}" for w, axis in zip(layer.windows, POSITIONS[rank], strict=True)
    )
    return Step(
        "Define the output (forward sum)",
        sizes,
        _formula(layer.graph),
        "this is the layer's definition; reads outside a tensor are zero"
        + (f", and {extended} is X with its padding" if (extended := _extended(layer)) else ""),
        Check(f"the outputs are the windows that fit ({remainders})", fits),
    )


def _fits(w: Window[int], added: int | None) -> bool:
    """Whether as many windows as there are outputs begin in the padded axis, and end in it.

    A transposed convolution has ``added`` cells after the last window instead.
    """
    padded = w.size + w.lo + w.hi
    if added is not None:
        return padded == w.stride * (w.outputs - 1) + w.reach + 1 + added
    return len(range(0, padded - w.reach, w.stride)) == w.outputs


def _extended(layer: ConvLayer) -> str:
    """Return what the padded input is called; nothing if zeros are read outside."""
    steps = layer.graph.programs
    return steps[-2].target.name if len(steps) > 1 else ""


def _weight_steps(layer: ConvLayer) -> list[Step]:
    steps = [_chain_rule(layer, "weight")]
    return steps + _rewritten(
        layer,
        "weight",
        [
            (
                "Write the derivative of one element with respect to another as a Kronecker delta",
                lambda at: with_deltas(at, "weight"),
                "that derivative is 1 if both are the same element, else 0",
            ),
            (
                "Carry out the sums over the deltas (sifting)",
                lambda at: at.gradient("weight"),
                "every δ fixes one index, so that one term of the sum over that index remains",
            ),
            ("Recognise a correlation", weight_form, _weight_reason(layer)),
        ],
    )


def _weight_reason(layer: ConvLayer) -> str:
    cells, positions = ("X", "∂E/∂O") if layer.plain else ("∂E/∂O", "X")
    natural = [w.kernel + max(w.remainder, 0) // w.dilation for w in layer.windows]
    kernel = [w.kernel for w in layer.windows]
    return (
        f"∂E/∂F is a correlation of {cells} with {positions}, stride and dilation exchanged: stride "
        f"{_axes([w.dilation for w in layer.windows])}, dilation "
        f"{_axes([w.stride for w in layer.windows])}; its natural size is {_axes(natural)}"
        + (f", cropped to {_axes(kernel)}" if natural != kernel else "")
    )


def _input_steps(layer: ConvLayer, full: bool) -> list[Step]:
    steps = [_chain_rule(layer, "x")]
    deltas: tuple[str, Rewrite, str] = (
        "Write the derivative of one element with respect to another as a Kronecker delta",
        lambda at: with_deltas(at, "x"),
        "that derivative is 1 if both are the same element, else 0",
    )
    if layer.transposed:
        return steps + _rewritten(
            layer,
            "x",
            [
                deltas,
                (
                    "Carry out the sums over the deltas (sifting)",
                    lambda at: at.gradient("x"),
                    "every δ fixes one index, so that one term of the sum over that index remains",
                ),
                (
                    "Recognise a correlation",
                    input_form,
                    "∂E/∂X is a correlation of ∂E/∂O with F, with the layer's own stride, dilation and "
                    "padding",
                ),
            ],
        )
    strided = any(w.stride > 1 for w in layer.windows)
    rewrites: list[tuple[str, Rewrite, str]] = [
        deltas,
        (
            "Carry out the sums over the deltas of sample and channel (sifting)",
            channels_sifted,
            "each of these δ fixes one index; the deltas along the spatial axes remain",
        ),
        (
            "Solve the remaining deltas for the output position (substitution)",
            substituted,
            "along each axis the δ leaves the output position that reads this element of X, if the "
            "stride divides its numerator"
            if strided
            else "along each axis the δ leaves the one output position that reads this element of X",
        ),
    ]
    phases = [phase_count(a) for a in recognise(sum_of(layer.gradient("x"))[0]).axes]
    if strided and math.prod(phases) <= MOST_PHASES:
        rewrites.append(
            (
                "Split the elements of X by their remainder modulo the stride (polyphase form)",
                in_phases,
                "within a phase the stride divides for every (s/g)-th filter element or for none, where "
                "g = gcd(s, d); every element of X belongs to exactly one phase",
            )
        )
    pads = [f"({w.reach - w.lo}, {w.reach - w.hi + w.remainder})" for w in _read_windows(layer)]
    sizes = _axes([w.stride * (w.outputs - 1) + 1 for w in layer.windows])
    zeros = f"with zeros between its elements ({sizes} in all), " if strided else ""
    rewrites.append(
        (
            "Recognise the full convolution",
            input_form,
            f"∂E/∂O, {zeros}padded by {' and '.join(pads)}, is correlated with the filter rotated by "
            "180°",
        )
    )
    rewritten = _rewritten(layer, "x", rewrites, full)
    steps += [*rewritten[:-1], _pairing_step(layer), rewritten[-1]]
    if len(layer.graph.steps) > 1:
        steps.append(_fold_back_step(layer, steps[-1].after))
    return steps


def _pairing_step(layer: ConvLayer) -> Step:
    """Return the substitution that T2's certificate pairs the terms with, in the layer's numbers."""
    texts, latex = [], []
    maps = zip(("there", "and back"), full_convolution_substitutions(roles(layer)), strict=True)
    for words, substitution in maps:
        pairs = substitution.values.items()
        texts.append(f"{words}: " + ", ".join(f"{name} ↦ {subscript_text(p)}" for name, p in pairs))
        written = [rf"{name_latex(name)} \mapsto {subscript_latex(p)}" for name, p in pairs]
        latex.append(rf"&\text{{{words}}}:\ " + r",\ ".join(written))
    used = _checked_layers(layer)
    return Step(
        "Pair the terms with those of the full convolution",
        _formula(Graph(layer.gradient("x").steps[:1])),
        Formula("\n".join(texts), " \\\\\n".join(latex)),
        "each term is one term of the full convolution, for the element of X that it is written to, its "
        "filter element counted from the last; primed indices belong to the zero insertion. The "
        "certificate of theorem T2 has this substitution, for every size",
        Check(
            f"the paired terms are the same, there and back{_where(layer, used)}",
            all(map(_paired, used)),
        ),
    )


def _paired(layer: ConvLayer) -> bool:
    """Whether the substitution turns each subscript of one sum into the other's, and leads back."""
    there, back = full_convolution_substitutions(roles(layer))
    (swap,) = layer.gradient("x").programs[0].contractions
    stuff, correlate = (program.contractions[0] for program in input_form(layer).programs[:2])
    prime = {name: index(f"{name}'") for name, _ in stuff.extents}
    cotangent = stuff.reads[0].substitute(prime)
    stuffed, taps = correlate.reads
    return (
        correlate.target.substitute(there.values).subscripts == swap.target.subscripts
        and taps.substitute(there.values) == swap.reads[1]
        and cotangent.substitute(there.values) == swap.reads[0]
        and stuff.target.substitute(prime).substitute(there.values).subscripts
        == stuffed.substitute(there.values).subscripts
        and all(back.value(name).substitute(there.values) == index(name) for name, _ in swap.extents)
    )


def _fold_back_step(layer: ConvLayer, before: Formula) -> Step:
    """Return the step that adds the gradient of what padding copied to where it came from."""
    used = _checked_layers(layer)
    folds = [p for p in input_form(layer).programs if len(p.contractions[0].reads) == 1][1:]
    return Step(
        "Fold the gradient of the padding back",
        before,
        _formula(Graph(tuple(folds))),
        f"each element of the {layer.padding_mode} padding is a copy; its gradient is added to the "
        "element that was copied",
        Check(
            f"equals the derivative of Σ G·O, term by term{_where(layer, used)}",
            all(np.array_equal(_differentiated(at, "x"), monomials(input_form(at))) for at in used),
        ),
    )


def _read_windows(layer: ConvLayer) -> list[Window[int]]:
    return list(roles(layer).windows)


def _bias_step(layer: ConvLayer) -> Step:
    def agrees(at: ConvLayer) -> bool:
        at = replace(at, bias=True)
        table = monomials(at.gradient("bias"))
        return np.array_equal(
            table[:, 0], table[:, 1] // math.prod(at.output_shape[2:]) % at.out_channels
        )

    used = _checked_layers(layer)
    return Step(
        "Apply the chain rule for ∂E/∂b",
        _chain_formula(layer, "bias"),
        _formula(layer.gradient("bias")),
        "every element of O contains the bias of its channel once, so the derivative is 1",
        Check(f"each sum has its channel's elements of G{_where(layer, used)}", all(map(agrees, used))),
    )


def _chain_rule(layer: ConvLayer, name: str) -> Step:
    """E = Σ G·O is multilinear: its derivative by an element drops that element from its terms."""

    def agrees(at: ConvLayer) -> bool:
        return np.array_equal(_differentiated(at, name), monomials(at.gradient(name)))

    used = _checked_layers(layer)
    return Step(
        f"Apply the chain rule for ∂E/∂{layer.tensors[name].name}",
        Formula("E = E(O), G = ∂E/∂O", r"E &= E(O),\quad G = \frac{\partial E}{\partial O}"),
        _chain_formula(layer, name),
        f"E depends on an element of {layer.tensors[name].name} through every element of O",
        Check(
            f"equals the derivative of Σ G·O, term by term{_where(layer, used)}",
            all(map(agrees, used)),
        ),
    )


def _differentiated(layer: ConvLayer, name: str) -> Table:
    """Return the table of the derivative of Σ G·O, from the terms of O alone."""
    graph = replace(layer, bias=False).graph
    table = monomials(graph)
    leaves = sorted([layer.tensors["x"].name, layer.tensors["weight"].name])
    columns = {"G": table[:, 0]} | {leaf: table[:, 1 + at] for at, leaf in enumerate(leaves)}
    by = layer.tensors[name].name
    rows = np.stack([columns[by], *(columns[n] for n in sorted(columns) if n != by)], axis=1)
    return rows[np.lexsort(rows.T[::-1])]


def _rewritten(
    layer: ConvLayer, name: str, rewrites: list[tuple[str, Rewrite, str]], full: bool = False
) -> list[Step]:
    """Return a step for each rewriting, compared with the one before; the first with the swap."""
    steps = []
    used = _checked_layers(layer)
    earlier: Rewrite = operator.methodcaller("gradient", name)
    formula = _chain_formula(layer, name)
    for title, rewrite, reason in rewrites:
        passed = all(equal(earlier(at), rewrite(at)) for at in used)
        compared = f"both sides are the same polynomials{_where(layer, used)}"
        if rewrite is in_phases:
            passed = passed and all(map(phases_disjoint, used))
            compared = f"the phases are disjoint and cover; {compared}"
        after = _formula(Graph(tuple(_shown(rewrite(layer)))), full)
        steps.append(Step(title, formula, after, reason, Check(compared, passed)))
        earlier, formula = rewrite, after
    return steps


def _shown(graph: Graph) -> list[Program]:
    """Return a graph's sum of products and what only stuffs; padding and folding are steps apart."""
    return [
        p for p in graph.programs if len(p.contractions[0].reads) == 2 or p.target.name.endswith("s")
    ]


def _checked_layers(layer: ConvLayer) -> tuple[ConvLayer, ...]:
    """Return the layer itself where it is small; else one channel of each axis, and few channels."""
    if _visits(layer) <= CHECKED:
        return (layer,)
    few = {"groups": min(layer.groups, 2), "bias": False}
    per_group = [
        min(count // layer.groups, 2) * few["groups"]
        for count in (layer.input_shape[1], layer.out_channels)
    ]
    tiny = replace(
        layer,
        input_shape=(min(layer.input_shape[0], 2), per_group[0], *([1] * len(layer.windows))),
        out_channels=per_group[1],
        kernel_size=1,
        stride=1,
        padding=0,
        dilation=1,
        groups=few["groups"],
        bias=False,
        **({"output_padding": 0} if layer.transposed else {"padding_mode": "zeros"}),
    )
    axes = map(_shortened, along_axes(layer))
    return (tiny, *(axis for axis in axes if _visits(axis) <= CHECKED))


def _shortened(axis: ConvLayer) -> ConvLayer:
    """Return a layer of one axis with fewer positions and taps, if need be, the remainder kept."""
    if _visits(axis) <= CHECKED:
        return axis
    (w,) = axis.windows
    taps, outputs = min(w.kernel, 9), min(w.outputs, 9)
    size = outputs
    if axis.plain:
        size = w.stride * (outputs - 1) + w.dilation * (taps - 1) + 1 + w.remainder - w.lo - w.hi
    pads: tuple[tuple[int, int], ...] = ((w.lo, w.hi),)
    if size < 1 or max(w.lo, w.hi) >= size:
        pads = ((min(w.lo, 1), min(w.hi, 1)),)
        size = max(size, 2 * w.stride + w.dilation * (taps - 1) + 1)
    return replace(axis, input_shape=(1, 1, size), kernel_size=taps, padding=pads)


def _visits(layer: ConvLayer) -> int:
    """Return the number of points of the largest form, that with every δ."""
    forms = [with_deltas(layer, "x"), with_deltas(layer, "weight"), input_form(layer)]
    return max(map(term_count, forms))


def _where(layer: ConvLayer, used: tuple[ConvLayer, ...]) -> str:
    if used == (layer,):
        return ""
    if len(used) <= len(layer.windows):
        return ", over a few channels, but not along axes that are too long to compare"
    return ", along each axis (shortened if long) and over a few channels"


def _formula(graph: Graph, full: bool = False) -> Formula:
    """Write a graph; of many phases the first ones, unless all are asked for."""
    texts, latex = [], []
    for step in graph.steps:
        assert isinstance(step, Program)  # the steps of a linear layer
        shown, more = step, ""
        if len(step.contractions) > SHOWN_PHASES and not full:
            shown = Program(step.contractions[:SHOWN_PHASES])
            more = f"… and {len(step.contractions) - SHOWN_PHASES} more phases (all of them: full)"
        texts += [program_text(shown), more] if more else [program_text(shown)]
        latex += [program_latex(shown)] + ([rf"&\text{{{more}}}".replace("…", r"\dots")] if more else [])
    return Formula("\n".join(texts), " \\\\\n".join(latex))


def _chain_formula(layer: ConvLayer, name: str) -> Formula:
    by = layer.tensors[name]
    output = Tensor("O", layer.output_shape)
    rank = len(layer.windows)
    outer = [index(n) for n in ("n", "o", *POSITIONS[rank])]
    inner = tuple(map(index, free_names(name, rank)))
    left, read = Access(gradient_of(by), inner), Access(by, inner)
    written = Access(output, tuple(outer))
    cotangent = Access(layer.cotangent, tuple(outer))
    names = ",".join(("n", "o", *POSITIONS[rank]))
    return Formula(
        f"{access_text(left)} = Σ_{{{names}}} {access_text(cotangent)} · "
        f"∂{access_text(written)}/∂{access_text(read)}",
        rf"{access_latex(left)} &= \sum_{{{names}}} {access_latex(cotangent)} \, "
        rf"\frac{{\partial {access_latex(written)}}}{{\partial {access_latex(read)}}}",
    )


def _times(shape: tuple[int, ...]) -> str:
    return r" \times ".join(map(str, shape))


def _axes(numbers: list[int]) -> str:
    return " × ".join(map(str, numbers))
