"""Which theorems for every size cover a layer: its own programs are theirs, with its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from symconv.derive.forms import (
    FullConvolution,
    full_convolution,
    input_form,
    roles,
    weight_form,
)
from symconv.layers.conv import ConvLayer, ConvTranspose
from symconv.layers.layer import Layer
from symconv.layers.roles import Roles
from symconv.notation.graph import Graph
from symconv.notation.names import POSITIONS
from symconv.prove import letters
from symconv.prove.certificate import Equation
from symconv.prove.instances import (
    Proved,
    are_phases,
    is_instance,
    numbers_of,
    proved,
    satisfied,
)
from symconv.prove.statements import natural_numbers, paired
from symconv.prove.t1_weight_gradient import weight_gradient
from symconv.prove.t2_input_gradient import input_gradient
from symconv.prove.t2_polyphase import gcd_numbers, polyphase
from symconv.prove.t3_rotation import rotation
from symconv.prove.t4_adjoint import adjoint
from symconv.prove.t4_transposition import transposition
from symconv.prove.t6_padding import padding, padding_covers


@dataclass(frozen=True)
class Cover:
    """A theorem for every size, and the numbers with which it is about a layer.

    ``fits`` says whether the numbers satisfy what it assumes, and its programs with these numbers are
    the layer's own.
    """

    theorem: Proved
    numbers: dict[str, int]
    fits: bool

    @property
    def holds(self) -> bool:
        """Whether the theorem is proved and about the layer."""
        return self.theorem.certificate is not None and self.fits

    @property
    def method(self) -> str:
        """For what sizes the theorem holds."""
        return "for every size" if self.theorem.equation.context.symbols else "for these sizes"

    @property
    def text(self) -> str:
        """Return what covers the layer, or why it does not."""
        equation = self.theorem.equation
        if self.theorem.certificate is None:
            return f"{equation.name} has no certificate: {self.theorem.reason}"
        if not self.fits:
            return f"{equation.name} is about other programs than the layer's"
        return f"the certificate of {equation.name} is accepted, and its programs are the layer's"


def numbers_text(numbers: dict[str, int]) -> str:
    """Write ``N = 1, …, H = 3×3, …``: the letters of all axes together."""
    together: dict[str, list[int]] = {}
    for name, number in numbers.items():
        together.setdefault(name.partition("_")[0], []).append(number)
    return ", ".join(f"{letter} = {'×'.join(map(str, n))}" for letter, n in together.items())


def cover(
    make: Callable[..., Equation],
    arguments: tuple[object, ...],
    numbers: dict[str, int],
    own: tuple[Graph, Graph],
    names: dict[str, str],
) -> Cover:
    """Return the theorem that a function makes, and whether it is, with numbers, about two graphs."""
    theorem = proved(make, *arguments)
    fits = satisfied(theorem.equation, numbers) and all(
        is_instance(general, numbers, side, names)
        for general, side in zip((theorem.equation.left, theorem.equation.right), own, strict=True)
    )
    return Cover(theorem, numbers, fits)


def _core(layer: ConvLayer) -> tuple[Roles[int], dict[str, str]]:
    """Return a layer's roles behind its padding, and what its tensors are called there."""
    core = roles(layer)
    return core, {} if layer.transposed else {core.cells.name: "X"}


def weight_cover(layer: ConvLayer, sides: tuple[Graph, Graph]) -> list[Cover]:
    """T1, of the sums behind the padding."""
    core, names = _core(layer)
    numbers = letters.with_further(numbers_of(core), core.rank, natural_numbers)
    own = Graph(sides[0].steps[-1:]), Graph(sides[1].steps[-1:])
    arguments = (core.rank, core.flip, core.transposed)
    return [cover(weight_gradient, arguments, numbers, own, names)]


def input_cover(layer: ConvLayer, sides: tuple[Graph, Graph]) -> list[Cover]:
    """T2, of the sums behind the padding, and T6 if what folds back is the same on both sides."""
    core, names = _core(layer)
    sums = 1 if core.transposed else 2
    own = Graph(sides[0].steps[:1]), Graph(sides[1].steps[:sums])
    arguments = (core.rank, core.flip, core.transposed)
    found = cover(input_gradient, arguments, numbers_of(core), own, names)
    same = sides[0].steps[1:] == sides[1].steps[sums:]
    return [replace(found, fits=found.fits and same), *padding_cover(layer)]


def padding_cover(layer: ConvLayer) -> Iterator[Cover]:
    """T6 and T6′ for each axis that a mode pads: the programs that pad it and that fold it back."""
    pads = layer.graph.programs[:-1]
    folds = layer.gradient("x").programs[1:]
    rank = len(layer.windows)
    for pad, fold in zip(pads, reversed(folds), strict=True):
        x = pad.contractions[0].reads[0].tensor
        name = pad.target.name.removeprefix(x.name)
        axis = POSITIONS[rank].index(name)
        window = layer.windows[axis]
        suffixes = letters.suffixes(rank)
        numbers = {f"H{suffix}": size for suffix, size in zip(suffixes, x.sizes[2:], strict=True)}
        numbers |= {"N": x.sizes[0], "C": x.sizes[1]}
        numbers |= {f"lo{suffixes[axis]}": window.lo, f"hi{suffixes[axis]}": window.hi}
        names = {x.name: "X", pad.target.name: f"X{name}", f"∂E/∂{pad.target.name}": "Y"}
        for make in (padding, padding_covers):
            theorem = proved(make, rank, axis, layer.padding_mode)
            equation = theorem.equation
            sides = [(equation.left.steps[0], pad), (equation.right.steps[0], fold)]
            if make is padding_covers:
                sides = [(equation.right.steps[1], pad)]
            fits = satisfied(equation, numbers) and all(
                is_instance(Graph((general,)), numbers, Graph((own,)), names) for general, own in sides
            )
            yield Cover(theorem, numbers, fits)


