"""Layers made fewer: functions of one value become one function, and BatchNorm joins a convolution.

That a chain is a named function, and that BatchNorm joins a convolution, are identities that SymPy
confirms when they are used. Any other chain is one function by substitution.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import prod
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from symconv.building import Array
from symconv.layers.activations import NAMED
from symconv.layers.entries import Node
from symconv.layers.layer import rebuild
from symconv.layers.network import Network

if TYPE_CHECKING:
    import sympy


@dataclass(frozen=True)
class Fusion:
    """Layers that became one, and the identity that allows it."""

    layers: tuple[str, ...]
    into: str
    identity: str


def fused(
    network: Network, params: Mapping[str, Array]
) -> tuple[Network, dict[str, Array], tuple[Fusion, ...]]:
    """Return a network with the same results and fewer layers, its parameters, and what was fused."""
    trained = {name.rpartition(".")[0] for name in network.trainable}
    nodes, held, normalised = _with_batch_norm(network, params, trained)
    nodes, chains = _with_chains(nodes, network.outputs)
    joined = {name: fusion.into for fusion in normalised for name in fusion.layers}
    chosen = [name for name in network.trainable if name.rpartition(".")[0] not in joined]
    chosen += [fusion.into for fusion in normalised if fusion.layers[0] in trained]
    again = replace(network, layers=tuple(nodes), trainable=tuple(chosen))
    return again, {name: held[name] for name in again.held if name in held}, (*normalised, *chains)


def _readers(nodes: Collection[Node]) -> dict[str, list[Node]]:
    """Return which layers take each value."""
    found: dict[str, list[Node]] = {}
    for node in nodes:
        for source in node.sources:
            found.setdefault(source, []).append(node)
    return found


# a convolution and the normalisation behind it


@cache
def batch_norm_identity() -> str:
    """Return the identity by which BatchNorm joins a convolution, if SymPy confirms it; else ""."""
    import sympy

    w, x, b, m, v, e, g, s = sympy.symbols("w x b mu sigma2 epsilon gamma beta", real=True)
    root = sympy.sqrt(v + e)
    apart = g * (w * x + b - m) / root + s
    joined = (g / root * w) * x + (b - m) * g / root + s
    if sympy.simplify(apart - joined) != 0:
        return ""
    return "γ(Wx + b − μ)/√(σ² + ε) + β = (γ/√(σ² + ε) · W)x + γ(b − μ)/√(σ² + ε) + β"


def _with_batch_norm(
    network: Network, given: Mapping[str, Array], trained: Collection[str]
) -> tuple[list[Node], dict[str, Array], list[Fusion]]:
    """Return the layers with each BatchNorm in the convolution before it, and their parameters.

    Both stay if only one of them is trained.
    """
    nodes, params = network.nodes, dict(given)
    readers = _readers(nodes)
    found: list[Fusion] = []
    by_name = {node.name: node for node in nodes}
    replaced: dict[str, Node | None] = {}
    for norm in nodes:
        conv = by_name.get(norm.sources[0]) if norm.layer.statistic_names else None
        layer: Any = norm.layer
        if conv is None or layer.training or conv.shares or not _is_conv(conv):
            continue
        if readers[conv.name] != [norm] or conv.name in network.outputs or not batch_norm_identity():
            continue
        if (conv.name in trained) != (norm.name in trained):
            continue
        params, joined = _joined(conv, norm, params)
        replaced |= {conv.name: None, norm.name: joined}
        found.append(Fusion((conv.name, norm.name), norm.name, batch_norm_identity()))
    kept = [replaced.get(node.name, node) for node in nodes]
    return [node for node in kept if node is not None], params, found


def _is_conv(node: Node) -> bool:
    found = node.layer.convolution
    return found is not None and found.plain == node.layer


def _joined(conv: Node, norm: Node, params: dict[str, Array]) -> tuple[dict[str, Array], Node]:
    """Return the parameters, and the convolution with those of its normalisation in them."""
    own = {name for name in params if name.startswith((f"{conv.name}.", f"{norm.name}."))}
    wide = {name: np.asarray(params[name], np.float64) for name in own}
    layer: Any = norm.layer
    root = np.sqrt(wide[f"{norm.name}.running_var"] + layer.eps)
    factor = wide[f"{norm.name}.weight"] / root
    weight = wide[f"{conv.name}.weight"]
    bias = wide.get(f"{conv.name}.bias", np.zeros(len(weight)))
    shift = (bias - wide[f"{norm.name}.running_mean"]) * factor + wide[f"{norm.name}.bias"]
    scaled = weight * factor.reshape(-1, *(1,) * (weight.ndim - 1))
    kept = {name: array for name, array in params.items() if name not in own}
    dtype = norm.layer.dtype
    kept |= {f"{norm.name}.weight": scaled.astype(dtype), f"{norm.name}.bias": shift.astype(dtype)}
    whole = rebuild({**conv.layer.as_dict(), "bias": True})
    return kept, replace(conv, name=norm.name, layer=whole)


# functions of one value


def _with_chains(nodes: Collection[Node], outputs: Collection[str]) -> tuple[list[Node], list[Fusion]]:
    """Return the layers with functions of one value as one function."""
    readers = _readers(nodes)
    found: list[Fusion] = []
    by_name = {node.name: node for node in nodes}
    gone: set[str] = set()
    replaced: dict[str, Node] = {}
    for root in reversed(list(nodes)):
        if root.name in gone or not _is_pointwise(root):
            continue
        chain = _chain(root, by_name, readers, outputs)
        leaves = {source for node in chain.values() for source in node.sources if source not in chain}
        if len(chain) < 2 or len(leaves) != 1:
            continue
        (base,) = leaves
        function = _function(root, chain, base)
        if function is None:
            continue
        activation = rebuild(
            {
                "layer": "Activation",
                "input_shape": root.layer.output_shape,
                "function": function,
                "dtype": root.layer.dtype,
            }
        )
        gone |= {*chain} - {root.name}
        replaced[root.name] = Node(root.name, activation, (base,))
        order = tuple(node.name for node in nodes if node.name in chain)
        found.append(Fusion(order, root.name, f"together they are {function}"))
    kept = [replaced.get(node.name, node) for node in nodes if node.name not in gone]
    return kept, found[::-1]


def _applied(layer: Any, given: Sequence[sympy.Expr]) -> sympy.Expr:
    (x,) = layer.expression.free_symbols
    return layer.expression.subs(x, given[0])


def _sum(layer: Any, given: Sequence[sympy.Expr]) -> sympy.Expr:
    return sum(given[1:], given[0])


def _product(layer: Any, given: Sequence[sympy.Expr]) -> sympy.Expr:
    return prod(given[1:], start=given[0])


POINTWISE = {"Activation": _applied, "Add": _sum, "Multiply": _product}
KIND = attrgetter("__class__.__name__")
SAMPLES = (-97.0, -7.3, -1.1, -0.2, 0.4, 2.9, 97.0)  # at which a function and its steps are compared


def _is_pointwise(node: Node) -> bool:
    """Whether a layer is a function of each element, or a sum or product of values of one shape."""
    return KIND(node.layer) in POINTWISE and all(
        shape == node.layer.output_shape for shape in node.layer.inputs.values()
    )


def _chain(
    root: Node,
    by_name: Mapping[str, Node],
    readers: Mapping[str, Collection[Node]],
    outputs: Collection[str],
) -> dict[str, Node]:
    """Return the layers before one that nothing else reads, as long as they are pointwise."""
    found = {root.name: root}
    todo = [*root.sources]
    while todo:
        name = todo.pop()
        node = by_name.get(name)
        inside = node is not None and _is_pointwise(node) and name not in outputs
        if node is None or not inside or any(r.name not in found for r in readers[name]):
            continue
        if name not in found:
            found[name] = node
            todo += node.sources
    return found


def _function(root: Node, chain: Mapping[str, Node], base: str) -> str | sympy.Expr | None:
    """Return the function that a chain is of its only value; None if that is less accurate."""
    import sympy

    x = sympy.Symbol("x", real=True)

    def of(name: str) -> sympy.Expr:
        if name == base:
            return x
        node = chain[name]
        return POINTWISE[KIND(node.layer)](node.layer, [of(source) for source in node.sources])

    composed = of(root.name)
    if not composed.free_symbols:
        return None
    for name in NAMED:
        if _same(composed, name, x):
            return name
    plain = all(_is_plain(node) for node in chain.values())
    if not plain or not _agrees(composed, x, root, chain, base):
        return None
    return composed.subs(x, sympy.Symbol("x"))


def _agrees(
    composed: sympy.Expr, x: sympy.Symbol, root: Node, chain: Mapping[str, Node], base: str
) -> bool:
    """Whether a function gives what its layers do one after the other, undefined values too."""
    import sympy

    def after(name: str, value: sympy.Expr) -> sympy.Expr:
        if name == base:
            return value
        node = chain[name]
        return POINTWISE[KIND(node.layer)](node.layer, [after(n, value) for n in node.sources])

    for value in map(sympy.Float, SAMPLES):
        stepwise, whole = complex(after(root.name, value)), complex(composed.subs(x, value))
        if abs(stepwise - whole) > 1e-9 * (1 + abs(whole)) or _is_undefined(root, chain, base, value):
            return False
    return True


def _is_undefined(root: Node, chain: Mapping[str, Node], base: str, value: sympy.Expr) -> bool:
    """Whether a layer on the way has no real value, although the function may have one."""

    def of(name: str) -> tuple[sympy.Expr, bool]:
        if name == base:
            return value, False
        node = chain[name]
        given = [of(source) for source in node.sources]
        found = POINTWISE[KIND(node.layer)](node.layer, [v for v, _ in given])
        return found, any(bad for _, bad in given) or not found.is_real

    return of(root.name)[1]


def _same(composed: sympy.Expr, name: str, x: sympy.Symbol) -> bool:
    """Whether an expression is a named function: their difference is 0, as SymPy simplifies it."""
    import sympy

    layer: Any = rebuild({"layer": "Activation", "input_shape": (1,), "function": name})
    (own,) = layer.expression.free_symbols
    wanted = layer.expression.subs(own, x)
    if any(abs(_at(composed, x, v) - _at(wanted, x, v)) > 1e-9 for v in SAMPLES[1:-1]):
        return False
    return bool(sympy.simplify(sympy.piecewise_fold(composed - wanted)) == 0)


def _at(expression: sympy.Expr, x: sympy.Symbol, value: float) -> float:
    found = complex(expression.subs(x, value))
    return found.real if not found.imag else float("nan")


def _is_plain(node: Node) -> bool:
    """Whether a layer is computed as its expression says, and not in a more accurate form."""
    named = NAMED.get(getattr(node.layer, "function", ""))
    return named is None or named.value == named.definition
