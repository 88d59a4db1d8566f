"""Curves, graphs and receptive fields: against functions, orders and derivatives."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from symconv import Activation, BatchNorm, Network, explain, generate
from symconv.explain.curves import curve_of
from symconv.explain.flow import laid_out, layer_boxes, network_boxes
from symconv.explain.receptive import receptive_fields
from symconv.explain.sections import MOST_LAYERS, graph_section
from symconv.notation.arrays import run_arrays

NETWORK = Network(
    input_shape=(1, 1, 11, 9),
    layers=[
        {"name": "conv1", "layer": "Conv", "out_channels": 2, "kernel_size": 3, "padding": 1},
        {"name": "relu1", "layer": "Activation", "function": "x*x"},
        {"name": "pool1", "layer": "AvgPool", "kernel_size": 2},
        {"name": "conv2", "layer": "Conv", "out_channels": 2, "kernel_size": (2, 3), "dilation": (2, 1)},
        {"name": "back", "layer": "ConvTranspose", "out_channels": 2, "kernel_size": 3, "stride": 2},
        {"name": "narrow", "layer": "Conv", "out_channels": 2, "kernel_size": 3, "stride": 2},
        {"name": "skip", "layer": "Conv", "inputs": ["conv2"], "out_channels": 1, "kernel_size": 1},
        {"name": "edge", "layer": "Conv", "inputs": ["narrow"], "out_channels": 1, "kernel_size": 3,
         "padding": 1, "padding_mode": "reflect"},
        {"name": "sum", "layer": "Add", "inputs": ["skip", "edge"]},
        {"name": "flat", "layer": "Flatten"},
        {"name": "fc", "layer": "Linear", "out_features": 2},
    ],
)  # fmt: skip


def test_a_receptive_field_is_what_an_element_changes_with() -> None:
    """Weights and inputs are positive, so that no influence is cancelled by another."""
    rng = np.random.default_rng(0)
    values = {t.name: rng.uniform(1, 2, t.sizes) for t in NETWORK.tensors.values()}
    x = NETWORK.tensors["x"].name
    before = run_arrays(NETWORK.graph, values)
    rows, columns = NETWORK.input_shape[2:]
    changed: dict[str, np.ndarray] = {}
    for i, j in np.ndindex(rows, columns):
        moved = {**values, x: values[x].copy()}
        moved[x][0, 0, i, j] += 1
        after = run_arrays(NETWORK.graph, moved)
        for node in NETWORK.nodes:
            seen = np.any(after[node.name] != before[node.name], axis=(0, 1))
            changed.setdefault(node.name, np.zeros((rows, columns, *seen.shape), bool))[i, j] = seen
    for name, axes in receptive_fields(NETWORK).items():
        if name == "x" or len(axes[0]) * len(axes[1]) == 1:
            continue
        for p, q in np.ndindex(*changed[name].shape[2:]):
            (top, bottom), (left, right) = axes[0][p], axes[1][q]
            wanted = np.zeros((rows, columns), bool)
            wanted[top : bottom + 1, left : right + 1] = True
            field = changed[name][:, :, p, q]
            where = np.argwhere(field)
            assert not (field & ~wanted).any(), name
            assert where.min(axis=0).tolist() == [top, left], name
            assert where.max(axis=0).tolist() == [bottom, right], name


def test_a_curve_has_the_functions_values_and_slopes() -> None:
    curve = curve_of(Activation((2, 3), "tanh"))
    x = np.array(curve.x)
    assert np.allclose(np.array(curve.values, float), np.tanh(x), atol=1e-6)
    assert np.allclose(np.array(curve.slopes, float), 1 - np.tanh(x) ** 2, atol=1e-6)
    assert curve.value_path.count("M") == 1
    assert curve_of(Activation((2, 3), "1/x")).value_path.count("M") == 2


@pytest.mark.parametrize("boxes", [layer_boxes(BatchNorm((4, 3))), network_boxes(NETWORK, ["conv1"])])
def test_boxes_are_below_what_they_take_from_and_do_not_overlap(boxes: list[object]) -> None:
    flow = laid_out(boxes)  # type: ignore[arg-type]  # boxes of either kind
    placed = {each.box.name: each for each in flow.boxes}
    for each in flow.boxes:
        assert all(placed[name].y < each.y for name in each.box.sources)
    corners = sorted((each.y, each.x) for each in flow.boxes)
    width = flow.side[0]
    assert all(b[0] > a[0] or b[1] >= a[1] + width for a, b in itertools.pairwise(corners))
    assert len(flow.arrows) == sum(len(each.box.sources) for each in flow.boxes)


def test_layers_that_are_not_drawn_are_not_linked() -> None:
    relu = {"layer": "Activation", "function": "relu"}
    (graph,) = graph_section(Network(input_shape=(1, 2), layers=[relu] * (MOST_LAYERS + 2)))
    assert graph["svg"].count('href="#layer-') == MOST_LAYERS
    assert "The last 2 layers are not drawn below." in graph["words"]


def test_a_networks_page_has_its_layers() -> None:
    network = Network(
        input_shape=(1, 1, 4, 4),
        layers=[
            {"name": "conv1", "layer": "Conv", "out_channels": 1, "kernel_size": 3},
            {"name": "flat", "layer": "Flatten"},
            {"name": "fc", "layer": "Linear", "out_features": 2},
        ],
    )
    html = explain(network).html()
    for name in ("conv1", "flat", "fc"):
        assert f'href="#layer-{name}"' in html
        assert f'<section id="layer-{name}"' in html
    assert generate(network, "layer").source.splitlines()[0] in html.replace("&gt;", ">")
