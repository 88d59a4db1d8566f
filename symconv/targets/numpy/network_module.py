"""From a network's plan to the text of its module: each layer's functions, and calls of them."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from symconv.kernel.language import Kernel
from symconv.layers.entries import Node
from symconv.layers.network import Network
from symconv.lower.layer_plan import Plan
from symconv.lower.network_plan import NetworkPlan
from symconv.lower.network_steps import LayerFunction
from symconv.notation.text import shape_text
from symconv.prove.covers import rests_on
from symconv.targets.numpy.functions import Written, render_private
from symconv.targets.numpy.literal import literal, literal_lines
from symconv.targets.numpy.module import accuracy, command, module_text, render_layer, tiled
from symconv.targets.numpy.network_functions import listed, network_functions
from symconv.targets.numpy.network_lines import network_lines
from symconv.targets.numpy.syntax import WIDTH, shape


def render_module(plan: Plan | NetworkPlan, name: str, version: str) -> str:
    """Return the source of a standalone module: the same text for the same plan, always."""
    if isinstance(plan, NetworkPlan):
        return render_network(plan, name, version)
    return render_layer(plan, name, version)


def render_network(plan: NetworkPlan, name: str, version: str) -> str:
    """Return the source of a network's module."""
    names = {f.function.kernel: f.name for f in plan.functions}

    def lines(kernel: Kernel) -> list[str]:
        return network_lines(kernel, names)

    written = [Written((), text.rstrip("\n")) for text in network_functions(plan, lines)]
    written += _layers_functions(plan)
    return network_text(plan, name, written, version=version, command=command(plan, name))


def network_text(plan: NetworkPlan, name: str, written: Sequence[Written], **more: Any) -> str:
    """Return the text of a network's module around its functions."""
    network = plan.layer
    return module_text(
        written,
        title=network_title(plan, name),
        summary=network_summary(plan),
        dtype=network.dtype,
        layer=_layer(network),
        **{"declarations": network_declarations(plan), **more},
    )


def network_title(plan: NetworkPlan, name: str) -> str:
    """Return a module's first line: from which shapes to which the network goes."""
    network = plan.layer
    given = listed([shape_text(sizes) for sizes in network.values.values()])
    returned = listed([shape_text(sizes) for sizes in network.returned.values()])
    return f"{name}: Network from {given} to {returned} ({network.dtype})."


def network_summary(plan: NetworkPlan) -> list[str]:
    """Return what a module says of its network: its layers, and theorems."""
    network = plan.layer
    functions = (f.function for f in plan.functions)
    return [*_nodes(network), *_theorems(network), *tiled(functions)]


def _layers_functions(plan: NetworkPlan) -> Iterator[Written]:
    """Write the functions of all layers, those that are the same once, under several names."""
    alike: dict[Kernel, list[LayerFunction]] = {}
    for f in plan.functions:
        alike.setdefault(replace(f.function.kernel, name=""), []).append(f)
    for first, *others in alike.values():
        title = ", ".join(map(_computed, (first, *others)))
        prefix = f"_{first.node.name.upper()}"
        yield render_private(first.function, first.node.layer, first.name, title, prefix)
        if others:
            yield Written((), "\n".join(f"{other.name} = {first.name}" for other in others))


def _computed(f: LayerFunction) -> str:
    """Say which layers a function computes."""
    return f"{f.node.name} and {f.applied.name}" if f.applied else f.node.name


def network_declarations(plan: NetworkPlan) -> list[str]:
    """Write the names and shapes of the parameters, and of the running statistics."""
    network = plan.layer
    lines = [*accuracy(plan), "Arrays = dict[str, Array]"]
    held = {"HELD": network.held} if network.frozen else {}  # also what is not trained
    for name, shapes in {**held, "PARAMETERS": network.trained, "STATISTICS": network.running}.items():
        rows = [f'    "{own}": {shape(sizes)},' for own, sizes in shapes.items()]
        kind = "dict[str, tuple[int, ...]]"
        lines += [f"{name}: {kind} = {{", *rows, "}"] if rows else [f"{name}: {kind} = {{}}"]
    return lines


def _layer(network: Network) -> list[str]:
    return [
        line
        for key, value in network.as_dict().items()
        for line in literal_lines(value, 4, f"{literal(key)}: ")
    ]


def _formula(node: Node) -> str:
    """Write what a layer computes, as a call of its kind."""
    masks = [node.own(name) for name in node.layer.masks]
    given = ", ".join([*node.sources, *masks, *node.layer.label_names])
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
