"""From a network's plan to the text of its module: each layer's functions, and calls of them."""

from __future__ import annotations

import builtins
import itertools
import textwrap
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from symconv.layers.network import Network, Node
from symconv.lower.batch import lettered
from symconv.lower.layer import Array, Plan
from symconv.lower.network import Initial, LayerFunction, NetworkPlan
from symconv.lower.schedule import (
    CHANGES,
    COTANGENT,
    GRADIENTS,
    LOSS,
    ONE,
    PARAMETERS,
    PRODUCT,
    STATISTICS,
    Action,
    AddTo,
    Alias,
    Call,
    Schedule,
    Variable,
)
from symconv.notation.contraction import Size
from symconv.notation.text import shape_text
from symconv.prove.covers import rests_on
from symconv.targets.numpy.functions import (
    Written,
    annotated,
    check_of,
    counted,
    render_private,
    signature,
)
from symconv.targets.numpy.lines import in_lines
from symconv.targets.numpy.literal import literal, literal_lines
from symconv.targets.numpy.module import accuracy, command, module_text, render_layer, tiled
from symconv.targets.numpy.syntax import WIDTH, shape, tuple_text
from symconv.templating import fill

Returned: TypeAlias = tuple[str, tuple[Size, ...]]  # the caller's array, and its shape
DICTS = {PARAMETERS: "p", GRADIENTS: "g", CHANGES: "v", PRODUCT: "h", STATISTICS: "s"}
HEADINGS = {
    "forward": "forward",
    "changes": "how the outputs change",
    "reverse": "in reverse: the chain rule",
}
RESERVED = {
    *dir(builtins),
    "x",
    "y",
    "out",
    "params",
    "gx",
    ONE,
    LOSS,
    COTANGENT,
    "np",
    "math",
    *DICTS.values(),
}


def render_module(plan: Plan | NetworkPlan, name: str, version: str) -> str:
    """Return the source of a standalone module: the same text for the same plan, always."""
    if isinstance(plan, NetworkPlan):
        return render_network(plan, name, version)
    return render_layer(plan, name, version)


def render_network(plan: NetworkPlan, name: str, version: str) -> str:
    """Return the source of a network's module."""
    network = plan.layer
    private = [
        render_private(f.function, f.node.layer, f.name, _computed(f), f"_{f.node.name.upper()}")
        for f in plan.functions
    ]
    return module_text(
        [*(Written((), text.rstrip("\n")) for text in _public(plan)), *private],
        version=version,
        command=command(plan, name),
        title=f"{name}: Network from {shape_text(network.input_shape)} to "
        f"{shape_text(network.body[-1].layer.output_shape)} ({network.dtype}).",
        summary=[
            *_nodes(network),
            *_theorems(network),
            *tiled(f.function for f in plan.functions),
        ],
        dtype=network.dtype,
        layer=_layer(network),
        declarations=[*accuracy(plan), *_declarations(network)],
    )


def _computed(f: LayerFunction) -> str:
    """Say which layers a function computes."""
    return f"{f.node.name} and {f.applied.name}" if f.applied else f.node.name


def _public(plan: NetworkPlan) -> Iterator[str]:
    """Write the functions that users call."""
    network, last = plan.layer, plan.layer.body[-1]
    common: dict[str, object] = {
        "x_shape": tuple_text(lettered(network.input_shape)),
        "shape": tuple_text(lettered(last.layer.output_shape)),
        "counted": counted([Array("x", lettered(network.input_shape))], network),
    }
    yield fill(
        "numpy/network_init.py.j2", initial=[(n, _first_values(i)) for n, i in plan.initial.items()]
    )
    lines = _lines(plan.forward, {last.name: ("y", lettered(last.layer.output_shape))})
    statistics = ", by the running statistics" if network.running else ""
    inference = common | {"counted": counted([Array("x", lettered(network.input_shape))], last.layer)}
    yield fill(
        "numpy/network_forward.py.j2", last=last.name, lines=lines, statistics=statistics, **inference
    )
    if network.loss is None:
        yield fill("numpy/network_backward.py.j2", **_backward(plan), **common)
    else:
        ((labels, sizes),) = network.labels.items()
        common |= {"labels": labels, "labels_check": check_of(Array(labels, lettered(sizes)), network)}
        yield fill("numpy/network_loss.py.j2", **_loss(plan, labels), **common)
    yield fill("numpy/sgd_step.py.j2")
    for name, schedule in plan.second.items():
        yield fill(f"numpy/network_{name}.py.j2", **_second(plan, name, schedule), **common)


