"""The steps of a network's functions: calls of its layers' kernels, forwards and in reverse."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from symconv.kernel.language import Buffer, Call, Do, Kernel
from symconv.layers.entries import Node
from symconv.layers.network import Network
from symconv.lower.assembly import (
    CHANGES,
    COTANGENT,
    GRADIENTS,
    LOSS,
    MASKS,
    ONE,
    PARAMETERS,
    PRODUCT,
    STATISTICS,
    Step,
    added,
    copied,
    viewed,
)
from symconv.lower.layer_plan import Function, layer_plan, plan_change, plan_second
from symconv.lower.options import Options
from symconv.notation.contraction import Tensor, index
from symconv.notation.graph import Elementwise, chained
from symconv.notation.names import element

if TYPE_CHECKING:
    import sympy


@dataclass(frozen=True)
class LayerFunction:
    """A function of one of a network's layers, and the name that it has in the network's module.

    ``moved`` are the layer's inputs that change, for a function of second order; ``applied`` is the
    activation that its result then goes through.
    """

    name: str
    node: Node
    function: Function
    moved: tuple[str, ...] = ()
    applied: Node | None = None


class NetworkSteps:
    """What is known of a network while its functions' steps are written."""

    def __init__(self, network: Network, options: Options) -> None:
        self.network, self.options = network, options
        self.functions: dict[str, LayerFunction] = {}
        for node in network.nodes:
            self._add(node, self._of_layer(node))
        sources = [source for node in network.nodes for source in node.sources]
        sources += network.outputs  # which the caller reads
        self.readers = {source: sources.count(source) for source in sources}
        self.varying: set[str] = set() if network.loss else set(network.values)
        self.seeds = _seeds(network)
        self.callers = set(self.seeds.values())  # whose arrays are not written over
        for node in network.nodes:
            if self._trained(node) or self.varying & set(node.sources):
                self.varying.add(node.name)
        self.fused: set[str] = set()
        for node in network.nodes:
            if node.sources[0] not in self.fused and self._fuses(node):
                self.fused.add(node.name)

    def _trained(self, node: Node) -> list[str]:
        """Return the layer's parameters that are trained."""
        return [name for name in node.layer.parameters if node.own(name) in self.network.trained]

    def _fuses(self, node: Node) -> bool:
        """Let the layer before an activation that is written over it apply that, if it can."""
        forward = self.functions.get(f"_{node.sources[0]}_forward")
        if forward is None or not self._in_place(node, training=True):
            return False
        before = forward.node.layer
        if before.is_view or before.inference != before:  # it has another function outside training
            return False
        function, (step,) = forward.function, node.layer.forward.steps
        assert isinstance(step, Elementwise)  # only activations are written over what they are of
        formula = chained(function.formula, node.layer.graph)
        applied = _applied(function.kernel, step.expression)
        fused = replace(function, formula=formula, kernel=applied)
        self.functions[forward.name] = replace(forward, function=fused, applied=node)
        return True

    def _of_layer(self, node: Node) -> Iterator[Function]:
        plan = layer_plan(node.layer, 1, self.options)
        yield from plan.functions
        still = node.layer.inference
        if still != node.layer and not still.is_view:
            yield replace(layer_plan(still, 1, self.options).forward, name="inference")

    def _add(self, node: Node, functions: Iterable[Function], moved: Iterable[str] = ()) -> None:
        for function in functions:
            name = f"_{node.name}_{function.name}"
            at = self.network.nodes.index(node)
            called = replace(_given(function.kernel, at), name=name)
            self.functions[name] = LayerFunction(
                name, node, replace(function, kernel=called), tuple(moved)
            )

    def forward(self, training: bool, keeps: bool = True) -> Iterator[Step]:
        """Compute every layer's output; in training also the loss, and statistics to keep."""
        network = self.network
        for node in network.nodes if training else network.body:
            layer = node.layer if training else node.layer.inference
            output = Tensor(LOSS if node.is_loss and keeps else node.name, layer.output_shape)
            if layer.is_view:
                yield _alias(output, node.sources[0])
                continue
            if self._in_place(node, training):
                yield _alias(output, node.sources[0])
            if node.name in self.fused:
                continue
            moves = bool(node.layer.updates)
            kept = STATISTICS if keeps else "moved_"
            moved = [
                Tensor(kept + (node.own(of) if keeps else f"{node.name}_{of}"), node.layer.inputs[of])
                for of in (node.layer.statistic_names if training and moves else ())
            ]
            name = f"_{node.name}_{'forward' if layer == node.layer else 'inference'}"
            yield self._call(name, {}, (output, *moved))

    def _in_place(self, node: Node, training: bool) -> bool:
        """Whether the output may overwrite the input's buffer: no other layer, or caller, reads it.

        In training, only where the derivative is the same function of either.
        """
        layer = node.layer
        if layer.in_place != "training" and (training or not layer.in_place):
            return False
        nodes = {other.name: other for other in self.network.nodes}
        source = node.sources[0]
        while source in nodes and self.readers[source] == 1:
            before = nodes[source].layer
            if not (before if training else before.inference).is_view:
                return True
            source = nodes[source].sources[0]
        return False

    def backward(self) -> Iterator[Step]:
        """Go through the layers in reverse; what several layers give to one value is added."""
        given: set[str] = set()
        for node in self._reversed():
            yield from self._seeded(node, given)
            results, sums = self._shares(node, "g_", GRADIENTS, given)
            yield from self._through(node, self._above(node, given), results)
            yield from sums

    def _seeded(self, node: Node, given: Collection[str]) -> Iterator[Step]:
        """Add the gradient that the caller gives for an output to what its readers gave."""
        if node.name in self.seeds and f"g_{node.name}" in given:
            shape = node.layer.output_shape
            yield added(Tensor(f"g_{node.name}", shape), Tensor(self.seeds[node.name], shape))

    def _reversed(self) -> list[Node]:
        return [node for node in reversed(self.network.nodes) if node.name in self.varying]

    def _above(self, node: Node, given: Collection[str]) -> str:
        """Return the name of the gradient with respect to a layer's output: a sum, or what is given."""
        whole = f"g_{node.name}"
        return whole if whole in given else self.seeds[node.name]

    def _shares(
        self,
        node: Node,
        prefix: str,
        parameters: str | None,
        given: set[str],
        by: Collection[str] | None = None,
    ) -> tuple[dict[str, Tensor], list[Do]]:
        """Name what a layer gives to what it takes, and what is added to what others gave.

        ``by`` are the layer's inputs that it gives something; None for all that vary. ``given`` are the
        sums that have a share already.
        """
        wholes = {name: prefix + source for name, source in node.data.items() if source in self.varying}
        if parameters is not None:
            wholes |= {name: parameters + node.own(name) for name in self._trained(node)}
        results: dict[str, Tensor] = {}
        sums: list[Do] = []
        for name, whole in wholes.items():
            if by is not None and name not in by:
                continue
            share = whole
            if whole in given:
                share = (
                    f"{whole}_by_{node.name}_{name}"
                    if name in node.data
                    else f"shared_{node.name}_{name}"
                )
                shape = node.layer.inputs[name]
                sums.append(added(Tensor(whole, shape), Tensor(share, shape)))
            given.add(whole)
            results[name] = Tensor(share, node.layer.inputs[name])
        return results, sums

    def _through(self, node: Node, above: str, results: Mapping[str, Tensor]) -> Iterator[Step]:
        """Compute a layer's gradients from that by its output: together, if they share steps."""
        if node.layer.is_view:
            for name, result in results.items():
                if above in self.callers and self._is_sum(node.data[name]):
                    view = replace(result, name=f"given_{result.name}")
                    yield _alias(view, above)
                    yield copied(result, view)  # what the caller gave is not added to
                    continue
                self.callers |= {result.name} if above in self.callers else set()
                yield _alias(result, above)
            return
        if node.layer.in_place and above not in self.callers:
            yield from (_alias(result, above) for result in results.values())  # written over it
        together = f"_{node.name}_backward"
        if together in self.functions and set(results) == set(self.functions[together].function.by):
            names = [together]
        else:
            names = [
                name
                for name, f in self.functions.items()
                if f.node == node and f.function.name.endswith("_gradient")
                if f.function.by[0] in results
            ]
        for name in names:
            by = self.functions[name].function.by
            yield self._call(name, {COTANGENT: above}, tuple(results[n] for n in by))

    def _is_sum(self, value: str) -> bool:
        """Whether the gradient with respect to a value is a sum of several shares."""
        readers = [n for n in self._reversed() for source in n.data.values() if source == value]
        return len(readers) + (value in self.seeds) > 1

    def changes(self) -> Iterator[Step]:
        """Compute the change of every layer's output when what varies does."""
        for node in self.network.body:
            if node.name not in self.varying:
                continue
            output = Tensor(f"t_{node.name}", node.layer.output_shape)
            moved = self._moved(node)
            if node.layer.is_view:
                yield _alias(output, *moved.values())
                continue
            if self._in_place(node, training=True):
                yield _alias(output, *moved.values())
            self._add(node, [plan_change(node.layer, list(moved), self.options)], moved)
            given = {f"t{name}": array for name, array in moved.items()}
            yield self._call(f"_{node.name}_jvp", given, (output,))

    def _moved(self, node: Node) -> dict[str, str]:
        """Return the changes of a layer's inputs that vary."""
        values = {name: f"t_{source}" for name, source in node.data.items() if source in self.varying}
        return values | {name: CHANGES + node.own(name) for name in self._trained(node)}

    def second(self) -> Iterator[Step]:
        """Go through the layers in reverse: ``tg_`` is how a gradient changes when what varies does.

        The gradient that is given does not change. Others change by what the layers' own derivatives of
        second order add, and by what comes from behind.
        """
        given: set[str] = set()
        changed: set[str] = set()
        for node in self._reversed():
            own = self._curvature(node)
            yield from self._seeded(node, given)
            above = self._above(node, given)
            if f"tg_{node.name}" in changed:
                results, sums = self._shares(node, "tg_", PRODUCT, changed)
                yield from self._through(node, f"tg_{node.name}", results)
                more = {name: Tensor(f"more_{node.name}_{name}", results[name].shape) for name in own}
                yield from self._curved(node, above, more)
                yield from (added(results[name], share) for name, share in more.items())
            else:
                results, sums = self._shares(node, "tg_", PRODUCT, changed, own)
                yield from self._curved(node, above, results)
            yield from sums
            results, sums = self._shares(node, "g_", None, given)
            yield from self._through(node, above, results)
            yield from sums

    def _curvature(self, node: Node) -> tuple[str, ...]:
        """Return the inputs with derivatives of second order that are not all 0."""
        moved = self._moved(node)
        function = plan_second(node.layer, list(moved), self.options)
        if function is None:
            return ()
        self._add(node, [function], moved)
        return function.by

    def _curved(self, node: Node, above: str, results: Mapping[str, Tensor]) -> Iterator[Step]:
        """Compute what a layer's own derivatives of second order give, if there are any."""
        if results:
            given = {f"t{name}": array for name, array in self._moved(node).items()}
            given[COTANGENT] = above
            yield self._call(f"_{node.name}_second", given, tuple(results.values()))

    def _call(self, name: str, given: Mapping[str, str], results: Iterable[Tensor]) -> Call:
        """Call a function; its arguments are the network's values and parameters, or what is given."""
        node, function = self.functions[name].node, self.functions[name].function
        own = {n: PARAMETERS + node.own(n) for n in node.layer.inputs}
        own |= {n: MASKS + node.own(n) for n in node.layer.masks}
        own |= {n: n for n in node.layer.label_names} | node.data | dict(given)
        arguments = (Tensor(own[array.name], array.shape) for array in function.inputs)
        return Call(function.kernel, tuple(map(viewed, (*arguments, *results))))


