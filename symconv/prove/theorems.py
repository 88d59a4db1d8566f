"""The theorems about a layer, each with its negative controls: false claims that must be refuted."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from symconv.derive.derivation import WIDTH
from symconv.derive.forms import (
    FilterCorrelation,
    FullConvolution,
    filter_correlation,
    full_convolution,
    input_form,
    roles,
    strided_correlation,
    swapped,
    weight_form,
)
from symconv.layers.conv import Conv, ConvLayer, ConvTranspose
from symconv.notation.contraction import Access, Contraction, Program, Tensor, index
from symconv.notation.graph import Graph, gradient
from symconv.notation.names import TAPS
from symconv.prove.claims import Claim, Counterexample, Sides, agrees, compare, refute
from symconv.prove.pitfalls import PITFALLS, Pitfall, Sweep

ANSWERS = {True: "holds", False: "IS FALSE", None: "is not proved"}


@dataclass(frozen=True)
class Control:
    """A false claim beside a theorem: what is wrong in it, and the numbers that refute it."""

    name: str
    counterexample: Counterexample | None

    @property
    def refuted(self) -> bool:
        """Whether a counterexample was found."""
        return self.counterexample is not None


@dataclass(frozen=True)
class Theorem:
    """A statement about the layer and what it rests on.

    ``holds`` is True, False (then ``counterexample`` has the numbers), or None: not proved.
    """

    name: str
    statement: str
    holds: bool | None
    method: str
    evidence: str
    counterexample: Counterexample | None
    controls: tuple[Control, ...]


@dataclass(frozen=True)
class Proof:
    """All theorems about a layer."""

    layer: ConvLayer
    theorems: tuple[Theorem, ...]

    @property
    def holds(self) -> bool | None:
        """True if every theorem holds, False if one is false, else None: one is not proved."""
        answers = [theorem.holds for theorem in self.theorems]
        return False if False in answers else None if None in answers else True

    def text(self) -> str:
        """Return the proof for a terminal: each theorem, what it rests on, its refuted controls."""
        lines: list[str] = []
        for theorem in self.theorems:
            lines += _indented(f"{theorem.name} {ANSWERS[theorem.holds]}: {theorem.statement}", 0)
            lines += _indented(f"{theorem.method}: {theorem.evidence}", 4)
            if theorem.counterexample:
                lines += _indented(f"counterexample: {theorem.counterexample.text}", 4)
            for control in theorem.controls:
                found = control.counterexample
                text = f"refuted: {found.text}" if found else "not refuted at these or smaller sizes"
                lines += _indented(f"false claim ({control.name}) {text}", 4)
        return "\n".join(lines) + "\n"

    def __str__(self) -> str:
        return self.text()


def _indented(text: str, columns: int) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=" " * columns, subsequent_indent=" " * (columns + 4)
    )


def prove_layer(layer: ConvLayer) -> Proof:
    """Decide the theorems about a layer, and show that their controls are refuted."""
    plain = replace(layer, bias=False)  # a bias adds the same to both sides
    decisions = [_weight(plain), _input(plain), _rotation(plain)]
    decisions += _adjointness(plain) + _transposition(plain)
    return Proof(layer, tuple(_decide(*decision, plain) for decision in decisions))


def _decide(name: str, claim: Claim, controls: Sequence[tuple[str, Claim]], layer: ConvLayer) -> Theorem:
    holds, method, evidence = compare(claim, layer)
    counterexample = None if holds else refute(claim, layer)
    return Theorem(
        name,
        claim.statement,
        False if counterexample else holds,
        method,
        evidence,
        counterexample,
        tuple(found for wrong, false in controls if (found := _control(wrong, false, layer))),
    )


def _control(name: str, claim: Claim, layer: ConvLayer) -> Control | None:
    """Refute a wrong rule; None where it is right, for these arguments."""
    if agrees(claim, layer):
        return None
    return Control(name, refute(claim, layer))


Decision = tuple[str, Claim, list[tuple[str, Claim]]]


def _weight(layer: ConvLayer) -> Decision:
    cells, positions = ("X", "∂E/∂O") if isinstance(layer, Conv) else ("∂E/∂O", "X")
    statement = (
        f"∂E/∂F is the correlation of {cells} with {positions}: "
        f"stride d = {_numbers(layer, 'dilation')}, dilation s = {_numbers(layer, 'stride')}, "
        f"the same padding, natural size K + ⌊r/d⌋ (r = {_numbers(layer, 'remainder')}) "
        f"cropped to K = {_numbers(layer, 'kernel')}"
    )
    return (
        "T1",
        Claim(statement, lambda at: (swapped(at, "weight"), weight_form(at))),
        _pitfalls("weight"),
    )


def _pitfalls(sweep: Sweep) -> list[tuple[str, Claim]]:
    """Return the known wrong rules for a sweep, as claims."""
    return [(p.name, Claim(p.name, partial(_against, p))) for p in PITFALLS if p.sweep == sweep]


def _against(pitfall: Pitfall, layer: ConvLayer) -> tuple[Graph, Graph]:
    """Return a gradient and what a wrong rule computes; where the rule is right, it twice."""
    truth = swapped(layer, pitfall.sweep)
    return truth, pitfall.wrong(layer) or truth


def _numbers(layer: ConvLayer, name: str) -> str:
    """Write one of a layer's sizes along each axis."""
    return "×".join(str(getattr(w, name)) for w in layer.windows)


