"""The functions of a network's module that users call: what they take, check, compute and return."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from symconv.kernel.language import Kernel
from symconv.layers.layer import Layer
from symconv.layers.network import Network
from symconv.lower.any_batch import lettered
from symconv.lower.assembly import COTANGENT
from symconv.lower.layer_plan import Array
from symconv.lower.network_plan import Initial, NetworkPlan
from symconv.targets.numpy.functions import annotated, check_of, counted, several, signature
from symconv.targets.numpy.lines import in_lines
from symconv.targets.numpy.syntax import shape, tuple_text
from symconv.templating import fill


def network_functions(plan: NetworkPlan, lines: Callable[[Kernel], list[str]]) -> Iterator[str]:
    """Write the functions of a network's module that users call; ``lines`` writes what they do."""
    of = _Functions(plan, lines)
    initial = [(name, _first_values(first)) for name, first in plan.initial.items()]
    yield fill("numpy/network_init.py.j2", initial=initial)
    yield of.forward()
    yield of.loss() if plan.layer.loss else of.backward()
    kept = "HELD if name not in PARAMETERS" if plan.layer.frozen else "STATISTICS"
    yield fill("numpy/sgd_step.py.j2", held=of.held, kept=kept)
    yield fill("numpy/adam_step.py.j2", held=of.held, kept=kept)
    for kernel in plan.second:
        yield getattr(of, kernel.name)(kernel)
    if plan.layer.masks:
        yield of.draw_masks()


