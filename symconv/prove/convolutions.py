"""What is to be decided about a convolution, each with false claims that must be refuted."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from symconv.derive.forms import (
    FilterCorrelation,
    FullConvolution,
    filter_correlation,
    full_convolution,
    input_form,
    roles,
    strided_correlation,
    weight_form,
)
from symconv.derive.rewrites import phase_forms
from symconv.layers.conv import Conv, ConvLayer
from symconv.notation.backpropagation import gradient
from symconv.notation.contraction import Program, Tensor
from symconv.notation.graph import Graph
from symconv.prove import covers
from symconv.prove.claims import Claim, Sides
from symconv.prove.covers import written_with_stride
from symconv.prove.decisions import Decision
from symconv.prove.pitfalls import PITFALLS, Pitfall, Sweep
from symconv.prove.statements import inner, names_of, paired
from symconv.prove.t3_rotation import rotated_first


def convolution_decisions(layer: ConvLayer) -> list[Decision]:
    """Return what the theorems say of a convolution, or of a transposed one."""
    decisions = [_weight(layer), _input(layer)]
    if any(w.stride > 1 for w in layer.windows):
        decisions.append(_phases(layer))
    decisions += [_rotation(layer), _adjoint(layer, "X"), _adjoint(layer, "F")]
    if len(layer.graph.steps) > 1:
        decisions.append(_padding(layer))
    else:
        decisions.append(_transposition(layer))
    return decisions


def _weight(layer: ConvLayer) -> Decision:
    cells, positions = ("X", "∂E/∂O") if layer.plain else ("∂E/∂O", "X")
    statement = (
        f"∂E/∂F is the correlation of {cells} with {positions}"
        + _by("stride", layer, "dilation")
        + _by("dilation", layer, "stride")
        + (", with the same padding" if _is_padded(layer) else "")
        + _cropping(layer)
    )
    claim = Claim(statement, lambda at: (at.gradient("weight"), weight_form(at)))
    return Decision("T1", claim, covers.weight_cover, _pitfalls("weight"))


def _by(word: str, layer: ConvLayer, name: str) -> str:
    """Write a stride or a dilation that is not 1: the layer's ``name`` is the form's ``word``."""
    plain = all(getattr(w, name) == 1 for w in layer.windows)
    return "" if plain else f", {word} {_numbers(layer, name)}"


def _is_padded(layer: ConvLayer) -> bool:
    return any(w.lo or w.hi for w in layer.windows)


def _cropping(layer: ConvLayer) -> str:
    """Say what of ∂E/∂F's natural size, K + ⌊r/d⌋, is kept, if not all is."""
    natural = [w.kernel + max(w.remainder, 0) // w.dilation for w in layer.windows]
    if natural == [w.kernel for w in layer.windows]:
        return ""
    return f", its natural size {'×'.join(map(str, natural))} cropped to {_numbers(layer, 'kernel')}"


def _pitfalls(sweep: Sweep) -> list[tuple[str, Claim]]:
    """Return the known wrong rules for a sweep, as claims."""
    return [(p.name, Claim(p.name, partial(_against, p))) for p in PITFALLS if p.sweep == sweep]


def _against(pitfall: Pitfall, layer: ConvLayer) -> tuple[Graph, Graph]:
    """Return a gradient and what a wrong rule computes; where the rule is right, it twice."""
    truth = layer.gradient(pitfall.sweep)
    return truth, pitfall.wrong(layer) or truth


def _numbers(layer: ConvLayer, name: str) -> str:
    """Write one of a layer's sizes along each axis."""
    return "×".join(str(getattr(w, name)) for w in layer.windows)


def _input(layer: ConvLayer) -> Decision:
    if layer.transposed:
        statement = (
            "∂E/∂X is the correlation of ∂E/∂O with F"
            + _by("stride", layer, "stride")
            + _by("dilation", layer, "dilation")
            + (", with the same padding" if _is_padded(layer) else "")
            + f", its first {_numbers(layer, 'outputs')} outputs"
        )
    else:
        pads = " and ".join(str((a.lo, a.hi)) for a in map(FullConvolution.of, roles(layer).windows))
        inserted = "×".join(str(w.stride - 1) for w in layer.windows)
        zeros = "" if _by("", layer, "stride") == "" else f"with {inserted} zeros between elements, "
        statement = (
            f"∂E/∂X is the full convolution of ∂E/∂O with F: ∂E/∂O, {zeros}padded by {pads}, is "
            "correlated with the filter rotated by 180°" + _by("dilation", layer, "dilation")
        )
        if layer.padding_mode != "zeros":
            statement += f"; then folded back, the adjoint of {layer.padding_mode} padding"
    claim = Claim(statement, lambda at: (at.gradient("x"), input_form(at)))
    return Decision("T2", claim, covers.input_cover, _pitfalls("x"))


def _phases(layer: ConvLayer) -> Decision:
    result = "O" if layer.transposed else "∂E/∂X"
    claim = Claim(
        f"{result} splits into {_numbers(layer, 'stride')} phases, one for each remainder of the "
        "stride; each is a plain correlation, without the inserted zeros",
        lambda at: (written_with_stride(at), phase_forms(written_with_stride(at))),
    )
    return Decision("T2′", claim, covers.phases_cover)


def _rotation(layer: ConvLayer) -> Decision:
    def turned(at: ConvLayer, flip: bool) -> Graph:
        return replace(at, flip=flip).graph

    def rotated(at: ConvLayer) -> Graph:
        plain = turned(at, False)
        core = replace(at, flip=False).roles
        return Graph((*plain.steps[:-1], *rotated_first(core, at.bias).steps))

    wrong = Claim("filter not rotated", lambda at: (turned(at, True), turned(at, False)))
    claim = Claim(
        "convolution is the correlation with the filter rotated by 180°",
        lambda at: (turned(at, True), rotated(at)),
    )
    controls = [(wrong.statement, wrong)] if any(w.kernel > 1 for w in layer.windows) else []
    return Decision("T3", claim, covers.rotation_cover, controls)


def _adjoint(layer: ConvLayer, by: str) -> Decision:
    statement = f"the gradient ∂E/∂{by} is the adjoint: ⟨O, G⟩ = ⟨{by}, ∂E/∂{by}⟩"
    statement += " + ⟨b, ∂E/∂b⟩" if layer.bias else ""
    return Decision(
        "T4",
        Claim(statement, _pairing(by, 0)),
        lambda at, sides: covers.adjoint_cover(at, by, sides),
        [("padding off by one", Claim("padding off by one", _pairing(by, 1)))],
    )


def _pairing(by: str, error: int) -> Sides:
    """Return the sides ⟨O, G⟩ and ⟨T, ∂E/∂T⟩, the latter's padding moved by an error."""

    def sides(layer: ConvLayer) -> tuple[Graph, Graph]:
        core = roles(layer)
        if not error:
            tensor = layer.tensors["x" if by == "X" else "weight"]
            form = input_form(layer) if by == "X" else weight_form(layer)
            whole = replace(core, cells=tensor) if by == "X" and not core.transposed else core
            return paired(whole, layer.graph, form, tensor, layer.bias)
        moved = replace(
            core,
            windows=tuple(replace(w, lo=w.lo + error, hi=w.hi - error) for w in core.windows),
        )
        if by == "F":
            axes = [FilterCorrelation.of(w) for w in moved.windows]
            form = Graph((filter_correlation(moved, axes),))
        elif core.transposed:
            form = Graph((strided_correlation(moved),))
        else:
            form = full_convolution(moved, [FullConvolution.of(w) for w in moved.windows])
        tensor = core.taps if by == "F" else core.x
        return paired(core, Graph(layer.graph.steps[-1:]), form, tensor, layer.bias)

    return sides


def _padding(layer: ConvLayer) -> Decision:
    """Return T6: of the steps that pad, one axis after the other."""

    def sides(at: ConvLayer) -> tuple[Graph, Graph]:
        pad = Graph(at.graph.steps[:-1])
        x, cotangent = at.tensors["x"], Tensor("Y", pad.output.shape)
        names = names_of(roles(at), x)
        left = inner(pad, (pad.output, cotangent, names))
        fold = gradient(pad, x, cotangent)
        return left, inner(fold, (x, fold.output, names))

    claim = Claim(
        f"{layer.padding_mode} padding copies one element of X to each element of the padded X, and its "
        "adjoint is the fold-back: each copy's gradient is added to its source",
        sides,
    )
    return Decision("T6", claim, lambda at, _: covers.padding_cover(at))


def _transposition(layer: ConvLayer) -> Decision:
    statement = "the transposed convolution is ∂E/∂X of the convolution with equal arguments"
    if layer.transposed:
        statement += ", restricted to its first P outputs"
    return Decision(
        "T4′",
        Claim(statement, _transposed(0)),
        lambda at, _: covers.transposition_cover(at),
        [("padding off by one", Claim("padding off by one", _transposed(1)))],
    )


def _transposed(error: int) -> Sides:
    """Return the sides ∂E/∂X of a convolution and its transposed one, whose padding is moved."""

    def sides(layer: ConvLayer) -> tuple[Graph, Graph]:
        layer = replace(layer, bias=False)
        if layer.transposed:
            x = layer.tensors["x"]
            pads = tuple((w.lo + error, w.hi - error) for w in layer.windows)
            conv = Conv(
                layer.output_shape,
                x.sizes[1],
                layer.kernel_size,
                layer.stride,
                pads,
                layer.dilation,
                layer.groups,
                bias=False,
                flip=layer.flip,
            )
            return layer.graph, gradient(conv.graph, conv.tensors["x"], x)
        back = covers.transposed_of(layer, error)
        cotangent = layer.cotangent
        (scatter,) = back.graph.programs[0].contractions
        reads = tuple(
            replace(r, tensor=cotangent) if r.tensor == back.tensors["x"] else r for r in scatter.reads
        )
        forward = Graph((Program((replace(scatter, factors=reads),)),))
        return layer.gradient("x"), forward

    return sides
