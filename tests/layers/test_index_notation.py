"""Index notation: any sum of products against loops, convolutions recognised, refusals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from symconv import Contraction, Conv, ConvTranspose, SymconvError, check, derive, generate, prove
from symconv.layers import rebuild
from symconv.targets.numpy.plan import plan_layer
from symconv.unit import Unit
from tests.bridge import close
from tests.effort import many
from tests.oracles import index_notation as oracle

Array = NDArray[Any]
parse = Contraction.parse
LAYERS = {
    "locally connected": parse(
        "O[n,o,y,x] = X[n,c,y+i,x+j] * W[o,c,y,x,i,j]", X=(2, 3, 5, 5), W=(2, 3, 3, 3, 3, 3)
    ),
    "separable": parse(
        "O[n,c,y,x] = X[n,c,y+i-1,x+j-1] * A[c,i] * B[c,j]", X=(2, 3, 6, 6), A=(3, 3), B=(3, 3), y=6, x=6
    ),
    "shift": parse("O[n,c,x] = X[n,c,x-2]", X=(2, 3, 6), x=6),
    "bilinear upsampling": parse(
        "O[n,c,2*y+i-1,2*x+j-1] = X[n,c,y,x] * K[i] * K[j]", X=(1, 2, 4, 4), K=(4,), O=(1, 2, 8, 8)
    ),
    "depthwise": parse("O[n,c,y,x] = X[n,c,y+i,x+j] * F[c,i,j]", X=(1, 2, 5, 5), F=(2, 3, 3)),
    "im2col": parse("O[n,c,i,y] = X[n,c,y+i-1]", X=(1, 2, 5), i=3, y=5),
    "attention scores": parse("S2[n,q,k] = 1/2 * Q[n,q,d] * K[n,k,d]", Q=(2, 3, 4), K=(2, 5, 4)),
    "autocorrelation": parse("O[n,k] = X[n,i] * X[n,i+k]", X=(3, 8), k=3),
    "norm": parse("O[n] = X[n,i] * X[n,i]", X=(3, 4)),
    "trace": parse("T[] = A[i,i]", A=(4, 4)),
    "diagonal": parse("D[i,i] = V[i]", V=(4,)),
    "max pooling": parse("O[n,c,y,x] max= X[n,c,2*y+i,2*x+j]", X=(2, 3, 6, 6), i=2, j=2),
    "dilation by a structuring element": parse("O[n,o] max= X[n,i] * W[o,i]", X=(3, 4), W=(5, 4)),
    "max pooling of the negative": parse("O[n,c,x] max= -X[n,c,2*x+i-1]", X=(1, 2, 7), i=3),
    "erosion": parse("O[n,o] max= -1/2 * X[n,i] * W[o,i]", X=(3, 4), W=(5, 4)),
    "two tables of one tensor": parse(
        "O[n,o,y,x] = X[n,c,y+i,x+k]*F[o,c,i,k] + X[n,c,2*y+j,2*x+l]*H[o,c,j,l]",
        X=(1, 1, 7, 7),
        F=(4, 1, 3, 3),
        H=(4, 1, 2, 2),
        x=3,
        y=3,
    ),
    "a tensor correlated with itself": parse("O[n,o,x] = X[n,c,x+i]*X[o,c,i]", X=(2, 2, 9), i=3),
    "names of results": parse("O[n] max= s[n,i] * ggo[i]", s=(2, 3), ggo=(3,)),
    "names of builtins": parse("O[n] = Range[n,i]*Tuple[i] + Ty[n]", Range=(2, 3), Tuple=(3,), Ty=(2,)),
    "two windows": parse("O[x] = X[x+i]*F[i] - 3/4*X[2*x-j]*H[j]", X=(9,), F=(3,), H=(2,), x=4),
    "names of Python": parse("O[i] = Lambda[i,j] * I[j] - N[i]", Lambda=(2, 3), I=(3,), N=(2,)),
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_all_four_verbs(layer: Contraction) -> None:
    derivation = derive(layer)
    assert all(step.check.passed for step in derivation.steps), derivation
    assert "aligned" in derivation.latex()
    proof = prove(layer)
    assert proof.holds is True, proof
    assert all(control.refuted for theorem in proof.theorems for control in theorem.controls)
    report = check(generate(layer, "module", order=2))
    assert report.passed, report
    assert rebuild(layer.as_dict()) == layer


@dataclass(frozen=True)
class Drawn:
    """A formula as data, and as text."""

    target: Sequence[oracle.Subscript]
    terms: Sequence[oracle.Term]
    extents: dict[str, int]
    shapes: dict[str, tuple[int, ...]]

    @property
    def text(self) -> str:
        """The formula as text."""
        terms = [
            " * ".join([str(number), *(f"{n}[{_subscripts(at)}]" for n, at in factors)])
            for number, factors in self.terms
        ]
        return f"O[{_subscripts(self.target)}] = {' + '.join(terms).replace('+ -', '- ')}"

    def layer(self, dtype: str) -> Contraction:
        """Return the layer."""
        return Contraction(
            self.text, tuple(self.shapes.items()), tuple(self.extents.items()), dtype=dtype
        )


def _subscripts(at: Any) -> str:
    return ", ".join(
        " + ".join([*(f"{step}*{n}" for n, step in parts.items()), str(start)]).replace("+ -", "- ")
        for start, parts in at
    )


@st.composite
def formulas(draw: st.DrawFn) -> Drawn:
    """Draw a formula: any strides and offsets, diagonals, repeated and missing indices."""
    indices = "abcdxy"
    subscript = st.one_of(
        st.sampled_from(indices).map(lambda name: (0, {name: 1})),
        st.tuples(
            st.integers(-1, 2),
            st.dictionaries(st.sampled_from(indices), st.sampled_from([-1, 1, 2]), max_size=2),
        ),
    )
    ranks = {name: draw(st.integers(0, 3)) for name in "XFW"}
    names = st.lists(st.sampled_from("XFW"), min_size=1, max_size=3)

    def access(name: str) -> oracle.Factor:
        return name, [draw(subscript) for _ in range(ranks[name])]

    numbers = st.sampled_from([Fraction(1), Fraction(1), Fraction(-1), Fraction(2), Fraction(-3, 2)])
    terms: list[oracle.Term] = [
        (draw(numbers), [access(name) for name in draw(names)]) for _ in range(draw(st.integers(1, 2)))
    ]
    target = [draw(subscript) for _ in range(draw(st.integers(0, 3)))]
    used = {name for _, factors in terms for name, _ in factors}
    shapes = {n: tuple(draw(st.integers(1, 4)) for _ in range(ranks[n])) for n in sorted(used)}
    shapes["O"] = tuple(draw(st.integers(1, 4)) for _ in target)
    everywhere = [target, *(at for _, factors in terms for _, at in factors)]
    present = {name for at in everywhere for _, parts in at for name in parts}
    return Drawn(target, terms, {name: draw(st.integers(1, 3)) for name in sorted(present)}, shapes)


@settings(max_examples=many(150))
@given(formulas())
def test_random_formulas_are_what_loops_say(drawn: Drawn) -> None:
    layer = drawn.layer("float64")
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal(drawn.shapes[name]) for name in layer.symbols.values()}
    output = drawn.shapes["O"]
    products = list(oracle.visited(drawn.target, drawn.terms, drawn.extents, drawn.shapes, output))
    module = generate(layer, "module").load()
    inputs = [np.asarray(array) for array in arrays.values()]
    assert close(module.forward(*inputs), oracle.summed(products, arrays, output))
    cotangent = np.asarray(rng.standard_normal(output))
    wanted = oracle.gradients(products, arrays, cotangent)
    received = module.backward(cotangent, *inputs)
    scale = max(float(np.abs(array).max(initial=0)) for array in wanted.values())
    for name, array in zip(arrays, received, strict=True):
        assert np.abs(array - wanted[name]).max(initial=0) <= 1e-10 * max(scale, 1.0)


@pytest.mark.every
@pytest.mark.parametrize(
    "layer",
    [
        parse("O[2*c+y-1, a] = 2*X[a,1,b]", X=(1, 3, 2), O=(1, 1), a=3, c=3, y=2),  # spread and merged
        parse("O[y] = -3/2*F[d,2]*F[y,y]*W[0,0]", F=(3, 2), W=(4, 3), O=(1,), d=1, y=3),  # one element
        parse("O[] = F[x,1-c-b]*F[d,d] + F[d,2-c-b]", F=(4, 3), x=1, c=2, b=2, d=1),  # added up twice
        parse("O[2*a+d+1,2*a+d,0] = F[2-x,d+1,2*a+2*b+2]*X[] + X[]*X[]*F[0,d,0]",
              F=(1, 1, 1), X=(), O=(3, 2, 2), a=2, b=1, d=2, x=1),  # two views of equal steps
        parse("O[] = X[0] + X[a]", X=(1,), a=1),  # a number into an element
    ],
    ids=str,
)  # fmt: skip
def test_views_that_were_written_wrongly(layer: Contraction) -> None:
    report = check(generate(layer, "module", order=2))
    assert report.passed, report


@settings(max_examples=many(40))
@given(formulas())
def test_random_formulas_by_all_verbs(drawn: Drawn) -> None:
    layer = drawn.layer("float32")
    assert all(step.check.passed for step in derive(layer).steps)
    assert prove(layer).holds is True
    report = check(generate(layer, "module", order=2))
    assert report.passed, f"{drawn.text}\n{report}"


@pytest.mark.parametrize(
    ("layer", "conv"),
    [
        (
            parse(
                "O[n,o,y,x] = X[n,c,2*y+i-1,2*x+j-1] * F[o,c,i,j] + b[o]",
                X=(2, 3, 8, 8), F=(4, 3, 3, 3), b=(4,),
            ),
            Conv((2, 3, 8, 8), 4, 3, 2, padding=((1, 0), (1, 0))),
        ),
        (
            parse("Y[n,m,p] = A[n,c,p+3*k-2] * B[m,c,2-k]", A=(2, 3, 9), B=(4, 3, 3), p=5),
            Conv((2, 3, 9), 4, 3, padding=((2, 0),), dilation=3, bias=False, flip=True),
        ),
        (
            parse("O[n,o,x] = X[n,c,x-i] * F[o,c,i]", X=(2, 3, 8), F=(4, 3, 3), x=8),
            Conv((2, 3, 8), 4, 3, padding=((2, 0),), bias=False, flip=True),
        ),
        (
            parse("O[n,2*g+o,x] = X[n,3*g+c,x+i]*F[2*g+o,c,i]", X=(2, 6, 8), F=(4, 3, 3), g=2, o=2, c=3),
            Conv((2, 6, 8), 4, 3, groups=2, bias=False, padding=((0, 0),)),
        ),
        (
            parse("O[n,o,2*x+i] = X[n,c,x] * F[c,o,i]", X=(2, 3, 5), F=(3, 2, 3)),
            ConvTranspose((2, 3, 5), 2, 3, 2, bias=False, padding=((0, 0),)),
        ),
    ],
)  # fmt: skip
def test_convolutions_are_recognised(layer: Contraction, conv: Conv) -> None:
    """The same proof, and the same algorithms, as the layer's own."""
    found = layer.conv
    assert found is not None
    assert rebuild(found.as_dict()).graph == conv.graph
    proof = prove(layer)
    assert proof.holds is True
    assert {theorem.name for theorem in proof.theorems} >= {"R1", "T1", "T2"}
    plans = [plan_layer(found), plan_layer(layer)]
    chosen = [[type(c.algorithm) for c in plan.forward.candidates] for plan in plans]
    assert chosen[0] == chosen[1] != []


