"""A network as an ONNX file: what it computes, or its gradients."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from symconv.errors import SymconvError
from symconv.files import write_files
from symconv.layers.arguments import refuse
from symconv.layers.network import Network
from symconv.onnx.graph_nodes import Nodes
from symconv.onnx.layer_nodes import UPSTREAM, write_layers, write_step_by_step
from symconv.verbs import a_layer
from symconv.version import __version__

if TYPE_CHECKING:
    import onnx

OPSET = 17
IR_VERSION = 8  # the one that came with the opset


def save(
    network: Network,
    params: Mapping[str, Any],
    path: str | os.PathLike[str],
    gradients: bool = False,
    force: bool = False,
) -> Path:
    """Write a network and its parameters to an ONNX file; return the path.

    Parameters
    ----------
    network
        The network, of a number of samples.
    params
        Its parameters and running statistics by name. With ``gradients``, each is also an input of the
        file's graph, so that other values can be given.
    path
        The file.
    gradients
        Whether the file computes gradients, for training elsewhere. Its inputs are then the upstream
        gradient ``grad_NAME`` of each output (none for a loss), the network's inputs and the labels. Its
        outputs are the outputs, or the loss, and ``d_NAME`` for each input and trained parameter.
    force
        Whether a file that is there is overwritten.

    Raises
    ------
    SymconvError
        If ONNX is not installed, an argument is not valid, or a layer has no form in ONNX.

    Examples
    --------
    >>> symconv.onnx.save(network, params, "model.onnx")  # doctest: +SKIP
    """
    model = model_of(network, params, gradients)
    if not force and os.path.exists(path):
        raise SymconvError(f"{path}: exists: only force overwrites it")
    write_files({Path(path): model.SerializeToString(deterministic=True)}, force=True)
    return Path(path)


def model_of(network: Network, params: Mapping[str, Any], gradients: bool = False) -> onnx.ModelProto:
    """Return what :func:`save` writes."""
    try:
        import onnx
    except ImportError as error:
        raise SymconvError("onnx: is not installed: pip install 'symconv[onnx]'") from error
    if a_layer(network).network is None:
        raise refuse("network", network, "a Network")
    if network.any_batch:
        raise SymconvError("network: must have a number of samples, instead of any (None)")
    given = _params(network, params)
    nodes = Nodes(network.dtype)
    inputs = {**network.values, **network.labels}
    if gradients:
        inputs = {**_upstream(network), **inputs}
        outputs = _gradients(network, nodes)
    else:
        inputs = dict(network.values)
        outputs = write_layers(network, nodes)
    graph = _graph(network, nodes, inputs, outputs, given, gradients)
    opset = onnx.helper.make_opsetid("", OPSET)
    model = onnx.helper.make_model(
        graph,
        opset_imports=[opset],
        ir_version=IR_VERSION,
        producer_name="symconv",
        producer_version=__version__,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _params(network: Network, params: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, shape in network.held.items():
        if name not in params:
            raise SymconvError(f"params: {name!r} is missing")
        array = np.asarray(params[name], network.dtype)
        if array.shape != shape:
            raise SymconvError(f"params: {name!r}: expected shape {shape}, received {array.shape}")
        found[name] = array
    return found


def _upstream(network: Network) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of the upstream gradients."""
    return {} if network.loss else {f"grad_{name}": shape for name, shape in network.returned.items()}


def _gradients(network: Network, nodes: Nodes) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Add the network and its chain rule; return what each output is called, and its shape."""
    if network.masks:
        raise SymconvError("network: has a dropout, whose mask is not an input of the file")
    kind = 1 if network.dtype == "float32" else 11  # ONNX's number
    known = {name: nodes.add("Cast", name, to=kind) for name in network.labels}
    for node in network.nodes:
        known[node.name] = write_step_by_step(node.layer.forward, node, known, nodes)[0]
    outputs = {network.loss.name: network.output_shape} if network.loss else network.returned
    found = {name: (known[name], shape) for name, shape in outputs.items()}
    shares: dict[str, list[str]] = {name: [f"grad_{name}"] for name in network.returned}
    if network.loss:
        shares = {network.loss.name: [nodes.constant(1.0)]}
    for node in reversed(network.nodes):
        if node.name not in shares:
            continue
        given = known | {UPSTREAM: _sum(shares[node.name], nodes)}
        results = write_step_by_step(node.layer.backward, node, given, nodes)
        for name, result in zip(node.layer.differentiable, results, strict=True):
            shares.setdefault(node.own(name), []).append(result)
    for name in network.differentiable:
        found[f"d_{name}"] = (_sum(shares[name], nodes), network.differentiated[name].sizes)
    return found


def _sum(names: Sequence[str], nodes: Nodes) -> str:
    return names[0] if len(names) == 1 else nodes.add("Sum", *names)


def _graph(
    network: Network,
    nodes: Nodes,
    inputs: Mapping[str, tuple[int, ...]],
    outputs: Mapping[str, tuple[str, tuple[int, ...]]],
    params: Mapping[str, Any],
    gradients: bool,
) -> onnx.GraphProto:
    """Return the graph of nodes."""
    from onnx import TensorProto, numpy_helper
    from onnx.helper import make_graph, make_tensor_value_info

    real = TensorProto.FLOAT if network.dtype == "float32" else TensorProto.DOUBLE
    whole = {name for name in network.labels if name in network.classes}
    given = [
        make_tensor_value_info(name, TensorProto.INT64 if name in whole else real, shape)
        for name, shape in inputs.items()
    ]
    if gradients:  # of parameters, which a training loop changes
        given += [make_tensor_value_info(name, real, array.shape) for name, array in params.items()]
    results = []
    for name, (value, shape) in outputs.items():
        nodes.add("Identity", value, output=name)
        results.append(make_tensor_value_info(name, real, shape))
    held = [
        numpy_helper.from_array(array, name) for name, array in {**params, **nodes.constants}.items()
    ]
    return make_graph(nodes.nodes, "network", given, results, held)