def _input(layer: ConvLayer) -> Decision:
    if isinstance(layer, ConvTranspose):
        statement = (
            f"∂E/∂X is the correlation of ∂E/∂O with F: stride s = {_numbers(layer, 'stride')}, "
            f"dilation d = {_numbers(layer, 'dilation')}, the same padding, its first "
            f"P = {_numbers(layer, 'outputs')} outputs"
        )

    else:
        statement = (
            "∂E/∂X is the full convolution: ∂E/∂O stuffed to s(P-1)+1 cells "
            f"(s = {_numbers(layer, 'stride')}), padded by (d(K-1) - lo, d(K-1) - hi + r) = "
            f"{', '.join(str((a.lo, a.hi)) for a in map(FullConvolution.of, roles(layer).windows))}, "
            f"with the filter rotated by 180°, dilation d = {_numbers(layer, 'dilation')}, stride 1"
        )
        if layer.padding_mode != "zeros":
            statement += f"; then folded back, the adjoint of {layer.padding_mode} padding"
    return (
        "T2",
        Claim(statement, lambda at: (swapped(at, "x"), input_form(at))),
        _pitfalls("x"),
    )


def _rotation(layer: ConvLayer) -> Decision:
    return (
        "T3",
        Claim(
            "convolution is the correlation with the filter rotated by 180°",
            lambda at: (_flipped(at), _rotate_first(at)),
        ),
        [
            (
                "filter not rotated",
                Claim("filter not rotated", lambda at: (_flipped(at), replace(at, flip=False).graph)),
            )
        ]
        if any(w.kernel > 1 for w in layer.windows)
        else [],
    )


def _flipped(layer: ConvLayer) -> Graph:
    return replace(layer, flip=True).graph


def _rotate_first(layer: ConvLayer) -> Graph:
    """Rotate the filter, then correlate with it."""
    plain = replace(layer, flip=False)
    weight = plain.tensors["weight"]
    rotated = Tensor("Frot", weight.shape)
    names = ("o", "c", *TAPS[len(layer.windows)])
    taps = [-index(name) + (size - 1) for name, size in zip(names[2:], weight.shape[2:], strict=True)]
    rotate = Program(
        (
            Contraction(
                target=Access(rotated, tuple(map(index, names))),
                factors=(Access(weight, (index("o"), index("c"), *taps)),),
                extents=tuple(zip(names, weight.shape, strict=True)),
            ),
        )
    )
    return Graph((*plain.graph.steps[:-1], rotate, _reading(plain.graph, weight, rotated)))