def test_almost_a_convolution_is_none() -> None:
    """Planted differences: another channel, a tap too few, a position too few, a number."""
    sizes: dict[str, Any] = {"X": (2, 3, 8), "F": (3, 3, 3)}
    assert parse("O[n,o,x] = X[n,c,x+i] * F[o,c,i]", **sizes).conv is not None
    for other in (
        "O[n,o,x] = X[n,o,x+i] * F[o,c,i]",
        "O[n,o,x] = X[n,c,x+i] * F[c,o,i]",
        "O[n,o,x] = X[n,c,i-x] * F[o,c,i]",
        "O[n,o,x] = 2*X[n,c,x+i] * F[o,c,i]",
        "O[n,o,x] = X[n,c,x+i] * F[o,c,i] * F[o,c,i]",
    ):
        layer = parse(other, **sizes, x=6)
        assert layer.conv is None, other
        assert check(generate(layer, "m")).passed
    for index, extent, recognised in (("i", 2, False), ("o", 2, False), ("x", 9, False), ("x", 6, True)):
        known = {**sizes, index: extent, "O": (2, 3, 6)}
        layer = parse("O[n,o,x] = X[n,c,x+i] * F[o,c,i]", **known)
        assert check(generate(layer, "m")).passed
        assert (layer.conv is not None) == recognised


