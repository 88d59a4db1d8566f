"""Plans for C: algorithms whose sums stay in registers."""

from __future__ import annotations

from symconv.errors import SymconvError
from symconv.kernel.language import Call
from symconv.layers.layer import Layer
from symconv.lower.layer_plan import Plan, layer_plan
from symconv.lower.network_plan import NetworkPlan, network_plan
from symconv.lower.options import Options


def plan_in_c(layer: Layer, order: int = 1, accuracy: str = "direct") -> Plan | NetworkPlan:
    """Choose how a layer's, or a network's, functions are computed.

    Raises
    ------
    SymconvError
        If the layer is one of any batch, or other than direct sums are asked for.
    """
    if layer.any_batch:
        raise SymconvError(
            "target = 'c': must be 'numpy' for a layer of any batch, or the layer of a number of samples"
        )
    if accuracy != "direct":
        raise SymconvError(f"accuracy = {accuracy!r}: must be 'direct' for target = 'c'")
    options = Options(accuracy, _the_only_one, compiled=True)
    if layer.network:
        return network_plan(layer.network, order, options)
    return layer_plan(layer, order, options)


def _the_only_one(_: Call) -> float:
    """Return a cost: one algorithm applies, by the sizes."""
    return 0.0