def _reading(graph: Graph, tensor: Tensor, instead: Tensor) -> Program:
    """Return a graph's last program, one tensor it reads exchanged for another."""
    last = graph.steps[-1]
    assert isinstance(last, Program)  # a convolution's sum
    return Program(
        tuple(
            replace(
                c,
                factors=tuple(
                    replace(f, tensor=instead) if isinstance(f, Access) and f.tensor == tensor else f
                    for f in c.factors
                ),
            )
            for c in last.contractions
        )
    )


def _adjointness(layer: ConvLayer) -> list[Decision]:
    return [
        (
            "T4",
            Claim(f"⟨O, G⟩ = ⟨{by}, ∂E/∂{by}⟩, without bias", _pairing(name, 0)),
            [("padding off by one", Claim("padding off by one", _pairing(name, 1)))],
        )
        for by, name in (("X", "x"), ("F", "weight"))
    ]


def _pairing(name: str, error: int) -> Sides:
    """Return the sides ⟨O, G⟩ and ⟨T, ∂E/∂T⟩, the latter's padding moved by an error."""

    def sides(layer: ConvLayer) -> tuple[Graph, Graph]:
        parts = roles(layer)
        if not error:
            form = input_form(layer) if name == "x" else weight_form(layer)
            cotangent = Tensor("G", layer.output_shape)
            return _inner(layer.graph, cotangent), _inner(form, layer.tensors[name])
        windows = tuple(replace(w, lo=w.lo + error, hi=w.hi - error) for w in parts.windows)
        moved = replace(parts, windows=windows)
        truth = _inner(Graph(layer.graph.steps[-1:]), Tensor("G", layer.output_shape))
        if name == "weight":
            axes = [FilterCorrelation.of(w) for w in windows]
            return truth, _inner(Graph((filter_correlation(moved, axes),)), parts.taps)
        if isinstance(layer, ConvTranspose):
            return truth, _inner(Graph((strided_correlation(moved),)), parts.positions)
        full = full_convolution(moved, [FullConvolution.of(w) for w in windows])
        return truth, _inner(full, parts.cells)

    return sides


def _inner(graph: Graph, other: Tensor) -> Graph:
    """Return the inner product of what a graph computes with another tensor, as one number."""
    last = graph.steps[-1]
    assert isinstance(last, Program)  # the sums of a convolution
    total = Tensor("E", (1,))
    return Graph(
        (
            *graph.steps[:-1],
            Program(
                tuple(
                    replace(
                        c,
                        target=total[0],
                        factors=(*c.factors, Access(other, c.target.subscripts)),
                    )
                    for c in last.contractions
                )
            ),
        )
    )


def _transposition(layer: ConvLayer) -> list[Decision]:
    if len(layer.graph.steps) > 1:
        return []  # frameworks define transposed convolutions for zeros only
    statement = "the transposed convolution is ∂E/∂X of the convolution with equal arguments"
    if isinstance(layer, ConvTranspose):
        statement += ", restricted to its first P outputs"
    return [
        (
            "T4'",
            Claim(statement, _transposed(0)),
            [("padding off by one", Claim("padding off by one", _transposed(1)))],
        )
    ]


def _transposed(error: int) -> Sides:
    """Return the sides ∂E/∂X of a convolution and its transposed one, whose padding is moved."""

    def sides(layer: ConvLayer) -> tuple[Graph, Graph]:
        windows = layer.windows
        pads = tuple((w.lo + error, w.hi - error) for w in windows)
        if isinstance(layer, ConvTranspose):
            x = layer.tensors["x"]
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
        added = tuple(w.remainder for w in windows)
        back = ConvTranspose(
            layer.output_shape,
            layer.input_shape[1],
            layer.kernel_size,
            layer.stride,
            pads,
            added,
            layer.dilation,
            layer.groups,
            bias=False,
            flip=layer.flip,
        )
        cotangent = Tensor("G", layer.output_shape)
        forward = Graph((_reading(back.graph, back.tensors["x"], cotangent),))
        return swapped(layer, "x"), forward

    return sides