def _alias(tensor: Tensor, of: str) -> Buffer:
    """Return another name for a variable's memory: in another shape, or what is written over it."""
    return Buffer(tensor, "alias", of=of)


def _seeds(network: Network) -> dict[str, str]:
    """Return what the gradient that the caller gives is called, for each value that has one."""
    if network.loss:
        return {network.loss.name: ONE}
    if len(network.outputs) == 1:
        return {network.outputs[0]: COTANGENT}
    return {name: f"grad_{name}" for name in network.outputs}


def _given(kernel: Kernel, at: int) -> Kernel:
    """Read what a layer is given from its own entry in the network's."""
    buffers = tuple(replace(b, given=("layers", at, *b.given)) if b.given else b for b in kernel.buffers)
    return replace(kernel, buffers=buffers)


def _applied(kernel: Kernel, expression: sympy.Expr) -> Kernel:
    """Return a kernel that applies an expression in x to each element of its result."""
    (result,) = kernel.outputs
    tensor = result.tensor
    names = element(len(tensor.shape))
    place = tensor[tuple(map(index, names))]
    extents = tuple(zip(names, tensor.shape, strict=True))
    (symbol,) = expression.free_symbols or {"x"}
    last = Elementwise(place, expression, ((str(symbol), place),), extents)
    return replace(kernel, body=(*kernel.body, Do(last)))
