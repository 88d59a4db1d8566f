"""From a plan to C: a header and a source file whose functions need no memory but the caller's."""

from __future__ import annotations

import re
import textwrap
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from symconv.kernel.language import Kernel
from symconv.layers.layer import Layer
from symconv.lower.layer_plan import Array, Function, Plan
from symconv.lower.network_plan import NetworkPlan
from symconv.lower.network_steps import LayerFunction
from symconv.targets.c.dialect import FORMATS, FUNCTIONS
from symconv.targets.c.nests import INDENT
from symconv.targets.c.network_calls import Struct, called_in_place, network_routine, structs_of
from symconv.targets.c.parameter_steps import init_routine, step_routines
from symconv.targets.c.routine import Routine, routine
from symconv.targets.numpy.choice import choice_text, rounding_text
from symconv.targets.numpy.functions import what
from symconv.targets.numpy.memory import BYTES
from symconv.targets.numpy.module import command, layer_summary, layer_title
from symconv.targets.numpy.network_module import network_summary, network_title
from symconv.templating import environment, fill

TYPES = {"float32": "float", "float64": "double"}
WIDTH = 97  # of a comment's text
HELPERS = ("is_nan", "larger", "square", "sign", "filled", "uniform", "normal", "sgd", "adam")
TILE_HELPERS = ("clear", "outer", "store", "accumulate", "inner")
NEAR = ("exp", "expm1", "tanh", "erf", "erfc")  # in float without branches
NEAR_HELPERS = (
    *("or_nan", "power_of_2", "part_of_exp", "less_one", "exp_of_sum"),
    *("near_exp", "near_expm1", "near_tanh", "near_erfc", "near_erf"),
)
MATHEMATICS = sorted({*FUNCTIONS, "fabs"} - {*HELPERS, *FORMATS, "Abs"})


@dataclass(frozen=True)
class Files:
    """A header and a source file, the size of the workspace, and the functions that need it."""

    header: str
    source: str
    workspace: int
    needy: frozenset[str]


@dataclass(frozen=True)
class Documented:
    """A function with the comment above it: what it computes, and how."""

    comment: tuple[str, ...]
    routine: Routine
    public: bool = True


def c_files(plan: Plan | NetworkPlan, name: str, version: str) -> Files:
    """Return a layer's, or a network's, functions in C.

    Raises
    ------
    KernelError
        If C cannot compute a function: a Fourier transform, or a batch of any size.
    """
    if isinstance(plan, NetworkPlan):
        return _network(plan, name, version)
    functions = [
        Documented(_comment(f, plan.layer), routine(f.kernel, f"{name}_{f.name}", _symbols(plan.layer)))
        for f in plan.functions
    ]
    if plan.backward is None:
        at = 1 + len(plan.gradients)
        functions.insert(at, _backward(plan, name, [d.routine for d in functions[1:at]]))
    text = [layer_title(plan, name), "", *layer_summary(plan, _given(plan.layer, name))]
    return _files(plan, name, version, text, functions, ())


def _symbols(layer: Layer) -> dict[str, str]:
    """Return what arrays are called in formulas, where that is a name in C."""
    found = {name: s for name, s in layer.symbols.items() if s.isascii() and s.isidentifier()}
    return {"y": "O", "grad_output": "G", **found}


def _comment(function: Function, layer: Layer, title: str = "") -> tuple[str, ...]:
    """Say what a function computes, and how."""
    first = f"{title}{what(function, layer).partition(', where')[0]}."
    texts = [first, choice_text(function), rounding_text(function, layer.dtype)]
    return tuple(line for text in texts if text for line in textwrap.wrap(text, WIDTH))


