"""Plans for NumPy: the algorithms that are expected to be fastest on a machine."""

from __future__ import annotations

from dataclasses import replace

from symconv.layers.layer import Layer
from symconv.layers.network import Network
from symconv.lower.any_batch import any_batch_network_plan, any_batch_plan
from symconv.lower.layer_plan import Plan, layer_plan
from symconv.lower.network_plan import NetworkPlan, network_plan
from symconv.lower.options import Options
from symconv.targets.numpy.cost import MIDDLING, Machine, cost_of


def options(accuracy: str = "direct", machine: Machine = MIDDLING) -> Options:
    """Return the options of a plan for a machine."""
    return Options(accuracy, cost_of(machine))


def plan_layer(
    layer: Layer, order: int = 1, accuracy: str = "direct", machine: Machine = MIDDLING
) -> Plan:
    """Choose how each function of a layer's module is computed."""
    plan = any_batch_plan if layer.any_batch else layer_plan
    return plan(layer, order, options(accuracy, machine))


def plan_network(
    network: Network, order: int = 1, accuracy: str = "direct", machine: Machine = MIDDLING
) -> NetworkPlan:
    """Choose how a network's module is computed."""
    plan = any_batch_network_plan if network.any_batch else network_plan
    return plan(network, order, options(accuracy, machine))


def plan_module(
    layer: Layer, order: int = 1, accuracy: str = "direct", machine: Machine = MIDDLING
) -> Plan | NetworkPlan:
    """Choose how a module's functions are computed."""
    chosen = machine != MIDDLING
    if layer.network:
        return replace(plan_network(layer.network, order, accuracy, machine), calibrated=chosen)
    return replace(plan_layer(layer, order, accuracy, machine), calibrated=chosen)
