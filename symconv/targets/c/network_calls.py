"""A network's functions in C: calls of its layers' functions, on arrays in the caller's workspace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from symconv.errors import KernelError
from symconv.kernel.language import Buffer, Call, Do, Kernel, Statement, tensors_read, tensors_written
from symconv.kernel.liveness import placed
from symconv.lower.assembly import (
    CHANGES,
    GIVEN,
    GRADIENTS,
    MASKS,
    ONE,
    PARAMETERS,
    PRODUCT,
    RESULTS,
    STATISTICS,
)
from symconv.lower.network_plan import NetworkPlan
from symconv.lower.runs import rounded_up
from symconv.notation.contraction import Contraction, integers
from symconv.targets.c.dialect import WORDS
from symconv.targets.c.nests import INDENT, text_lines
from symconv.targets.c.routine import ALIGNED, WORKSPACE, Routine
from symconv.targets.c.wording import syntax

LETTERS = {PARAMETERS: "p", MASKS: "m", CHANGES: "v", STATISTICS: "s", GRADIENTS: "g", PRODUCT: "h"}
KINDS = {
    "p": "parameters",
    "v": "parameters",
    "m": "masks",
    "s": "statistics",
    "g": "arrays",
    "h": "arrays",
}


EACH = "An array for each parameter that is trained, written: its gradient, or itself by a step."


@dataclass(frozen=True)
class Struct:
    """Pointers to arrays by name: where they are read from, or written to."""

    name: str
    about: str
    fields: Mapping[str, tuple[int, ...]]
    written: bool

    def text(self, real: str) -> str:
        """Return the struct for a header."""
        const = "" if self.written else "const "
        rows = [
            f"{INDENT}{const}{real} *{field(name)}; // {' × '.join(map(str, sizes)) or 1}"
            for name, sizes in self.fields.items()
        ]
        return "\n".join([f"// {self.about}", f"struct {self.name} {{", *rows, "};"])


def structs_of(plan: NetworkPlan, name: str) -> list[Struct]:
    """Return the structs of a network's functions."""
    network = plan.layer
    found = [
        Struct(
            f"{name}_parameters",
            "Parameters and running statistics, which are only read.",
            network.held,
            False,
        ),
        Struct(f"{name}_arrays", EACH, network.trained, True),
        Struct(
            f"{name}_changes",
            "How the parameters that are trained change.",
            network.trained if network.frozen and plan.second else {},
            False,
        ),
        Struct(f"{name}_statistics", "The new running statistics.", network.running, True),
        Struct(f"{name}_masks", "The masks of Dropout layers.", network.mask_shapes, False),
    ]
    return [struct for struct in found if struct.fields]


def network_routine(
    kernel: Kernel, name: str, callees: Mapping[Kernel, Routine], structs: Sequence[Struct]
) -> Routine:
    """Return a function that calls others."""
    for buffer in kernel.buffers:
        if not all(isinstance(size, int) for size in buffer.tensor.shape):
            raise KernelError(f"{buffer.tensor.name}: C needs numbers for its shape")
    whole = placed(kernel)
    own: dict[str, int] = {}
    size = 0
    for buffer in whole.with_role("scratch"):
        own[buffer.tensor.name] = size
        size += rounded_up(prod(integers(buffer.tensor.shape)), ALIGNED)
    writer = _Writer(whole, callees, own, size)
    lines = [*writer.lines()]
    known = {struct.name.removeprefix(f"{name}_"): struct.name for struct in structs}
    given, taken = _parameters(whole.inputs, known), _parameters(whole.outputs, known)
    needs = size + max(
        (callees[s.kernel].workspace for s in whole.body if isinstance(s, Call)), default=0
    )
    return Routine(f"{name}_{kernel.name}", given, taken, needs, tuple(text_lines(lines, 1)))


