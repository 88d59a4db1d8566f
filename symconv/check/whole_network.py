"""Networks: each layer's functions against the layer's sums, and the whole against the chain rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.check.network_layers import check_layers
from symconv.check.own_dtype import Answers, in_own_dtype
from symconv.check.promises import flat
from symconv.check.report import Result, difference, largest
from symconv.check.slope import falls
from symconv.check.unwritten import unwritten_is_nan
from symconv.check.values import AGREE
from symconv.derive.network_view import by_tensor, drawn
from symconv.layers.network import SEED, Network
from symconv.notation.arrays import evaluate_arrays
from symconv.notation.backpropagation import gradient_of, gradients, varying_with
from symconv.notation.contraction import Program, Tensor
from symconv.notation.graph import Elementwise, Graph
from symconv.notation.tangent import second_gradients, tangent, tangent_of

Array = NDArray[Any]
Arrays = dict[str, Array]
Loader = Callable[[object], ModuleType]

WAYS = 4  # directions: along most of them the nearest kink is far enough for a slope
FEW_KINKS = 5000  # elements with kinks, for curvature to be seen in a slope
CLOSE = 1e-9  # of a network's gradient, relative to its largest number
SMALL = 1e-6  # or to this, where all numbers should be 0


def check_network(network: Network, load: Loader) -> tuple[Result, ...]:
    """Compare a network's module with the layers' definitions, and its gradients with the chain rule.

    Parameters
    ----------
    network
        The network.
    load
        Returns the module with another ``DTYPE``, or with its own for None.
    """
    own = load(None)
    dtype = str(np.dtype(own.DTYPE))
    declared = Result("DTYPE", "numeric", dtype == network.dtype, f"{dtype}, LAYER has {network.dtype}")
    if not declared.passed:
        return (declared,)
    results = [declared, _init(network, own)]
    module = load(np.float64)
    point = _Point(network)
    with unwritten_is_nan(module):
        results += check_layers(network, module)
        results.append(_forward(network, module, point))
        if hasattr(module, "jvp"):
            results += _second(network, module, point)
        if network.loss is None:
            results += _backward(network, module, point)
        else:
            results += _loss(network, module, point)
            if hasattr(module, "jvp"):
                results += _curvature(network, module, point)
        results.append(_sgd(module, point))
        if hasattr(module, "adam_step"):  # which files of earlier versions do not have
            results.append(_adam(module, point))
    return (*results, in_own_dtype(network.dtype, load, _answers(network, point)))


class _Point:
    """Random parameters, input and labels in float64, and directions to move in."""

    def __init__(self, network: Network) -> None:
        rng = np.random.default_rng(0)
        values = drawn(network)
        self.values = [values[name] for name in network.values]
        self.masks = [{name: values[name] for name in network.masks}] if network.masks else []
        self.upstream = [values[g.name] for g in network.cotangents.values()]
        self.params: Arrays = {name: values[name] for name in network.held}
        self.labels = {
            name: values[name].astype(np.int64) if name in network.classes else values[name]
            for name in network.labels
        }
        self.ways: list[Arrays] = [
            {name: rng.standard_normal(shape) for name, shape in network.trained.items()}
            for _ in range(WAYS)
        ]

    @property
    def given(self) -> list[Any]:
        """What a loss's function is given behind the parameters."""
        return [*self.values, *self.labels.values(), *self.masks]

    def loss_and_gradients(
        self, module: ModuleType, h: float = 0.0, along: int = 0
    ) -> tuple[float, Arrays]:
        """Return the loss and its gradients at the parameters, moved by h along a direction."""
        way = self.ways[along]
        moved = {name: a + h * way[name] if name in way else a for name, a in self.params.items()}
        loss, found, *_ = module.loss_and_gradients(moved, *self.given)
        return float(loss), found

    def tensors(self, network: Network) -> Arrays:
        """Return everything that the network reads, by the names of its tensors."""
        g = dict(zip((g.name for g in network.cotangents.values()), self.upstream, strict=True))
        labels = {name: np.asarray(array, float) for name, array in self.labels.items()}
        values = dict(zip(network.values, self.values, strict=True))
        masks = {name: array for given in self.masks for name, array in given.items()}
        one = {SEED.name: np.ones(())}
        return by_tensor(network, {**values, **self.params, **labels, **masks, **g, **one})


def _init(network: Network, module: ModuleType) -> Result:
    """Check that init gives every parameter, and for one seed always the same."""
    shapes = network.held
    first, again = module.init(0), module.init(0)
    right = {name: array.shape for name, array in first.items()} == shapes
    right &= all(array.dtype == network.dtype for array in first.values())
    same = right and all(np.array_equal(first[name], again[name]) for name in shapes)
    text = f"{len(shapes)} parameters by name, the same for the same seed"
    return Result("init", "numeric", same, text if same else "other names, shapes, dtypes or numbers")


