"""Plans for C: algorithms whose sums stay in registers."""

from __future__ import annotations

from symconv.errors import SymconvError
from symconv.layers.layer import Layer
from symconv.lower.layer_plan import Plan, layer_plan
from symconv.lower.network_plan import NetworkPlan, network_plan
from symconv.lower.options import Options
from symconv.targets.c.cost import cost


def plan_in_c(layer: Layer, order: int = 1, accuracy: str = "direct") -> Plan | NetworkPlan:
    """Choose how a layer's, or a network's, functions are computed.

    Raises
    ------
    SymconvError
        If the layer is one of any batch.
    """
    if layer.any_batch:
        raise SymconvError(
            "target = 'c': must be 'numpy' for a layer of any batch, or the layer of a number of samples"
        )
    options = Options(accuracy, cost, compiled=True)
    if layer.network:
        return network_plan(layer.network, order, options)
    return layer_plan(layer, order, options)