def _second(plan: NetworkPlan, name: str, schedule: Schedule) -> dict[str, object]:
    """Return the holes of a function of second order; without a loss the input changes, too."""
    network, last = plan.layer, plan.layer.body[-1]
    change = f"t_{last.name}"
    if name == "jvp":
        moved = {"x": network.input_shape} if network.loss is None else {}
        given = ["params: Arrays", *annotated(["x", *(f"t{x}" for x in moved)]), "v: Arrays"]
        return {
            "signature": signature(name, given, "Array"),
            "last": last.name,
            "changes": " and ".join([*(f"{x} by t{x}" for x in moved), "the parameters by v"]),
            "moved": [(f"t_{x}", f"t{x}", tuple_text(lettered(s))) for x, s in moved.items()],
            "lines": _lines(schedule, {change: ("ty", lettered(last.layer.output_shape))}),
        }
    returned = {
        change: ("ggo", lettered(last.layer.output_shape)),
        "tg_x": ("gx", lettered(network.input_shape)),
    }
    return {"lines": _lines(schedule, {} if network.loss else returned)}


def _backward(plan: NetworkPlan) -> dict[str, object]:
    """Return the holes of the function of the gradients from that by the output."""
    statistics = bool(plan.layer.running)
    kind = "tuple[Array, Arrays, Arrays]" if statistics else "tuple[Array, Arrays]"
    given = ["params: Arrays", "grad_output: Array", "x: Array"]
    lines = _lines(plan.training, {"g_x": ("gx", lettered(plan.layer.input_shape))})
    also = ", and the new running statistics" if statistics else ""
    return {
        "signature": signature("backward", given, kind),
        "summary": f"the gradients with respect to x and by the parameters, by name{also}",
        "lines": [*_statistics(plan.layer), *lines],
        "returned": "gx, g, s" if statistics else "gx, g",
    }


def _statistics(network: Network) -> list[str]:
    """Write the memory of the new running statistics: the old ones, where no layer moves them."""
    new = "s = {name: p[name].copy() for name in STATISTICS}"
    return [new] if network.running else []


def _loss(plan: NetworkPlan, labels: str) -> dict[str, object]:
    """Return the holes of the function of the loss and its gradients."""
    finite = '_finite(loss, {"x": x} | p)'
    given, kind = ["params: Arrays", "x: Array", f"{labels}: Array"], "tuple[float, Arrays]"
    summary, returned = "the loss and its gradients with respect to the parameters", f"{finite}, g"
    if plan.layer.running:
        kind, returned = "tuple[float, Arrays, Arrays]", f"{finite}, g, s"
        summary = "the loss, its gradients by the parameters, and the new running statistics"
    head = signature("loss_and_gradients", given, kind)
    lines = [*_statistics(plan.layer), *_lines(plan.training, {})]
    return {"signature": head, "summary": summary, "lines": lines, "returned": returned}


def _lines(schedule: Schedule, returned: Mapping[str, Returned]) -> list[str]:
    """Write a schedule: names for memory, and calls that fill it.

    ``returned`` has the caller's array for the variable whose memory that is.
    """
    owners = schedule.owners
    owned = {owners[name]: array for name, array in returned.items() if name in owners}
    shapes: dict[str, tuple[Size, ...]] = {}
    lines: list[str] = []
    for section, actions in schedule.sections.items():
        lines += [f"# {HEADINGS[section]}"] if actions and len(schedule.sections) > 1 else []
        for action in actions:
            lines += _action(action, schedule, owned, shapes)
    computed = {name for action in schedule.actions for name in action.writes}
    for name, (array, _) in returned.items():
        if name not in computed:
            lines.append(f"{array}[...] = 0")
        elif owners[name] not in computed:  # a view of what came in
            lines.append(f"{array}[...] = {_local(name)}")
    return lines