@pytest.mark.needs("torch")
def test_bilinear_upsampling_is_pytorchs_inside() -> None:
    import torch
    from torch.nn import functional

    module = generate(LAYERS["bilinear upsampling"], "module").load()
    x = np.random.default_rng(0).standard_normal((1, 2, 4, 4)).astype(np.float32)
    ours = module.forward(x, np.array([1, 3, 3, 1], np.float32) / 4)
    theirs = functional.interpolate(torch.tensor(x), scale_factor=2, mode="bilinear").numpy()
    assert np.allclose(ours[:, :, 1:-1, 1:-1], theirs[:, :, 1:-1, 1:-1], atol=1e-6)


def test_a_planted_error_is_seen() -> None:
    unit = generate(LAYERS["locally connected"], "module")
    wrong = re.sub(r"(_strided\(x, \(0, 0, 0, )0", r"\g<1>1", unit.source)
    assert wrong != unit.source
    assert not check(Unit(unit.name, wrong, unit.plan)).passed


@pytest.mark.parametrize(
    ("text", "sizes", "said"),
    [
        ("O[n] = X[n,i", {"X": (2, 3)}, "expected ',' or '\\]', found 'the end'"),
        ("O[n] = X[n,i*j]", {"X": (2, 3)}, "two indices are multiplied: i and j"),
        ("O[n] = X[n,i] + Y[n]", {"X": (2, 3)}, r"Y: has no shape; give Y=\(...\), a tuple of 1 size "),
        ("O[n] = X[n,i]", {"X": (2,)}, "must have 2 sizes, as the formula reads it"),
        (
            "O[n] = X[n,i] * F[i]",
            {"X": (2, 3), "F": (4,)},
            "index i: X's axis 1 has 3 cells, F's",
        ),
        ("O[n,y] = X[n,y+i]", {"X": (2, 3)}, "index y: its extent is not known; give y="),
        ("O[n] = O[n,i]", {}, "O is on both sides"),
        ("O[n] = X[n] * X[n,i]", {"X": (2, 3)}, "X has 1 and 2 subscripts"),
        ("O[n] = __import__[n]", {}, "__import__: must be a tensor's name"),
        ("O[n] = G[n,i]", {"G": (2, 3)}, "G: must be a tensor's name"),
        ("O[n] = X[n,i] * Input[i]", {"X": (2, 3), "Input": (3,)}, "Input: must be a tensor's name"),
        ("O[n] = X[n] * F[n] * GGW[n]", {"X": (2,), "F": (2,), "GGW": (2,)}, "GGW: must be a tensor's"),
        ("O[n] = X[n] * x[n]", {"X": (2,), "x": (2,)}, "must be a tensor's name"),
        ("O[n+m] max= X[n,m]", {"X": (2, 2)}, "a maximum must be written at plain indices"),
        (
            "O[n] max= X[n,i+9]",
            {"X": (2, 2), "i": 2},
            "every maximum must have a term",
        ),
        ("O[n] = X[n] / 0", {"X": (2,)}, "divides by 0"),
        ("O[n] = 2", {}, "a product must have a tensor in it"),
        ("O[n] = X[n,9999999999*i]", {"X": (2, 3)}, "expected an integer to 1000000"),
        ("O[n] = X[n]; import os", {"X": (2,)}, "is no number, name or operator"),
        ("O[" + "n," * 3000 + "]", {}, "characters: must have at most 2000"),
        (
            "O[n] = X[n]",
            {"X": (2,), "F": (3,)},
            "F: is not a tensor of the formula, whose tensors are O, X",
        ),
        ("O[n] = Σ X[n,i]", {"X": (2, 3)}, "'Σ' is not written: what is not on the left is summed over"),
        ("O[n] = sum(X[n,i])", {"X": (2, 3)}, r"sum\(...\) is no tensor; what is not on the left is"),
        ("O[n] = X[n] · F[n]", {"X": (2,), "F": (2,)}, "'·' is written \\*"),
        ("O[n] = X[n,i]", {"X": (2, 3), "q": 3}, "extent q: must be an index's of the formula: n, i"),
    ],
)
def test_bad_formulas_are_refused(text: str, sizes: dict[str, Any], said: str) -> None:
    with pytest.raises(SymconvError, match=said):
        parse(text, **sizes)