@dataclass(frozen=True)
class _Functions:
    """The functions of one plan."""

    plan: NetworkPlan
    lines: Callable[[Kernel], list[str]]

    @property
    def network(self) -> Network:
        """The network."""
        return self.plan.layer

    @cached_property
    def values(self) -> list[Array]:
        """What the network is given, besides parameters, masks and labels."""
        return [Array(name, lettered(sizes)) for name, sizes in self.network.values.items()]

    @cached_property
    def outputs(self) -> list[Array]:
        """What forward returns, by the layers' names."""
        return [Array(name, lettered(sizes)) for name, sizes in self.network.returned.items()]

    @cached_property
    def labels(self) -> list[Array]:
        """The labels of the loss, if there is one."""
        return [Array(name, lettered(sizes)) for name, sizes in self.network.labels.items()]

    @cached_property
    def upstream(self) -> list[Array]:
        """The gradients with respect to the outputs, which backward is given."""
        if len(self.outputs) == 1:
            return [Array(COTANGENT, self.outputs[0].shape)]
        return [Array(f"grad_{array.name}", array.shape) for array in self.outputs]

    @property
    def held(self) -> str:
        """The names and shapes of what params has."""
        return "HELD" if self.network.frozen else "PARAMETERS | STATISTICS"

    @property
    def masks(self) -> list[str]:
        """The parameter that the masks are, if a layer has one."""
        return ["masks: Arrays"] if self.network.masks else []

    def forward(self) -> str:
        """Write the outputs, as they are outside training."""
        network = self.network
        names = [array.name for array in self.values]
        results = _numbered("y", self.outputs)
        holes: dict[str, object] = {
            "outputs": listed([array.name for array in self.outputs]),
            "shapes": _shapes([*self.values, *self.outputs]),
            "statistics": ", normalised with the running statistics" if network.running else "",
            "checked": self._checked(self.values),
            "held": self.held,
            "lines": self.lines(self.plan.forward),
        }
        counts = counted(self.values, 1)  # whatever training needs
        if len(results) == 1:
            (result,) = results
            placed = ", ".join(["out", tuple_text(result.shape), *names, "*p.values()"])
            return fill(
                "numpy/network_forward.py.j2",
                **holes,
                signature=signature(
                    "forward",
                    ["params: Arrays", *annotated(names), "*", "out: Array | None = None"],
                    "Array",
                ),
                placed=[*counts, *in_lines(f"y = _result({placed})", 1)],
            )
        head = several("forward", 1, self.values, results, ["params: Arrays"], ["*p.values()"])
        return fill("numpy/network_forwards.py.j2", **holes, **head)

    def loss(self) -> str:
        """Write the loss and its gradients."""
        statistics = bool(self.network.running)
        given = ", ".join(f'"{array.name}": {array.name}' for array in self.values)
        return fill(
            "numpy/network_loss.py.j2",
            held=self.held,
            signature=signature(
                "loss_and_gradients",
                ["params: Arrays", *self._arrays(self.values, self.labels), *self.masks],
                "tuple[float, Arrays, Arrays]" if statistics else "tuple[float, Arrays]",
            ),
            summary=f"the loss{',' if statistics else ' and'} its gradients with respect to the "
            f"parameters{', and the new running statistics' if statistics else ''}",
            given=_shapes(self.values),
            taken=self._taken(self.values, self.labels),
            lines=[*self._statistics(), *self.lines(self.plan.training)],
            returned=f"_finite(loss, {{{given}}} | p), {'g, s' if statistics else 'g'}",
        )

    def backward(self) -> str:
        """Write the gradients, from those with respect to the outputs."""
        statistics = bool(self.network.running)
        results = [Array(f"g{array.name}", array.shape) for array in self.values]
        kinds = ["Array"] * len(results) + ["Arrays"] * (1 + statistics)
        returned = [*(result.name for result in results), "g", *(["s"] if statistics else [])]
        inputs = listed([array.name for array in self.values])
        also = ", and the new running statistics" if statistics else ""
        return fill(
            "numpy/network_backward.py.j2",
            held=self.held,
            signature=signature(
                "backward",
                ["params: Arrays", *self._arrays(self.upstream, self.values), *self.masks],
                f"tuple[{', '.join(kinds)}]",
            ),
            summary=f"the gradients with respect to {inputs} and, by name, to the parameters{also}",
            given=_shapes([*self.values, *self.upstream]),
            taken=self._taken(self.values, upstream=self.upstream),
            empty=_empty(results),
            lines=[*self._statistics(), *self.lines(self.plan.training)],
            returned=", ".join(returned),
        )

    def jvp(self, kernel: Kernel) -> str:
        """Write how the outputs change; without a loss the inputs change, too."""
        moved = [] if self.network.loss else self.values
        results = _numbered("ty", self.outputs)
        changes = [*(f"{array.name} by t{array.name}" for array in moved), "the parameters by v"]
        kinds = ", ".join(["Array"] * len(results))
        ways = [Array(f"t{array.name}", array.shape) for array in moved]
        given = [*self._arrays(self.values), *self.masks, *self._arrays(ways), "v: Arrays"]
        return fill(
            "numpy/network_jvp.py.j2",
            held=self.held,
            signature=signature(
                "jvp",
                ["params: Arrays", *given],
                "Array" if len(results) == 1 else f"tuple[{kinds}]",
            ),
            outputs=listed([array.name for array in self.outputs]),
            gives="gives" if len(results) == 1 else "give",
            changes=listed(changes),
            given=_shapes(self.values),
            taken=self._taken(self.values),
            moved=self._moved(ways),
            empty=_empty(results),
            lines=self.lines(kernel),
            returned=", ".join(result.name for result in results),
        )

    def hessian_vector_product(self, kernel: Kernel) -> str:
        """Write the product of the loss's Hessian with a vector."""
        given = [*self._arrays(self.values, self.labels), *self.masks, "v: Arrays"]
        return fill(
            "numpy/network_hessian_vector_product.py.j2",
            held=self.held,
            signature=signature("hessian_vector_product", ["params: Arrays", *given], "Arrays"),
            given=_shapes(self.values),
            taken=self._taken(self.values, self.labels),
            lines=self.lines(kernel),
        )

    def double_backward(self, kernel: Kernel) -> str:
        """Write the gradients of what backward returns."""
        ways = [Array(f"gg{array.name}", array.shape) for array in self.values]
        seconds = [Array(f"g{array.name}", array.shape) for array in self.values]
        changes = _numbered("ggo", self.outputs)
        results = [*changes, *seconds]
        given = [*self._arrays(ways), "v: Arrays", *self._arrays(self.upstream, self.values)]
        kinds = ["Array"] * len(results) + ["Arrays"]
        returned = [array.name for array in results]
        inner = [f"⟨{g.name}, {way.name}⟩" for g, way in zip(seconds, ways, strict=True)]
        moves = [f"{x.name} changes by {way.name}" for x, way in zip(self.values, ways, strict=True)]
        return fill(
            "numpy/network_double_backward.py.j2",
            held=self.held,
            signature=signature(
                "double_backward",
                ["params: Arrays", *given, *self.masks],
                f"tuple[{', '.join(kinds)}]",
            ),
            energy=" + ".join([*inner, "⟨g, v⟩"]),
            by=listed([*(a.name for a in (*self.upstream, *self.values)), "the parameters"]),
            backward=listed([*(array.name for array in seconds), "g"]),
            moves=listed(moves),
            given=_shapes(self.values),
            taken=self._taken(self.values, upstream=self.upstream),
            moved=self._moved(ways, [array.name for array in self.values]),
            empty=_empty(results),
            lines=self.lines(kernel),
            returned=", ".join([*returned, "h"]),
        )

    def draw_masks(self) -> str:
        """Write what draws the masks."""
        network = self.network
        return fill(
            "numpy/draw_masks.py.j2",
            signature=signature(
                "draw_masks", ["seed: int", *(["samples: int"] if network.any_batch else [])], "Arrays"
            ),
            masks=[
                (name, tuple_text(lettered(network.mask_shapes[name])), repr(share))
                for name, share in network.masks.items()
            ],
        )

    def _arrays(self, *arrays: Sequence[Array]) -> list[str]:
        """Write parameters that are arrays."""
        return annotated(array.name for group in arrays for array in group)

    def _checked(self, arrays: Sequence[Array], layer: Layer | None = None) -> list[str]:
        """Write the checks of arrays."""
        return [f"{array.name} = {check_of(array, layer or self.network)}" for array in arrays]

    def _taken(
        self, values: Sequence[Array], labels: Sequence[Array] = (), upstream: Sequence[Array] = ()
    ) -> list[str]:
        """Write the checks of what a function takes."""
        checks = self._checked([*upstream, *values, *labels])
        masks = {name: lettered(sizes) for name, sizes in self.network.mask_shapes.items()}
        named = ", ".join(f'"{name}": {tuple_text(sizes)}' for name, sizes in masks.items())
        if masks:
            checks += in_lines(f'm = _named("masks", masks, {{{named}}})', 1)
        return [*counted(values, self.network.fewest), *checks]

    def _moved(self, ways: Sequence[Array], of: Sequence[str] = ()) -> list[str]:
        """Write the checks of how inputs change."""
        names = of or [array.name[1:] for array in ways]
        return [
            f"t_{name} = {check_of(array, self.network)}"
            for name, array in zip(names, ways, strict=True)
        ]

    def _statistics(self) -> list[str]:
        """Write the memory of the new running statistics: the old ones, where no layer moves them."""
        new = "s = {name: p[name].copy() for name in STATISTICS}"
        return [new] if self.network.running else []