def _action(
    action: Action,
    schedule: Schedule,
    owned: Mapping[str, Returned],
    shapes: dict[str, tuple[Size, ...]],
) -> Iterator[str]:
    """Write one action; ``shapes`` are those of the variables that have a name already."""
    match action:
        case Call(function=function, arguments=arguments, results=results):
            for result in results:
                if result.name not in shapes and "/" not in result.name and result.name != LOSS:
                    yield _allocated(result, schedule, owned)
                    shapes[result.name] = result.shape
            given = [*map(_local, arguments), *(_local(result.name) for result in results)]
            yield from in_lines(f"{function}({', '.join(given)})", 1)
        case Alias(variable=variable, of=of):
            same = shapes.get(of) == variable.shape
            view = "  # the same memory" if same else f".reshape{tuple_text(variable.shape)}"
            yield f"{_local(variable.name)} = {_local(of)}{view}"
            shapes[variable.name] = variable.shape
        case AddTo(target=target, source=source):
            yield f"{_local(target)} += {_local(source)}"


def _allocated(result: Variable, schedule: Schedule, owned: Mapping[str, Returned]) -> str:
    """Write where a variable's memory is: a buffer, or the array that is returned."""
    if result.name in owned:
        array, sizes = owned[result.name]
        view = "" if sizes == result.shape else f".reshape{tuple_text(result.shape)}"
        return f"{_local(result.name)} = {array}{view}"
    buffer = schedule.places[result.name]
    return f'{_local(result.name)} = _scratch("buffer {buffer}", {tuple_text(result.shape)})'


def _local(name: str) -> str:
    """Return what a variable is called: parameters by name in their dict, others as they are."""
    kind, slash, own = name.partition("/")
    if slash:
        return f'{DICTS[kind + slash]}["{own}"]'
    if name in (ONE, LOSS, COTANGENT, "x"):
        return name
    return f"{name}_" if name in RESERVED else name


def _first_values(initial: Initial) -> str:
    """Write a parameter's first values."""
    if initial.fan_in:
        return f"_normal(rng, {shape(initial.shape)}, {initial.fan_in})"
    if initial.number in (0, 1):
        return f"np.{'ones' if initial.number else 'zeros'}({shape(initial.shape)}, DTYPE)"
    return f"np.full({shape(initial.shape)}, {initial.number}, DTYPE)"


def _declarations(network: Network) -> list[str]:
    lines = ["Arrays = dict[str, Array]"]
    for name, shapes in (("PARAMETERS", network.parameters), ("STATISTICS", network.running)):
        rows = [f'    "{own}": {shape(sizes)},' for own, sizes in shapes.items()]
        kind = "dict[str, tuple[int, ...]]"
        lines += [f"{name}: {kind} = {{", *rows, "}"] if rows else [f"{name}: {kind} = {{}}"]
    return lines


def _layer(network: Network) -> list[str]:
    rows = [line for node in network.nodes for line in literal_lines(node.as_dict(), 8)]
    return [
        '    "layer": "Network",',
        f'    "input_shape": {literal(network.input_shape)},',
        '    "layers": (',
        *rows,
        "    ),",
        f'    "dtype": "{network.dtype}",',
    ]


def _formula(node: Node) -> str:
    """Write what a layer computes, as a call of its kind."""
    given = ", ".join([*node.sources, *node.layer.label_names])
    return f"{node.name} = {type(node.layer).__name__}({given})"


def _nodes(network: Network) -> list[str]:
    """Write each layer with its arguments and the shape that it gives."""
    lines = []
    for node in network.nodes:
        own = {k: v for k, v in node.as_dict().items() if k not in ("name", "inputs", "layer")}
        chosen = ", ".join(f"{key}={literal(value)}" for key, value in own.items())
        text = (
            f"{_formula(node)}{', ' + chosen if chosen else ''}: {shape_text(node.layer.output_shape)}"
        )
        lines += textwrap.wrap(text, WIDTH, subsequent_indent="    ")
    return lines


def _theorems(network: Network) -> list[str]:
    """Name the theorems that the layers' formulas rest on."""
    found: dict[str, list[str]] = {}
    for node in network.nodes:
        for names in rests_on(node.layer).values():
            for theorem in names:
                found.setdefault(theorem, []).append(node.name)
    if not found:
        return []
    by = itertools.groupby(found.items(), key=lambda pair: pair[1])
    parts = [f"{', '.join(t for t, _ in pairs)} ({', '.join(nodes)})" for nodes, pairs in by]
    text = f"Theorems for every size that it rests on, as `symconv prove` shows: {'; '.join(parts)}."
    return ["", *textwrap.wrap(text, WIDTH)]