def _compared(
    name: str, received: Mapping[str, Array], wanted: Mapping[str, Array], rule: str = "chain rule"
) -> Result:
    """Compare arrays by name, relative to the largest number of all."""
    if received.keys() != wanted.keys():
        text = f"other names: {sorted(received.keys() ^ wanted.keys())}"
        return Result(name, "numeric", False, text)
    for key, array in wanted.items():
        wrong = difference(received[key], array, CLOSE * max(largest(wanted.values()), SMALL))
        if wrong:
            return Result(name, "numeric", False, f"{key} {wrong}")
    text = f"{len(wanted)} arrays to {CLOSE:.0e} of what the whole network's {rule} gives"
    return Result(name, "numeric", True, text)


def _forward(network: Network, module: ModuleType, point: _Point) -> Result:
    """Compare the output with that of the layers' definitions, statistics being the running ones."""
    still = {node.name: node.layer.inference.graph for node in network.nodes}
    graph, given = network.composed(still), point.tensors(network)
    if network.loss:
        graph = replace(graph, results=tuple(network.outputs))
    wanted = {name: evaluate_arrays(graph.only(name), given) for name in network.outputs}
    outs = tuple(np.full(array.shape, np.nan) for array in wanted.values())
    out = outs if len(outs) > 1 else outs[0]
    received = _by_output(network, module.forward(point.params, *point.values, out=out))
    return _compared("forward", received, wanted, "definition")


def _by_output(network: Network, received: Any) -> Arrays:
    """Return what a function returns for each output by the outputs' names."""
    arrays = received if len(network.outputs) > 1 else [received]
    return dict(zip(network.outputs, arrays, strict=True))


def _chain_rule(network: Network, point: _Point, by: list[str]) -> Arrays:
    """Return the gradients that the chain rule through the whole network gives."""
    tensors = network.tensors
    back = gradients(network.energy, [tensors[name] for name in by], SEED)
    given = point.tensors(network)
    return {name: evaluate_arrays(back.only(gradient_of(tensors[name]).name), given) for name in by}


def _moved(network: Network, point: _Point, received: Sequence[Arrays]) -> list[Result]:
    """Compare the new running statistics, if there are any, with those of what each layer takes."""
    if not network.running:
        return []
    wanted = {name: point.params[name] for name in network.running}  # where none moves them
    values = point.tensors(network)
    for node in network.nodes:
        layer = node.layer
        if not layer.updates:
            continue
        (source,) = node.sources
        if source in network.values:
            x = values[network.tensors[source].name]
        else:
            x = evaluate_arrays(network.energy.only(source), values)
        own = {
            tensor.name: x if name in node.data else point.params[node.own(name)]
            for name, tensor in layer.tensors.items()
        }
        for name, output in zip(layer.statistic_names, layer.graph.outputs[1:], strict=True):
            wanted[node.own(name)] = evaluate_arrays(layer.graph.only(output.name), own)
    return [_compared("running statistics", dict(*received), wanted, "definition")]


def _loss(network: Network, module: ModuleType, point: _Point) -> list[Result]:
    _, _, *statistics = module.loss_and_gradients(point.params, *point.given)
    loss, found = point.loss_and_gradients(module)
    wanted = evaluate_arrays(network.graph, point.tensors(network))
    wrong = difference(np.asarray(loss), wanted, AGREE["float64"] * abs(float(wanted)))
    named = Result("loss", "numeric", not wrong, wrong or f"to {AGREE['float64']:.0e} of its definition")
    chain_rule = _chain_rule(network, point, list(network.trained))
    return [
        named,
        _compared("gradients", found, chain_rule),
        *_moved(network, point, statistics),
        _slope(module, point, found),
    ]


def _slope(module: ModuleType, point: _Point, found: Arrays) -> Result:
    """Check the slope along one direction after the other until a remainder shows no kink."""
    for along, way in enumerate(point.ways):
        slope = sum(float(np.sum(found[name] * array)) for name, array in way.items())
        result = falls(
            "Taylor slope",
            lambda h: point.loss_and_gradients(module, h, along)[0],  # noqa: B023  # called at once
            slope,
        )
        if result.passed:
            break
    return result


def _backward(network: Network, module: ModuleType, point: _Point) -> list[Result]:
    received = module.backward(point.params, *point.upstream, *point.values, *point.masks)
    by_values, (found, *statistics) = _by_value(network, received)
    chain_rule = _chain_rule(network, point, list(network.differentiable))
    gradients_ = _compared("backward", {**by_values, **found}, chain_rule)
    return [gradients_, *_moved(network, point, statistics)]