def called_in_place(kernels: Sequence[Kernel]) -> set[Kernel]:
    """Return the kernels that are called on views of which one is written over another."""
    found = set()
    for kernel in kernels:
        for call in (statement for statement in kernel.body if isinstance(statement, Call)):
            owners = [kernel.owner(view.access.tensor.name).tensor.name for view in call.views]
            count = len(call.kernel.inputs)
            if set(owners[:count]) & set(owners[count:]):
                found.add(call.kernel)
    return found


def _parameters(buffers: Sequence[Buffer], structs: Mapping[str, str]) -> dict[str, int | str]:
    """Return what a function takes: structs by the kind of what is in them, and arrays."""
    found: dict[str, int | str] = {}
    for buffer in sorted(buffers, key=lambda b: not b.tensor.name.startswith(PARAMETERS)):
        kind, slash, _ = buffer.tensor.name.partition("/")
        letter = LETTERS.get(kind + slash)
        if letter:
            of = "changes" if letter == "v" and "changes" in structs else KINDS[letter]
            found[letter] = f"const struct {structs[of]} *{letter}"
        elif buffer.tensor.name != ONE:
            found[_local(buffer.tensor.name)] = prod(integers(buffer.tensor.shape))
    return found


def field(name: str) -> str:
    """Return what a struct calls an array."""
    return name.replace(".", "_")


def _local(name: str) -> str:
    """Return what a variable is called."""
    kind, slash, own = name.partition("/")
    if not slash:
        return f"{name}_" if name in WORDS | {*LETTERS.values(), "y", "one"} else name
    if kind + slash in (GIVEN, RESULTS):
        return own
    return f"{LETTERS[kind + slash]}->{field(own)}"


class _Writer:
    """Statements while they are written: which arrays have a name already."""

    def __init__(
        self, kernel: Kernel, callees: Mapping[Kernel, Routine], places: Mapping[str, int], end: int
    ) -> None:
        self.kernel, self.callees, self.places, self.end = kernel, callees, places, end
        self.named: set[str] = set()

    def lines(self) -> Iterator[str]:
        """Write all statements, each after the names of its arrays."""
        for statement in self.kernel.body:
            if isinstance(statement, Call) and statement.note:
                yield f"// {statement.note}"
            for tensor in (*tensors_read(statement), *tensors_written(statement)):
                yield from self._name(self.kernel.buffer(tensor.name))
            yield from self._statement(statement)

    def _name(self, buffer: Buffer) -> Iterator[str]:
        """Give an array a name before it is first used."""
        name = buffer.tensor.name
        if name in self.named:
            return
        self.named.add(name)
        if name == ONE:
            yield "static const real one[1] = {1};"
        elif buffer.role == "alias":
            if buffer.of not in self.places:
                yield from self._name(self.kernel.buffer(buffer.of))
            given = self.kernel.owner(name).role == "input"
            source = (
                f"{WORKSPACE} + {self.places[buffer.of]}"
                if buffer.of in self.places
                else _local(buffer.of)
            )
            yield f"{'const ' if given else ''}real *const {_local(name)} = {source};"

    def _statement(self, statement: Statement) -> Iterator[str]:
        match statement:
            case Call(kernel=kernel, views=views):
                callee = self.callees[kernel]
                given = [_local(view.access.tensor.name) for view in views]
                if callee.workspace:
                    given.append(f"{WORKSPACE} + {self.end}")
                yield f"{callee.name}({', '.join(given)});"
            case Do(meaning=Contraction() as meaning, how=how):
                value = f"{_local(meaning.reads[0].tensor.name)}[i]" if meaning.reads else "0"
                target = f"{_local(meaning.target.tensor.name)}[i]"
                count = prod(meaning.ranges.values())
                step = syntax("add" if how == "add" else "assign", target=target, value=value)
                yield f"{syntax('count', letter='i', start=0, stop=count)} {step}"
            case _:
                raise KernelError(f"{self.kernel.name}: neither a call nor a copy")