def _backward(plan: Plan, name: str, gradients: Sequence[Routine]) -> Documented:
    """Return the function of all gradients, which share nothing: one after the other."""
    inputs = [Array("grad_output", plan.forward.results[0].shape), *plan.forward.inputs]
    results = [function.results[0] for function in plan.gradients]
    workspace = max((r.workspace for r in gradients), default=0)
    sizes = {array.name: prod(array.sizes) for array in (*inputs, *results)}
    read = {array.name for function in plan.gradients for array in function.inputs}
    lines = [f"(void){array.name};" for array in inputs if array.name not in read]
    for own, function in zip(gradients, plan.gradients, strict=True):
        given = [array.name for array in (*function.inputs, *function.results)]
        given += ["workspace"] if own.workspace else []
        lines.append(f"{own.name}({', '.join(given)});")
    whole = Routine(
        f"{name}_backward",
        {array.name: sizes[array.name] for array in inputs},
        {array.name: sizes[array.name] for array in results},
        workspace,
        tuple(INDENT + line for line in lines),
    )
    return Documented(("All gradients, one after the other.",), whole)


def _network(plan: NetworkPlan, name: str, version: str) -> Files:
    """Return a network's functions: those of its layers are private."""
    kernels = (plan.forward, plan.training, *plan.second)
    in_place = called_in_place(kernels)
    alike: dict[Kernel, list[LayerFunction]] = {}
    for f in plan.functions:
        alike.setdefault(replace(f.function.kernel, name=""), []).append(f)
    private: list[Documented] = []
    routines: dict[Kernel, Routine] = {}
    for group in alike.values():
        first, layer = group[0], group[0].node.layer
        own = [f.function.kernel for f in group]
        title = f"{', '.join(f.node.name for f in group)}: "
        written = routine(own[0], name + first.name, _symbols(layer))
        written = replace(written, in_place=not in_place.isdisjoint(own))
        private.append(Documented(_comment(first.function, layer, title), written, public=False))
        routines |= dict.fromkeys(own, written)
    structs = structs_of(plan, name)
    public = [
        Documented(
            tuple(textwrap.wrap(SAID[kernel.name], WIDTH)),
            network_routine(kernel, name, routines, structs),
        )
        for kernel in kernels
    ]
    steps = [*init_routine(plan, name), *step_routines(plan.layer, name)]
    public += [Documented(comment, step) for comment, step in steps]
    text = [
        network_title(plan, name),
        "",
        *network_summary(plan),
        "",
        *textwrap.wrap(_given(plan.layer, name), WIDTH),
    ]
    return _files(plan, name, version, text, [*private, *public], structs)


SAID = {
    "forward": "The outputs, as they are outside training.",
    "loss_and_gradients": "The loss, and its gradients with respect to the parameters.",
    "backward": "The gradients, from those with respect to what the network gives.",
    "jvp": "The change, to first order, of what the network gives: a Jacobian-vector product.",
    "hessian_vector_product": "The product of the loss's Hessian with a vector of parameters.",
    "double_backward": "The gradients of second order: those of a product with what backward returns.",
}


def _files(
    plan: Plan | NetworkPlan,
    name: str,
    version: str,
    text: Sequence[str],
    functions: Sequence[Documented],
    structs: Sequence[Struct],
) -> Files:
    """Fill the header's and the source's templates."""
    prefix, layer = name.upper(), plan.layer
    workspace = max(d.routine.workspace for d in functions if d.public)
    comment = fill(
        "c/comment.c.j2", version=version, command=command(plan, name, "c"), text=text
    ).rstrip("\n")
    common = {"prefix": prefix, "name": name, "comment": comment}
    header = fill(
        "c/header.h.j2",
        **common,
        real=TYPES[layer.dtype],
        shapes=shapes_sum(layer),
        workspace=workspace,
        about=textwrap.wrap(f"{ABOUT} {_memory(layer, workspace)}", WIDTH),
        structs=[struct.text(f"{prefix}_REAL") for struct in structs],
        functions=[(d.comment, d.routine.head(prefix)) for d in functions if d.public],
    )
    written = [(d.comment, d.routine.text(static=not d.public)) for d in functions]
    own = "\n".join(text for _, text in written)
    threads = [fill("c/threads.c.j2").rstrip("\n")] if "SHARED(" in own else []
    checks = fill("c/checks.c.j2", prefix=prefix).rstrip("\n")
    helpers = [checks, *threads, *_called("c/helpers.c.j2", HELPERS, own), *_tiles(own, prefix)]
    code = "\n".join([*helpers, own])
    defined = mathematics(code)
    source = fill(
        "c/source.c.j2",
        **common,
        includes=_includes("\n".join([*defined, code])),
        helpers=[*defined, *helpers],
        functions=written,
    )
    needy = frozenset(d.routine.name for d in functions if d.routine.workspace)
    return Files(header, source, workspace, needy)