def _by_value(network: Network, received: Sequence[Any]) -> tuple[Arrays, Sequence[Any]]:
    """Return the gradients with respect to the inputs, by name, and what comes behind them."""
    count = len(network.values)
    return dict(zip(network.values, received[:count], strict=True)), received[count:]


def _second(network: Network, module: ModuleType, point: _Point) -> list[Result]:
    """Compare the change of the output with the differential of the whole network's definition.

    Without a loss, the gradients of second order with those of ⟨G, differential⟩, too.
    """
    rng = np.random.default_rng(7)
    by = list(network.trained) if network.loss else list(network.differentiable)
    moved = {name: rng.standard_normal(network.inputs[name]) for name in by}
    v = {name: moved[name] for name in network.trained}
    tensors = {name: network.tensors[name] for name in by}
    ways = {tangent_of(tensors[name]).name: array for name, array in moved.items()}
    given = point.tensors(network) | ways
    graph = replace(network.energy, results=tuple(network.outputs))
    changes = {name: _tangent(graph.only(name), list(tensors.values())) for name in network.outputs}
    wanted = {
        name: evaluate_arrays(change, given) if change else np.zeros(network.returned[name])
        for name, change in changes.items()
    }
    xs = [moved[name] for name in network.values if name in moved]
    received = _by_output(network, module.jvp(point.params, *point.values, *point.masks, *xs, v))
    first = _compared("jvp", received, wanted, "differential")
    if network.loss:
        return [first]
    arrays = module.double_backward(point.params, *xs, v, *point.upstream, *point.values, *point.masks)
    count = len(network.outputs)
    ggo = arrays[:count] if count > 1 else arrays[0]
    by_values, (found,) = _by_value(network, arrays[count:])
    wanted |= _second_gradients(network, changes, tensors, given)
    second = {**_by_output(network, ggo), **by_values, **found}
    return [first, _compared("double_backward", second, wanted, "differential")]


def _tangent(graph: Graph, by: list[Tensor]) -> Graph | None:
    """Return the change of an output; None if it does not depend on what changes."""
    return tangent(graph, by) if graph.output in varying_with(graph, by) else None


def _second_gradients(
    network: Network, changes: Mapping[str, Graph | None], by: Mapping[str, Tensor], given: Arrays
) -> Arrays:
    """Return the gradients of ⟨G, dO⟩, summed over the outputs."""
    found = {name: np.zeros(tensor.sizes) for name, tensor in by.items()}
    for output, change in changes.items():
        if change is None:
            continue
        read = network.energy.only(output).inputs
        own = {name: tensor for name, tensor in by.items() if tensor.name in read}
        second = second_gradients(change, list(own.values()), network.cotangents[output])
        for name, tensor in own.items():
            found[name] += evaluate_arrays(second.only(gradient_of(tensor).name), given)
    return found


def _sgd(module: ModuleType, point: _Point) -> Result:
    """Take two steps: v = momentum · v + gradient + decay · parameter, the parameter less rate · v."""
    found = point.ways[1]  # any gradients do
    params, state = point.params, dict[str, Array]()
    before = {name: array.copy() for name, array in params.items()}
    wanted, speed = dict(params), {name: np.zeros(array.shape) for name, array in found.items()}
    for _ in range(2):
        params, state = module.sgd_step(params, found, state, 0.1, momentum=0.8, weight_decay=0.01)
        for name, gradient in found.items():
            speed[name] = 0.8 * speed[name] + gradient + 0.01 * wanted[name]
            wanted[name] = wanted[name] - 0.1 * speed[name]
    kept = all(np.array_equal(before[name], array) for name, array in point.params.items())
    result = _compared("sgd_step", params, wanted)
    text = "two steps with momentum and weight decay; what comes in is not written to"
    return replace(result, passed=result.passed and kept, detail=text if kept else "writes to its input")


def _adam(module: ModuleType, point: _Point) -> Result:
    """Take three steps: means of the gradients and of their squares, divided by what they lack yet."""
    found = point.ways[1]  # any gradients do
    params, state = point.params, dict[str, Array]()
    before = {name: array.copy() for name, array in params.items()}
    wanted = dict(params)
    means, squares = ({n: np.zeros(a.shape) for n, a in found.items()} for _ in range(2))
    for step in range(1, 4):
        params, state = module.adam_step(params, found, state, 0.1, (0.8, 0.9), 1e-6, weight_decay=0.01)
        for name, gradient in found.items():
            g = gradient + 0.01 * wanted[name]
            means[name] = 0.8 * means[name] + 0.2 * g
            squares[name] = 0.9 * squares[name] + 0.1 * g**2
            root = np.sqrt(squares[name] / (1 - 0.9**step))
            wanted[name] = wanted[name] - 0.1 * means[name] / (1 - 0.8**step) / (root + 1e-6)
    kept = all(np.array_equal(before[name], array) for name, array in point.params.items())
    result = _compared("adam_step", params, wanted)
    text = "three steps with weight decay; what comes in is not written to"
    return replace(result, passed=result.passed and kept, detail=text if kept else "writes to its input")