def phases_cover(layer: ConvLayer, sides: tuple[Graph, Graph]) -> list[Cover]:
    """T2′: the write that a stride scatters, and a sum for each phase of its cells."""
    core, names = _core(layer)
    theorem = proved(polyphase, core.rank, core.flip, core.transposed)
    numbers = letters.with_further(numbers_of(core), core.rank, gcd_numbers)
    scatter, phases = sides
    fits = (
        satisfied(theorem.equation, numbers)
        and is_instance(theorem.equation.left, numbers, scatter, names)
        and are_phases(theorem.equation.right, numbers, phases, names)
    )
    return [Cover(theorem, numbers, fits)]


def rests_on(layer: Layer) -> dict[str, tuple[str, ...]]:
    """Return the theorems for every size that the formulas of a layer's results rest on."""
    if layer.pooling:
        return {"∂E/∂X": ("T7′",)} if layer.pooling.takes_maxima else {"O": ("T7",)}
    if layer.recognised:
        return rests_on(layer.recognised)
    if known := layer.known_weight:
        found = {result: names for result, names in rests_on(known.conv).items() if result != "∂E/∂F"}
        return found | ({} if known.forward == known.graph else {"O": ("R2", *found.get("O", ()))})
    if (conv := layer.convolution) is None:
        return {}
    phases = ("T2′",) if any(w.stride > 1 for w in conv.windows) else ()
    modes = ("T6",) if len(conv.graph.steps) > 1 else ()
    if conv.transposed:
        results = {"O": ("T4′", *phases), "∂E/∂X": ("T2",), "∂E/∂F": ("T1",)}
    else:
        rotated = {"O": ("T3",)} if conv.flip else {}
        results = {**rotated, "∂E/∂X": ("T2", *phases, *modes), "∂E/∂F": ("T1",)}
    return results | ({"∂E/∂b": ("T4",)} if conv.bias else {})


def written_with_stride(layer: ConvLayer) -> Graph:
    """Return the sum that is written along the stride: ∂E/∂X, or a transposed convolution's own."""
    if layer.transposed:
        return Graph(replace(layer, bias=False).graph.steps[-1:])
    return Graph(layer.gradient("x").steps[:1])


def rotation_cover(layer: ConvLayer, sides: tuple[Graph, Graph]) -> list[Cover]:
    """T3, of the sums behind the padding."""
    core, names = _core(layer)
    own = Graph(sides[0].steps[-1:]), Graph(sides[1].steps[-2:])
    arguments = (core.rank, layer.bias, core.transposed)
    return [cover(rotation, arguments, numbers_of(core), own, names)]


def adjoint_cover(layer: ConvLayer, by: str, sides: tuple[Graph, Graph]) -> list[Cover]:
    """T4, of the sums behind the padding, and T6 for each axis that a mode pads."""
    core, names = _core(layer)
    tensor = core.x if by == "X" else core.taps
    numbers = numbers_of(core)
    own = sides
    if len(layer.graph.steps) > 1:  # what is paired behind the padding
        form = input_form(layer).steps[:2] if by == "X" else weight_form(layer).steps[-1:]
        own = paired(core, Graph(layer.graph.steps[-1:]), Graph(form), tensor, layer.bias)
    if by == "F":
        numbers = letters.with_further(numbers, core.rank, natural_numbers)
    arguments = (core.rank, by, core.flip, core.transposed, layer.bias)
    found = cover(adjoint, arguments, numbers, own, names)
    return [found, *(padding_cover(layer) if by == "X" else ())]


def transposition_cover(layer: ConvLayer) -> list[Cover]:
    """T4′."""
    back = transposed_of(layer)
    core = back.roles
    cells = replace(core, cells=replace(core.cells, name="Y"))
    own = back.graph, full_convolution(cells, [FullConvolution.of(w) for w in core.windows])
    arguments = (core.rank, core.flip)
    return [cover(transposition, arguments, numbers_of(core), own, {})]


def transposed_of(layer: ConvLayer, error: int = 0) -> ConvTranspose:
    """Return the transposed convolution with a layer's arguments, its padding moved by an error."""
    if layer.transposed:
        return replace(layer.transposed, bias=False)
    return ConvTranspose(
        layer.output_shape,
        layer.input_shape[1],
        layer.kernel_size,
        layer.stride,
        tuple((w.lo + error, w.hi - error) for w in layer.windows),
        tuple(w.remainder for w in layer.windows),
        layer.dilation,
        layer.groups,
        bias=False,
        flip=layer.flip,
    )
