"""Every layer of the design, said in the language and evaluated against plain loops."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from numpy.typing import NDArray

from symconv import Conv, ConvTranspose
from symconv.notation.backpropagation import gradient
from symconv.notation.contraction import Access, Contraction, Program, Tensor, index
from symconv.notation.evaluate import evaluate
from symconv.notation.graph import Elementwise, Graph, Step
from symconv.notation.polynomial import Polynomial
from tests.bridge import close, expected
from tests.effort import many
from tests.strategies import layers

Array = NDArray[Any]
n, c, o, y, x, i, j, k = map(index, "ncoyxijk")


def contraction(target: Access, *factors: Access, **extents: int) -> Contraction:
    return Contraction(target, factors, tuple(extents.items()))


def program(target: Access, *factors: Access, **extents: int) -> Program:
    return Program((contraction(target, *factors, **extents),))


def scaled(target: Access, *factors: Access, by: Fraction, **extents: int) -> Program:
    return Program((Contraction(target, factors, tuple(extents.items()), coefficient=by),))


def largest(target: Access, *factors: Access, **extents: int) -> Program:
    return Program((Contraction(target, factors, tuple(extents.items()), reduce="max"),))


def elementwise(
    target: Access, expression: str, extents: dict[str, int], **arguments: Access | Polynomial
) -> Elementwise:
    symbols = {name: sympy.Symbol(name) for name in arguments}
    formulas: dict[str, Callable[..., Any]] = {
        "reciprocal": lambda a: 1 / a,
        "relu": lambda a: sympy.Max(a, 0),
        "exp_difference": lambda a, m: sympy.exp(a - m),
        "quotient": lambda a, b: a / b,
        "square_difference": lambda a, m: (a - m) ** 2,
        "normalised": lambda a, m, v, w, b: w * (a - m) / sympy.sqrt(v + sympy.Rational(1, 10**5)) + b,
        "running": lambda a, b: sympy.Rational(9, 10) * a + sympy.Rational(1, 10) * b,
        "product": lambda a, b: a * b,
        "one_hot": lambda label, at: sympy.Piecewise((1, sympy.Eq(label, at)), (0, True)),
        "log_sum": lambda m, s: m + sympy.log(s),
    }
    return Elementwise(
        target, formulas[expression](*symbols.values()), tuple(arguments.items()), tuple(extents.items())
    )


def run(steps: list[Step], **tensors: Array) -> Array:
    graph = Graph(tuple(steps))
    return evaluate(graph, tensors)[graph.output.name].astype(float)


def random(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


@settings(max_examples=many(150))
@given(layers())
def test_convolutions_and_their_gradients(layer: Conv | ConvTranspose) -> None:
    """Grouped, strided, dilated, cropped, extended, transposed, flipped; one to three axes."""
    want = expected(layer)
    tensors = {t.name: a for t, a in zip(layer.tensors.values(), want.inputs, strict=True)}
    computed = evaluate(layer.graph, tensors)
    assert close(computed["O"].astype(float), want.output)
    cotangent = layer.cotangent
    for tensor, wanted in zip(layer.tensors.values(), want.gradients, strict=True):
        backward = gradient(layer.graph, tensor, cotangent)
        known = evaluate(backward, {**computed, "G": want.cotangent})
        assert close(known[backward.output.name].astype(float), wanted)


def windows(size: int, kernel: int, stride: int, pad: int, dilation: int, ceil: bool) -> int:
    """Count pooling windows by PyTorch's rule: none begins in the padding after the input."""
    reach = size + 2 * pad - dilation * (kernel - 1) - 1
    count = (-(-reach // stride) if ceil else reach // stride) + 1
    return count - 1 if ceil and (count - 1) * stride >= size + pad else count


POOLS = [
    (size, kernel, stride, pad, dilation, ceil)
    for size, kernel, stride, pad, dilation, ceil in itertools.product(
        [5, 6, 8], [2, 3], [1, 2, 3], [0, 1], [1, 2], [False, True]
    )
    if 2 * pad <= kernel and windows(size, kernel, stride, pad, dilation, ceil) > 0
]


@pytest.mark.parametrize(("size", "kernel", "stride", "pad", "dilation", "ceil"), POOLS)
@pytest.mark.parametrize("include_pad", [False, True])
def test_average_pooling_with_a_varying_divisor(
    size: int, kernel: int, stride: int, pad: int, dilation: int, ceil: bool, include_pad: bool
) -> None:
    """The divisor is itself a correlation: of ones, over the cells that count."""
    out = windows(size, kernel, stride, pad, dilation, ceil)
    signal, sums = Tensor("X", (2, size)), Tensor("S", (2, out))
    ones = Tensor("one", (size + 2 * pad,) if include_pad else (size,))
    count, inverse, output = Tensor("D", (out,)), Tensor("R", (out,)), Tensor("O", (2, out))
    cell = x * stride + k * dilation
    values = random(2, size)
    got = run(
        [
            program(sums[n, x], signal[n, cell - pad], n=2, x=out, k=kernel),
            program(count[x], ones[cell if include_pad else cell - pad], x=out, k=kernel),
            elementwise(inverse[x], "reciprocal", {"x": out}, a=count[x]),
            program(output[n, x], sums[n, x], inverse[x], n=2, x=out),
        ],
        X=values,
        one=np.ones(ones.sizes),
    )
    for row, position in np.ndindex(2, out):
        cells = [stride * position + dilation * t - pad for t in range(kernel)]
        inside = [values[row, at] for at in cells if 0 <= at < size]
        counted = [at for at in cells if -pad <= at < size + pad] if include_pad else inside
        assert math.isclose(got[row, position], sum(inside) / len(counted), abs_tol=1e-12)


@pytest.mark.parametrize(("size", "kernel", "stride", "pad", "dilation", "ceil"), POOLS)
def test_max_pooling_where_padding_never_wins(
    size: int, kernel: int, stride: int, pad: int, dilation: int, ceil: bool
) -> None:
    out = windows(size, kernel, stride, pad, dilation, ceil)
    signal, output = Tensor("X", (2, size)), Tensor("O", (2, out))
    values = -np.abs(random(2, size)) - 1
    cell = x * stride + k * dilation - pad
    got = run([largest(output[n, x], signal[n, cell], n=2, x=out, k=kernel)], X=values)
    for row, position in np.ndindex(2, out):
        cells = [stride * position + dilation * t - pad for t in range(kernel)]
        assert got[row, position] == max(values[row, at] for at in cells if 0 <= at < size)


def test_global_pools() -> None:
    values = random(2, 3, 4, 5)
    signal, output = Tensor("X", values.shape), Tensor("O", (2, 3))
    sizes = {"n": 2, "c": 3, "y": 4, "x": 5}
    mean = scaled(output[n, c], signal[n, c, y, x], by=Fraction(1, 20), **sizes)
    assert close(run([mean], X=values), values.mean((2, 3)))
    assert close(run([largest(output[n, c], signal[n, c, y, x], **sizes)], X=values), values.max((2, 3)))


def test_linear() -> None:
    values, weight, bias = random(3, 4), random(5, 4), random(5)
    X, W, b, O = (Tensor(*t) for t in (("X", (3, 4)), ("W", (5, 4)), ("b", (5,)), ("O", (3, 5))))  # noqa: E741  # O is the output's name
    step = Program(
        (
            contraction(O[n, o], X[n, c], W[o, c], n=3, o=5, c=4),
            contraction(O[n, o], b[o], n=3, o=5),
        )
    )
    want = [
        [
            sum(v * w for v, w in zip(row, ws, strict=True)) + t
            for ws, t in zip(weight, bias, strict=True)
        ]
        for row in values
    ]
    assert close(run([step], X=values, W=weight, b=bias), np.array(want))


def test_activation() -> None:
    values = random(2, 3)
    X, O = Tensor("X", (2, 3)), Tensor("O", (2, 3))  # noqa: E741  # O is the output's name
    got = run([elementwise(O[n, c], "relu", {"n": 2, "c": 3}, a=X[n, c])], X=values)
    assert got.tolist() == [[max(v, 0) for v in row] for row in values]


def test_flatten_and_reshape() -> None:
    """A write (and a read) at a mixed-radix subscript."""
    values = random(2, 3, 4, 5)
    X, flat, shaped = Tensor("X", values.shape), Tensor("V", (2, 60)), Tensor("O", (2, 6, 10))
    steps: list[Step] = [
        program(flat[n, c * 20 + y * 5 + x], X[n, c, y, x], n=2, c=3, y=4, x=5),
        program(shaped[n, i, j], flat[n, i * 10 + j], n=2, i=6, j=10),
    ]
    assert run(steps[:1], X=values).tolist() == values.reshape(2, 60).tolist()
    assert run(steps, X=values).tolist() == values.reshape(2, 6, 10).tolist()


def test_add_and_concat() -> None:
    a, b = random(2, 3), random(2, 4)
    A, B, S, O = (Tensor(*t) for t in (("A", (2, 3)), ("B", (2, 4)), ("S", (2, 3)), ("O", (2, 7))))  # noqa: E741  # O is the output's name
    double = Program((contraction(S[n, c], A[n, c], n=2, c=3),) * 2)
    both = Program(
        (contraction(O[n, c], A[n, c], n=2, c=3), contraction(O[n, c + 3], B[n, c], n=2, c=4))
    )
    assert run([double], A=a).tolist() == (a + a).tolist()
    assert run([both], A=a, B=b).tolist() == [
        [*u, *v] for u, v in zip(a.tolist(), b.tolist(), strict=True)
    ]


def normalisation(
    X: Tensor, mean: Access, variance: Access, sizes: dict[str, int], share: Fraction
) -> list[Step]:
    """Mean, variance and the normalised tensor; what the mean is over is what its access leaves out."""
    w, b = Tensor("w", (X.shape[1],)), Tensor("b", (X.shape[1],))
    squares, output = Tensor("Q", X.shape), Tensor("O", X.shape)
    return [
        scaled(mean, X[n, c, x], by=share, **sizes),
        elementwise(squares[n, c, x], "square_difference", sizes, a=X[n, c, x], m=mean),
        scaled(variance, squares[n, c, x], by=share, **sizes),
        elementwise(
            output[n, c, x], "normalised", sizes, a=X[n, c, x], m=mean, v=variance, w=w[c], b=b[c]
        ),
    ]


def test_batch_norm_in_training_with_its_running_mean() -> None:
    values, w, b, old = random(3, 2, 4), random(2), random(2), random(2)
    X, mean, variance = Tensor("X", values.shape), Tensor("m", (2,)), Tensor("v", (2,))
    sizes = {"n": 3, "c": 2, "x": 4}
    steps = normalisation(X, mean[c], variance[c], sizes, Fraction(1, 12))
    got = run(steps, X=values, w=w, b=b)
    running = elementwise(Tensor("r", (2,))[c], "running", {"c": 2}, a=Tensor("old", (2,))[c], b=mean[c])
    for channel in range(2):
        plane = values[:, channel]
        centre = plane.mean()
        spread = ((plane - centre) ** 2).mean()
        want = w[channel] * (plane - centre) / math.sqrt(spread + 1e-5) + b[channel]
        assert close(got[:, channel], want)
    new = run([*steps, running], X=values, w=w, b=b, old=old)
    assert close(new, 0.9 * old + 0.1 * values.mean((0, 2)))


def test_batch_norm_in_inference() -> None:
    values, w, b, m, v = random(3, 2, 4), random(2), random(2), random(2), random(2) ** 2
    X, O = Tensor("X", values.shape), Tensor("O", values.shape)  # noqa: E741  # O is the output's name
    mean, variance, weight, bias = (Tensor(name, (2,)) for name in "mvwb")
    step = elementwise(
        O[n, c, x],
        "normalised",
        {"n": 3, "c": 2, "x": 4},
        a=X[n, c, x],
        m=mean[c],
        v=variance[c],
        w=weight[c],
        b=bias[c],
    )
    got = run([step], X=values, m=m, v=v, w=w, b=b)
    for cell in np.ndindex(values.shape):
        at = cell[1]
        assert math.isclose(
            got[cell],
            w[at] * (values[cell] - m[at]) / math.sqrt(v[at] + 1e-5) + b[at],
            abs_tol=1e-12,
        )


def test_layer_norm() -> None:
    values, w, b = random(3, 2, 4), np.ones(2), np.zeros(2)
    X, mean, variance = Tensor("X", values.shape), Tensor("m", (3,)), Tensor("v", (3,))
    got = run(
        normalisation(X, mean[n], variance[n], {"n": 3, "c": 2, "x": 4}, Fraction(1, 8)),
        X=values,
        w=w,
        b=b,
    )
    for image in range(3):
        rest = values[image] - values[image].mean()
        assert close(got[image], rest / math.sqrt((rest**2).mean() + 1e-5))


def softmax_steps(X: Tensor, rows: int, columns: int) -> list[Step]:
    top, sums = Tensor("m", (rows,)), Tensor("s", (rows,))
    powers, output = Tensor("e", (rows, columns)), Tensor("P", (rows, columns))
    sizes = {"n": rows, "c": columns}
    return [
        largest(top[n], X[n, c], **sizes),
        elementwise(powers[n, c], "exp_difference", sizes, a=X[n, c], m=top[n]),
        program(sums[n], powers[n, c], **sizes),
        elementwise(output[n, c], "quotient", sizes, a=powers[n, c], b=sums[n]),
    ]


def test_softmax_is_stable() -> None:
    values = random(3, 4) * 1000
    got = run(softmax_steps(Tensor("X", (3, 4)), 3, 4), X=values)
    for row, shares in zip(values, got, strict=True):
        powers = [math.exp(v - max(row)) for v in row]
        assert close(shares, np.array(powers) / sum(powers))


def test_softmax_cross_entropy_with_integer_labels() -> None:
    """A label selects by an index's own value: the mean of logsumexp(x) - x[label]."""
    values, labels = random(3, 4), np.array([2, 0, 3])
    X, label, one_hot = Tensor("X", (3, 4)), Tensor("t", (3,)), Tensor("h", (3, 4))
    log_sum, loss = Tensor("l", (3,)), Tensor("E", (1,))
    nothing = Polynomial.lift(0)
    got = run(
        [
            *softmax_steps(X, 3, 4)[:3],
            elementwise(log_sum[n], "log_sum", {"n": 3}, m=Tensor("m", (3,))[n], s=Tensor("s", (3,))[n]),
            elementwise(one_hot[n, c], "one_hot", {"n": 3, "c": 4}, label=label[n], at=c),
            Program(
                (
                    Contraction(loss[nothing], (log_sum[n],), (("n", 3),), coefficient=Fraction(1, 3)),
                    Contraction(
                        loss[nothing],
                        (one_hot[n, c], X[n, c]),
                        (("n", 3), ("c", 4)),
                        coefficient=Fraction(-1, 3),
                    ),
                )
            ),
        ],
        X=values,
        t=labels,
    )
    want = [math.log(sum(map(math.exp, row))) - row[t] for row, t in zip(values, labels, strict=True)]
    assert math.isclose(got[0], sum(want) / 3, rel_tol=1e-12)


def test_mean_squared_error() -> None:
    a, b = random(2, 3), random(3, 2).T
    A, B, Q, E = Tensor("A", (2, 3)), Tensor("B", (2, 3)), Tensor("Q", (2, 3)), Tensor("E", (1,))
    sizes = {"n": 2, "c": 3}
    got = run(
        [
            elementwise(Q[n, c], "square_difference", sizes, a=A[n, c], m=B[n, c]),
            scaled(E[Polynomial.lift(0)], Q[n, c], by=Fraction(1, 6), **sizes),
        ],
        A=a,
        B=b,
    )
    assert math.isclose(got[0], ((a - b) ** 2).mean(), rel_tol=1e-12)


def test_a_network_is_a_longer_graph() -> None:
    """Convolution, ReLU, global average: the steps of three layers, one after the other."""
    layer = Conv((2, 1, 5), 3, 2, dtype="float64")
    want = expected(layer)
    active, pooled = Tensor("A", layer.output_shape), Tensor("P", (2, 3))
    sizes = {"n": 2, "c": 3, "x": 4}
    got = run(
        [
            *layer.graph.steps,
            elementwise(active[n, c, x], "relu", sizes, a=layer.graph.output[n, c, x]),
            scaled(pooled[n, c], active[n, c, x], by=Fraction(1, 4), **sizes),
        ],
        **{t.name: a for t, a in zip(layer.tensors.values(), want.inputs, strict=True)},
    )
    assert close(got, np.maximum(want.output, 0).mean(2))


def test_the_evaluator_tells_a_wrong_program_from_a_right_one() -> None:
    """A planted error: the padding off by one."""
    values = random(1, 6)
    signal, output = Tensor("X", (1, 6)), Tensor("O", (1, 6))
    right = run([program(output[n, x], signal[n, x + k - 1], n=1, x=6, k=3)], X=values)
    wrong = run([program(output[n, x], signal[n, x + k], n=1, x=6, k=3)], X=values)
    want = [sum(values[0, at] for at in (p - 1, p, p + 1) if 0 <= at < 6) for p in range(6)]
    assert close(right[0], np.array(want))
    assert not close(wrong[0], np.array(want))


def slope(graph: Graph, by: Tensor, tensors: dict[str, Array], cotangent: Array) -> Array:
    """Return ∂E/∂(by) by central differences of E = ⟨O, G⟩."""

    def energy(value: Array) -> float:
        return float((run(list(graph.steps), **{**tensors, by.name: value}) * cotangent).sum())

    value = tensors[by.name]
    found = np.empty(value.shape)
    for cell in np.ndindex(value.shape):
        moved = [value.astype(float), value.astype(float)]
        moved[0][cell] -= 1e-5
        moved[1][cell] += 1e-5
        found[cell] = (energy(moved[1]) - energy(moved[0])) / 2e-5
    return found


def normalised() -> tuple[list[Step], dict[str, Array]]:
    X, mean, variance = Tensor("X", (3, 2, 4)), Tensor("m", (2,)), Tensor("v", (2,))
    steps = normalisation(X, mean[c], variance[c], {"n": 3, "c": 2, "x": 4}, Fraction(1, 12))
    return steps, {"X": random(3, 2, 4), "w": random(2), "b": random(2)}


def pooled() -> tuple[list[Step], dict[str, Array]]:
    """Return a maximum of a tensor that is read twice more."""
    X, A, O = Tensor("X", (2, 6)), Tensor("A", (2, 3)), Tensor("O", (2, 3))  # noqa: E741  # O is the output's name
    steps: list[Step] = [
        largest(A[n, x], X[n, x * 2 + k - 1], n=2, x=3, k=3),
        Program(
            (
                contraction(O[n, x], A[n, x], X[n, x], n=2, x=3),
                contraction(O[n, x], X[n, x * 2], n=2, x=3),
            )
        ),
    ]
    return steps, {"X": np.random.default_rng(1).permutation(12).reshape(2, 6).astype(float)}


@pytest.mark.parametrize(
    "example",
    [
        normalised(),
        pooled(),
        (softmax_steps(Tensor("X", (3, 4)), 3, 4), {"X": random(3, 4)}),
    ],
    ids=["normalisation", "maximum", "softmax"],
)
def test_the_chain_rule_through_a_graph(example: tuple[list[Step], dict[str, Array]]) -> None:
    steps, tensors = example
    graph = Graph(tuple(steps))
    cotangent = np.random.default_rng(0).standard_normal(graph.output.sizes)
    G = Tensor("G", graph.output.shape)
    for name, by in graph.inputs.items():
        back = gradient(graph, by, G)
        assert back.output.shape == by.shape
        got = evaluate(back, {**tensors, "G": cotangent})[back.output.name].astype(float)
        assert np.allclose(got, slope(graph, by, tensors, cotangent), atol=1e-6), name


def test_a_gradient_recomputes_only_what_it_reads() -> None:
    graph = Conv((1, 2, 6), 2, 3, padding=1, padding_mode="reflect", bias=False).graph
    G = Tensor("G", graph.output.shape)
    X, F = graph.inputs["X"], graph.inputs["F"]
    assert gradient(graph, F, G).steps[:1] == graph.steps[:1]
    assert graph.steps[0] not in gradient(graph, X, G).steps
    with pytest.raises(ValueError, match="does not depend on b"):
        gradient(graph, Tensor("b", (2,)), G)
