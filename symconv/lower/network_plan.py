"""From a network to the plan of its module: its layers' functions, and kernels that call them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from symconv.kernel.language import Call, Kernel
from symconv.layers.layer import Layer
from symconv.layers.network import Network
from symconv.lower.assembly import GRADIENTS, PRODUCT, assembled
from symconv.lower.network_steps import LayerFunction, NetworkSteps
from symconv.lower.options import Options
from symconv.notation.contraction import Program, Tensor


@dataclass(frozen=True)
class Initial:
    """A parameter's first values: one number, or normal ones for so many products in each sum."""

    shape: tuple[int, ...]
    number: float = 0.0
    fan_in: int = 0


@dataclass(frozen=True)
class NetworkPlan:
    """A network's module: its parameters' first values, its layers' functions, and its own kernels.

    ``training`` computes the loss and its gradients, or without a loss the gradients from those with
    respect to the outputs. ``second`` are the functions of second order, if they are wanted: ``jvp``,
    and the product of the loss's Hessian with a vector, or without a loss ``double_backward``. These
    call the kernels of ``functions``.
    """

    layer: Network
    initial: Mapping[str, Initial]
    functions: tuple[LayerFunction, ...]
    forward: Kernel
    training: Kernel
    second: tuple[Kernel, ...]
    accuracy: str = "direct"
    calibrated: bool = False

    @property
    def order(self) -> int:
        """The order of the derivatives that the module has."""
        return 2 if self.second else 1


def network_plan(network: Network, order: int, options: Options) -> NetworkPlan:
    """Choose how a network is computed."""
    steps = NetworkSteps(network, options)
    given = [Tensor(name, shape) for name, shape in (network.values | network.labels).items()]
    given += [Tensor(steps.seeds[name], g.shape) for name, g in network.cotangents.items()]
    values = network.values.items()
    gradients = [(Tensor(f"g{name}", shape), f"g_{name}") for name, shape in values]
    outputs = [(Tensor(name, network.returned[of]), of) for of, name in _numbered("y", network)]
    forward = assembled("forward", {"": steps.forward(training=False)}, given, outputs)
    both = {
        "forward": steps.forward(training=True),
        "in reverse: the chain rule": steps.backward(),
    }
    name, returned = ("loss_and_gradients", []) if network.loss else ("backward", gradients)
    training = assembled(name, both, given, returned, _by_parameters(GRADIENTS, network))
    second = _second(network, steps, given) if order == 2 else []
    called = {s.kernel.name for k in (forward, training, *second) for s in k.body if isinstance(s, Call)}
    functions = tuple(f for name, f in steps.functions.items() if name in called)
    return NetworkPlan(
        network, dict(_initial(network)), functions, forward, training, tuple(second), options.accuracy
    )


def _second(network: Network, steps: NetworkSteps, given: Sequence[Tensor]) -> list[Kernel]:
    """Return ``jvp``, and the product of the loss's Hessian with a vector, or ``double_backward``."""
    shapes = network.values
    along = {
        "forward": [*steps.forward(training=True, keeps=False)],
        "how the outputs change": [*steps.changes()],
    }
    both = along | {"in reverse: the chain rule": steps.second()}
    changes = [(Tensor(name, network.returned[of]), f"t_{of}") for of, name in _numbered("ty", network)]
    taken = [*given, *(Tensor(f"t_{name}", shape) for name, shape in shapes.items())]
    product = _by_parameters(PRODUCT, network)
    if network.loss:
        last = assembled("hessian_vector_product", both, taken, (), product)
    else:
        numbered = _numbered("ggo", network)
        results = [(Tensor(name, network.returned[of]), f"t_{of}") for of, name in numbered]
        results += [(Tensor(f"g{name}", shape), f"tg_{name}") for name, shape in shapes.items()]
        last = assembled("double_backward", both, taken, results, product)
    return [assembled("jvp", along, taken, changes), last]


def _numbered(name: str, network: Network) -> list[tuple[str, str]]:
    """Return the outputs, and what an array for each is called."""
    several = len(network.outputs) > 1
    return [(output, f"{name}_{output}" if several else name) for output in network.outputs]


def _by_parameters(kind: str, network: Network) -> list[Tensor]:
    """Return an array for each parameter that is trained."""
    return [Tensor(kind + name, shape) for name, shape in network.trained.items()]


def _initial(network: Network) -> Iterator[tuple[str, Initial]]:
    """Choose parameters' first values: normal ones where they are multiplied in sums, else 0 or 1."""
    for node in network.nodes:
        layer = node.layer
        for name in (*layer.parameters, *layer.statistic_names):
            shape, fan_in = layer.inputs[name], _fan_in(layer, name)
            if fan_in:
                yield node.own(name), Initial(shape, fan_in=fan_in)
            else:
                yield node.own(name), Initial(shape, layer.initial.get(name, 0.0))


def _fan_in(layer: Layer, name: str) -> int:
    """Return how many products with a parameter an element of a sum has, on average; 0 if none."""
    for step in layer.graph.steps:
        for c in step.contractions if isinstance(step, Program) else ():
            if len(c.reads) > 1 and layer.tensors[name] in [read.tensor for read in c.reads]:
                return max(1, round(prod(c.ranges.values()) / prod(c.target.tensor.sizes)))
    return 0