ABOUT = (
    "The size of the workspace, in numbers: it is enough for every function. What is in it before a "
    "call does not matter, and nothing is kept in it. No array may overlap one that is written."
)


def shapes_sum(layer: Layer) -> str:
    """Return a checksum of the names and shapes of a layer's, or a network's, parameters."""
    shapes = layer.network.held if layer.network else layer.parameters
    return f"0x{zlib.crc32(repr(list(shapes.items())).encode()):08x}u"


def _given(layer: Layer, name: str) -> str:
    """Say what the caller has to know of what functions take."""
    check = f"{name.upper()}_CHECK"
    said = ["Arguments are not checked."]
    said.append(f"With {check}, functions stop at an array that is missing, or not aligned.")
    for name, count in layer.classes.items():
        said.append(f"{name} are numbers of the same type, from 0 to {count - 1}.")
    return " ".join(said)


def _memory(layer: Layer, workspace: int) -> str:
    """Say how many bytes a program needs for numbers of the layer's own type."""
    size = BYTES[layer.dtype]
    said = f"In {TYPES[layer.dtype]} it takes {grouped(size * workspace)} bytes"
    if layer.network:
        every, trained = (
            size * sum(map(prod, shapes.values()))
            for shapes in (layer.network.parameters, layer.network.trained)
        )
        said += f"; the parameters are {grouped(every)} bytes, and "
        said += "so are their gradients" if every == trained else f"gradients {grouped(trained)} bytes"
    return f"{said}."


def grouped(number: int) -> str:
    """Write a number, its thousands apart."""
    return f"{number:,}".replace(",", " ")


def _includes(code: str) -> list[str]:
    found = {
        "stddef.h": r"\bsize_t\b",
        "stdint.h": r"\buint32_t\b",
        "string.h": r"\bmem(set|cpy)\(",
        "math.h": rf"\b({'|'.join(MATHEMATICS)}|pow)\(|\bINFINITY\b",
    }
    return [header for header, used in found.items() if re.search(used, code)]


def mathematics(code: str) -> list[str]:
    """Return what makes functions of math.h take numbers of the file's own type, if code calls some."""
    names = [name for name in MATHEMATICS if re.search(rf"\b{name}\(", code)]
    powers = ["pow"] if re.search(r"\bpow\(", code) else []
    if not names and not powers:
        return []
    near = [name for name in names if name in NEAR]
    helpers = _called("c/near.c.j2", NEAR_HELPERS, " ".join(f"near_{name}(" for name in near))
    others = [name for name in names if name not in near]
    holes = {"near": helpers, "near_names": near, "names": others, "powers": powers}
    return [fill("c/mathematics.c.j2", **holes).rstrip("\n")]


def _tiles(code: str, prefix: str) -> list[str]:
    """Return what tiles of sums are made of, if there are any."""
    found = _called("c/tile_helpers.c.j2", TILE_HELPERS, code)
    return [fill("c/tiles.c.j2", prefix=prefix).rstrip("\n"), *found] if found else []


def _called(file: str, names: Sequence[str], code: str) -> list[str]:
    """Return the functions of a template that code calls, and those that these call."""
    template = environment().get_template(file).module
    texts: Mapping[str, str] = {name: str(getattr(template, name)()).strip() for name in names}
    wanted: set[str] = set()
    known = code
    for name in reversed(names):
        if re.search(rf"\b{name}\(", known):
            wanted.add(name)
            known += texts[name]
    return [texts[name] for name in names if name in wanted]