def _answers(network: Network, point: _Point) -> Callable[[ModuleType, str], Answers]:
    """Return what calls every function of a network's module."""
    rng = np.random.default_rng(8)
    ways, v = [rng.standard_normal(shape) for shape in network.values.values()], point.ways[0]

    def answers(module: ModuleType, dtype: str) -> Answers:
        def cast(array: Array) -> Array:
            return array.astype(network.dtype).astype(dtype) if array.dtype.kind == "f" else array

        params, way = ({n: cast(a) for n, a in arrays.items()} for arrays in (point.params, v))
        masks = [{name: cast(array) for name, array in given.items()} for given in point.masks]
        values, labels, moved, upstream = (
            [cast(array) for array in arrays]
            for arrays in (point.values, point.labels.values(), ways, point.upstream)
        )
        found: dict[str, Sequence[Array]] = {"forward": flat(module.forward(params, *values))}
        second = hasattr(module, "jvp")
        if network.loss:
            loss, *others = module.loss_and_gradients(params, *values, *labels, *masks)
            found["loss"] = [np.asarray(loss)]
            found["gradients"] = flat(others)
            if second:
                found["jvp"] = flat(module.jvp(params, *values, *masks, way))
                product = module.hessian_vector_product(params, *values, *labels, *masks, way)
                found["hessian_vector_product"] = flat(product)
            return found
        found["backward"] = flat(module.backward(params, *upstream, *values, *masks))
        if second:
            found["jvp"] = flat(module.jvp(params, *values, *masks, *moved, way))
            arrays = module.double_backward(params, *moved, way, *upstream, *values, *masks)
            found["double_backward"] = flat(arrays)
        return found

    return answers


def _curvature(network: Network, module: ModuleType, point: _Point) -> list[Result]:
    """H·V is the differential of the gradients; H is symmetric; ⟨gradients, V⟩ changes along U so."""
    u, v, *_ = point.ways

    def product(way: Arrays) -> Arrays:
        found: Arrays = module.hessian_vector_product(point.params, *point.given, way)
        return found

    def inner(a: Arrays, b: Arrays) -> float:
        return math.fsum(float(np.sum(a[name] * b[name])) for name in a)

    hu, hv = product(u), product(v)
    by = {name: network.tensors[name] for name in network.trained}
    defined = _compared("hessian_vector_product", hv, _hessian(network, point, by, v), "differential")
    one, other = inner(u, hv), inner(hu, v)
    error = abs(one - other) / max(abs(one), abs(other), 1e-300)
    text = f"⟨U, H·V⟩ = ⟨H·U, V⟩: relative difference {error:.0e}, at most {CLOSE:.0e}"
    symmetric = Result("hessian_vector_product: symmetry", "numeric", error <= CLOSE, text)
    if _kinks(network) > FEW_KINKS:  # of which some are crossed at every step that shows curvature
        return [defined, symmetric]
    along = falls(
        "hessian_vector_product: Taylor slope",
        lambda h: inner(point.loss_and_gradients(module, h)[1], v),
        one,
    )
    return [defined, symmetric, along]


def _hessian(network: Network, point: _Point, by: Mapping[str, Tensor], v: Arrays) -> Arrays:
    """Return the gradients of ⟨the loss's differential⟩ along v, from the whole network's definition."""
    graph = network.energy
    if graph.output not in varying_with(graph, list(by.values())):
        return {name: np.zeros_like(array) for name, array in v.items()}
    second = second_gradients(tangent(graph, list(by.values())), list(by.values()), SEED)
    given = point.tensors(network) | {tangent_of(by[name]).name: array for name, array in v.items()}
    return {n: evaluate_arrays(second.only(gradient_of(t).name), given) for n, t in by.items()}


def _kinks(network: Network) -> int:
    """Count the elements where a derivative may jump."""
    sizes = [
        math.prod(step.target.sizes if isinstance(step, Program) else step.target.tensor.sizes)
        for step in network.graph.steps
        if (isinstance(step, Program) and step.contractions[0].reduce == "max")
        or (isinstance(step, Elementwise) and step.expression.atoms(*_kinked()))
    ]
    return sum(sizes)


def _kinked() -> tuple[type, ...]:
    """Return SymPy's functions whose derivatives jump."""
    import sympy

    return (sympy.Piecewise, sympy.Max, sympy.Min, sympy.Abs)
