"""The plan for a batch of any size: what the plans for several sizes have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from symconv.kernel.language import Call, Kernel
from symconv.layers.batch import AnyBatch
from symconv.layers.families import MEMBERS, SIZE, family, in_common, refused
from symconv.layers.layer import Layer
from symconv.layers.network import Network
from symconv.lower.layer_plan import Function, Plan, layer_plan
from symconv.lower.network_plan import NetworkPlan, network_plan
from symconv.lower.network_steps import LayerFunction
from symconv.lower.options import Options
from symconv.notation.contraction import Size, index
from symconv.notation.graph import folded

T = TypeVar("T")
LETTER = "samples"  # the size of the batch in kernels
CHOSEN_FOR = 32  # samples: what algorithms and blocks are chosen for
COMPARED = 2  # samples: what the kernel is compared with its graph for


def any_batch_plan(layer: Layer, order: int, options: Options) -> Plan:
    """Plan a layer's module for a batch of any size.

    Raises
    ------
    SymconvError
        If the layer computes something else where the batch is larger, or a function's arguments do not
        tell the batch's size.
    """
    chosen = replace(options, batch=CHOSEN_FOR)
    definition = family(layer, lambda of: folded(of.graph))
    plans = {n: layer_plan(layer.with_batch(n), order, chosen) for n in MEMBERS}
    first = layer_plan(layer.with_batch(COMPARED), order, chosen)
    together = {n: plan.backward for n, plan in plans.items() if plan.backward}
    found = replace(
        first,
        layer=layer,
        definition=definition,
        forward=_function(layer, first.forward, {n: plan.forward for n, plan in plans.items()}),
        gradients=_functions(layer, first.gradients, {n: p.gradients for n, p in plans.items()}),
        backward=_function(layer, first.backward, together) if first.backward else None,
        second=_functions(layer, first.second, {n: plan.second for n, plan in plans.items()}),
    )
    for function in found.functions:
        if not any(index(LETTER) in array.shape for array in function.inputs):
            raise refused(layer, f"{function.name} cannot tell it from what it takes")
    return found


def any_batch_network_plan(network: Network, order: int, options: Options) -> NetworkPlan:
    """Plan a network's module for a batch of any size.

    Raises
    ------
    SymconvError
        If a layer computes something else where the batch is larger.
    """
    for node in network.nodes:
        if node.layer.any_batch:
            family(node.layer, lambda of: of.graph)
    chosen = replace(options, batch=CHOSEN_FOR)
    plans = {n: network_plan(network.with_batch(n), order, chosen) for n in MEMBERS}
    first = network_plan(network.with_batch(COMPARED), order, chosen)
    nodes = {node.name: node for node in network.nodes}

    def placed(own: LayerFunction, members: Mapping[int, LayerFunction]) -> LayerFunction:
        node = nodes[own.node.name]
        function = _function(node.layer, own.function, {n: f.function for n, f in members.items()})
        applied = nodes[own.applied.name] if own.applied else None
        return replace(own, node=node, function=function, applied=applied)

    columns = _columns({n: plan.functions for n, plan in plans.items()})
    functions = tuple(map(placed, first.functions, columns))
    callees = {f.name: f.function.kernel for f in functions}

    def of_any(members: Mapping[int, Kernel]) -> Kernel:
        alone = {n: _with_callees(kernel, {}) for n, kernel in members.items()}
        return _with_callees(in_common(alone, network, LETTER), callees)

    return replace(
        first,
        layer=network,
        functions=functions,
        forward=of_any({n: plan.forward for n, plan in plans.items()}),
        training=of_any({n: plan.training for n, plan in plans.items()}),
        second=tuple(map(of_any, _columns({n: plan.second for n, plan in plans.items()}))),
    )


def _with_callees(kernel: Kernel, callees: Mapping[str, Kernel]) -> Kernel:
    """Return a kernel that calls others of the same names; empty ones for names that are not known."""
    body = []
    for statement in kernel.body:
        if isinstance(statement, Call):
            name = statement.kernel.name
            statement = replace(statement, kernel=callees.get(name, Kernel(name, (), ())))
        body.append(statement)
    return replace(kernel, body=tuple(body))


def lettered(shape: Sequence[int]) -> tuple[Size, ...]:
    """Return a shape with the letter for any number of samples."""
    return tuple(index(LETTER) if isinstance(size, AnyBatch) else size for size in shape)


def _columns(members: Mapping[int, tuple[T, ...]]) -> list[dict[int, T]]:
    """Return, for each place of tuples, what they have there."""
    return [dict(zip(members, each, strict=True)) for each in zip(*members.values(), strict=True)]


def _functions(
    layer: Layer, own: Sequence[Function], members: Mapping[int, tuple[Function, ...]]
) -> tuple[Function, ...]:
    pairs = zip(own, _columns(members), strict=True)
    return tuple(_function(layer, function, each) for function, each in pairs)


def _function(layer: Layer, own: Function, members: Mapping[int, Function]) -> Function:
    """Return the function of any number of samples; its own graph is that of few."""
    parts = {n: (f.inputs, f.results, f.kernel) for n, f in members.items()}
    inputs, results, kernel = in_common(parts, layer, LETTER)
    formula = in_common({n: f.formula for n, f in members.items()}, layer, SIZE)
    choices = members[MEMBERS[0]].choices  # with blocks that are smaller than the batch
    found = {"inputs": inputs, "results": results, "formula": formula, "kernel": kernel}
    return replace(own, **found, choices=choices)
