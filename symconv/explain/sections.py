"""The parts of a page that only some layers have: a curve, a graph, the layers of a network."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from symconv.derive.derivation import derive_layer
from symconv.explain.curves import Curve, curve_of
from symconv.explain.figures import figures
from symconv.explain.flow import Box, laid_out, layer_boxes, network_boxes
from symconv.explain.mathml import rows_mathml
from symconv.explain.receptive import Axis, receptive_fields
from symconv.layers.layer import Layer
from symconv.layers.network import Network
from symconv.notation.text import shape_text
from symconv.templating import fill

Data = dict[str, Any]
MOST_LAYERS = 24  # of a network that are drawn on its page


def graph_section(layer: Layer) -> list[Data]:
    """Return the graph of a layer of several steps, or of a network's layers."""
    if network := layer.network:
        words = (
            "Each box is a layer, with the shape of what it gives. A click on it leads to its pictures."
        )
        more = len(network.nodes) - MOST_LAYERS
        if more > 0:
            words += f" The last {more} layers are not drawn below."
        drawn = [node.name for node in network.nodes[:MOST_LAYERS]]
        return [_graph("The network", words, network_boxes(network, drawn))]
    if not layer.composite or layer.pointwise:
        return []
    words = "Each box is a tensor of the layer's definition; the arrows show what it is computed from."
    return [_graph("The steps of the layer", words, layer_boxes(layer))]


def _graph(heading: str, words: str, boxes: list[Box]) -> Data:
    flow = laid_out(boxes)
    svg = fill(
        "html/flow.html.j2", flow=flow, width=flow.width + 8, height=flow.height + 8, label=heading
    )
    return {"heading": heading, "words": words, "svg": Markup(svg)}


def curve_section(layer: Layer) -> list[Data]:
    """Return an activation's curve, and its samples for the page's script."""
    if (pointwise := layer.pointwise) is None:
        return []
    curve = curve_of(pointwise)
    label = f"{pointwise.function} and its derivative, from −4 to 4"
    svg = fill("html/curve.html.j2", curve=curve, label=label)
    first = "The solid curve is the function f, the dashed one its derivative f′."
    return [{"svg": Markup(svg), "last": len(curve.x) - 1, "words": first}]


def curve_data(layer: Layer) -> Data | None:
    """Return the samples of an activation's curve for the page's script."""
    if (pointwise := layer.pointwise) is None:
        return None
    curve: Curve = curve_of(pointwise)
    return {"x": curve.x, "values": curve.values, "slopes": curve.slopes}


def layer_sections(layer: Layer) -> list[Data]:
    """Return a network's layers: each with its pictures and its derivation; equal ones once."""
    if (network := layer.network) is None:
        return []
    found: list[Data] = []
    first: dict[Layer, str] = {}
    for node in network.nodes[:MOST_LAYERS]:
        same = first.setdefault(node.layer, node.name)
        here = same == node.name
        steps = derive_layer(node.layer, None).steps if here else ()
        found.append(
            {
                "id": f"layer-{node.name}",
                "heading": f"{node.name}: {type(node.layer).__name__}",
                "words": f"It gives {shape_text(node.layer.output_shape)}."
                + ("" if here else f" It is the same layer as {same}."),
                "pictures": [Markup(figure.svg()) for figure in (figures(node.layer) if here else ())],
                "steps": [
                    {"name": step.name, "after": Markup(rows_mathml(step.after.latex))} for step in steps
                ],
            }
        )
    return found


def receptive_section(layer: Layer) -> list[Data]:
    """Return what each layer's elements see of a network's input."""
    network = layer.network
    if network is None or len(network.input_shape) < 3:
        return []
    fields = receptive_fields(network)
    layer_names = [n.name for n in network.nodes if not n.layer.is_view]
    rows = [
        {"name": name, "size": _size(axes), "step": _step(axes)}
        for name, axes in fields.items()
        if name in layer_names
    ]
    return [{"rows": rows, "names": [row["name"] for row in rows], **_plane(network)}]


def _plane(network: Network) -> Data:
    """Return the size of the input's plane as it is drawn: one axis is a row, of three the last two."""
    sizes = network.input_shape[2:]
    return {"height": sizes[-2] if len(sizes) > 1 else 1, "width": sizes[-1]}


def receptive_data(layer: Layer) -> Data | None:
    """Return the receptive field of every element, for the page's script."""
    network = layer.network
    if network is None or len(network.input_shape) < 3:
        return None
    fields = receptive_fields(network)
    return {name: [list(axis) for axis in axes[-2:]] for name, axes in fields.items()}


def _size(axes: tuple[Axis, ...]) -> str:
    """Return how many elements an element in the middle depends on."""
    middle = [axis[len(axis) // 2] for axis in axes]
    return "×".join(str(hi - lo + 1) for lo, hi in middle)


def _step(axes: tuple[Axis, ...]) -> str:
    """Return how far apart the fields of neighbours in the middle are."""
    found = []
    for axis in axes:
        at = len(axis) // 2
        found.append(str(axis[at][1] - axis[at - 1][1]) if len(axis) > 1 else "")
    return "×".join(found) if all(found) else ""