def _numbered(name: str, arrays: Sequence[Array]) -> list[Array]:
    """Return an array for each of several, or the only one under a name of its own."""
    if len(arrays) == 1:
        return [Array(name, arrays[0].shape)]
    return [Array(f"{name}_{array.name}", array.shape) for array in arrays]


def _empty(arrays: Sequence[Array]) -> list[str]:
    """Write arrays to write into."""
    return [f"{array.name} = np.empty({tuple_text(array.shape)}, DTYPE)" for array in arrays]


def listed(names: Sequence[str]) -> str:
    """Write names as a list: a, b and c."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _shapes(arrays: Sequence[Array]) -> str:
    """Say which shapes arrays have."""
    first, *others = [(array.name, tuple_text(array.shape)) for array in arrays]
    rest = "".join(f", {name} {sizes}" for name, sizes in others)
    return f"{first[0]} has shape {first[1]}{rest}"


def _first_values(initial: Initial) -> str:
    """Write a parameter's first values."""
    if initial.fan_in:
        return f"_normal(rng, {shape(initial.shape)}, {initial.fan_in})"
    if initial.number in (0, 1):
        return f"np.{'ones' if initial.number else 'zeros'}({shape(initial.shape)}, DTYPE)"
    return f"np.full({shape(initial.shape)}, {initial.number}, DTYPE)"
