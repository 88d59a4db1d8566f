"""ONNX's products of matrices, and sums in index notation."""

from __future__ import annotations

import re
import string

import numpy as np

from symconv.building import Array, NotSupportedError, Value
from symconv.onnx.arithmetic import LETTERS, applied, scaled
from symconv.onnx.nodes import Call, short, with_bias


def gemm(call: Call) -> Value:
    """Return α·A·B + β·C; with constant B, a linear layer."""
    a, b, c = call.value(0), call.inputs[1], call.inputs[2] if len(call.inputs) > 2 else None
    alpha, beta = call.get("alpha", 1.0), call.get("beta", 1.0)
    if call.get("transA", 0):
        a = call.layer("Transpose", a, part="turned", axes=(1, 0))
    rows = isinstance(c, np.ndarray) and c.size in (1, c.shape[-1] if c.ndim else 1)
    if isinstance(b, np.ndarray) and (c is None or rows):
        weight = _times(b if call.get("transB", 0) else b.T, alpha)
        bias = None
        if isinstance(c, np.ndarray):
            bias = _times(np.broadcast_to(c, (1, len(weight)))[0], beta)
        return linear(call, a, weight, bias)
    product = _product(call, a, b, alpha, "" if c is None else "product")
    if isinstance(c, np.ndarray):
        return scaled(call, product, c * c.dtype.type(beta), "+")
    if c is None:
        return product
    shift = c if beta == 1 else applied(call, c, "x*c", "shift", c=beta)
    return call.layer("Add", product, shift)


def _product(call: Call, a: Value, b: Value | Array | None, alpha: float, part: str) -> Value:
    """Return α·A·B."""
    if isinstance(b, np.ndarray):
        weight = _times(b if call.get("transB", 0) else b.T, alpha)
        return linear(call, a, weight, None, part)
    b = call.value(1)
    if call.get("transB", 0):
        b = call.layer("Transpose", b, part="columns", axes=(1, 0))
    if alpha == 1:
        return call.layer("MatMul", a, b, part=part)
    return applied(call, call.layer("MatMul", a, b, part="matrices"), "x*c", part, c=alpha)


def _times(array: Array, number: float) -> Array:
    """Return an array times a number: itself for 1, so that what is shared stays so."""
    return array if number == 1 else array * array.dtype.type(number)


def linear(call: Call, x: Value, weight: Array, bias: Array | None, part: str = "") -> Value:
    """Return a linear layer."""
    params = with_bias(weight, bias)
    return call.layer(
        "Linear", x, part=part, params=params, out_features=len(weight), bias=bias is not None
    )


def matmul(call: Call) -> Value:
    """Return a product of matrices, one of which may be constant."""
    first, second = call.inputs
    if first is None or second is None:
        raise NotSupportedError("an input is missing")
    if min(len(first.shape), len(second.shape)) < 2:
        return _of_vectors(call, first, second)
    if isinstance(first, Value) and isinstance(second, Value):
        return call.layer("MatMul", first, second)
    if isinstance(first, Value) and isinstance(second, np.ndarray):
        if second.ndim == 2:
            return linear(call, first, second.T, None)
        return _summed(call, first, second, ("ik", "kj"))
    if isinstance(second, Value) and isinstance(first, np.ndarray):
        return _summed(call, second, first, ("kj", "ik"))
    raise NotSupportedError("both are constant")


def _of_vectors(call: Call, first: Value | Array, second: Value | Array) -> Value:
    """Return a product where one factor is a vector, by index notation."""
    if len(first.shape) == len(second.shape):
        raise NotSupportedError("gives a single number without axes")
    if not isinstance(first, Value) or not isinstance(second, Value):
        raise NotSupportedError("multiplies a constant with a vector")
    batch = LETTERS[: max(len(first.shape), len(second.shape)) - 2]
    one, two, result = (
        (["k"], [*batch, "k", "j"], [*batch, "j"])
        if len(first.shape) == 1
        else ([*batch, "i", "k"], ["k"], [*batch, "i"])
    )
    return call.layer(
        "Contraction",
        first,
        second,
        formula=f"O[{','.join(result)}] = X[{','.join(one)}] * Y[{','.join(two)}]",
        shapes={"X": first.shape, "Y": second.shape},
        values=2,
    )


def _summed(call: Call, x: Value, constants: Array, last: tuple[str, str]) -> Value:
    """Return a product with matrices of constants, as a sum over the axis k that they have in common."""
    batch = np.broadcast_shapes(x.shape[:-2], constants.shape[:-2])
    names = LETTERS[: len(batch)]
    reads = []
    for shape, own in ((x.shape, last[0]), (constants.shape, last[1])):
        pairs = zip(names[::-1], batch[::-1], shape[-3::-1], strict=False)
        at = [name if size == whole else "0" for name, whole, size in pairs]
        reads.append(",".join([*at[::-1], *own]))
    return call.layer(
        "Contraction",
        x,
        params={"weight": constants},
        formula=f"O[{','.join([*names, 'i', 'j'])}] = X[{reads[0]}] * weight[{reads[1]}]",
        shapes={"X": x.shape, "weight": constants.shape},
        extents=dict(zip(names, batch, strict=True)),
    )


def einsum(call: Call) -> Value:
    """Return a sum of products in index notation, which is symconv's own."""
    text = "".join(call.get("equation").split())
    if not re.fullmatch(r"[a-zA-Z,]+(->[a-zA-Z]*)?", text):
        raise NotSupportedError("has an ellipsis, or no equation")
    given, arrow, result = text.partition("->")
    terms, every = given.split(","), given.replace(",", "")
    result = result if arrow else "".join(sorted({a for a in every if every.count(a) == 1}))
    if not result or len(terms) != len(call.inputs) or any(len(set(t)) < len(t) for t in terms):
        raise NotSupportedError(f"equation {short(text)}")
    letters = dict(zip(dict.fromkeys(every), string.ascii_lowercase, strict=False))
    values: list[Value] = []
    params: dict[str, Array] = {}
    reads: list[str] = []
    shapes: dict[str, tuple[int, ...]] = {}
    inputs = [(i, t) for i, t in zip(call.inputs, terms, strict=True) if i is not None]
    for tensor, term in sorted(inputs, key=lambda pair: not isinstance(pair[0], Value)):
        name = f"X{len(reads) + 1}"
        reads.append(f"{name}[{','.join(letters[a] for a in term)}]")
        shapes[name] = tensor.shape
        if isinstance(tensor, Value):
            values.append(tensor)
        else:
            params[name.lower()] = tensor
    return call.layer(
        "Contraction",
        *values,
        params=params,
        formula=f"O[{','.join(letters[a] for a in result)}] = {' * '.join(reads)}",
        shapes=shapes,
        values=len(values),
    )
