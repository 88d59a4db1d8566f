"""A model of PyTorch as a network and its parameters, by way of ``torch.export``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from symconv.building import Array, Layers, NotSupportedError, Value
from symconv.errors import SymconvError
from symconv.layers.network import Network
from symconv.torch.aten_calls import IGNORED, Call, Given
from symconv.torch.aten_ops import OPS


def network(
    model: torch.nn.Module, *example: Any, training: bool = False
) -> tuple[Network, dict[str, Array]]:
    """Return a model as a network, and its parameters by name.

    A layer with parameters has its module's name, with ``_`` for dots: ``layers.0.conv1.weight`` becomes
    ``layers_0_conv1.weight``.

    Parameters
    ----------
    model
        The model. It is exported as in inference.
    example
        Its arguments: tensors of the shapes that the network is for.
    training
        Whether BatchNorm normalises with a batch's statistics, and updates the running ones.

    Raises
    ------
    SymconvError
        If the model cannot be exported, or an operator is not supported: it is named, with the line of
        the model that calls it. Nothing is guessed.

    Examples
    --------
    >>> network, params = symconv.torch.network(resnet, x)  # doctest: +SKIP
    >>> module = symconv.generate(network, "resnet", target="c").load()  # doctest: +SKIP
    >>> y = module.forward(params, x.numpy())  # doctest: +SKIP
    """
    if not isinstance(model, torch.nn.Module):
        raise SymconvError(f"model = {type(model).__name__}: must be a module of PyTorch")
    modes = {module: module.training for module in model.modules()}
    try:
        exported = torch.export.export(model.train(False), example).run_decompositions({})
    except Exception as error:  # whatever PyTorch raises for a model that it cannot export
        first = " ".join(str(error).split())[:200]
        raise SymconvError(f"model: torch.export: {type(error).__name__}: {first}") from error
    finally:
        for module, mode in modes.items():
            module.training = mode
    return _Reader(exported, training).network()


class _Reader:
    """An exported graph while it is read: what each of its nodes is."""

    def __init__(self, exported: Any, training: bool) -> None:
        signature = exported.graph_signature
        names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        names |= signature.inputs_to_lifted_tensor_constants
        tensors = {**exported.state_dict, **exported.constants}
        self.graph, self.training = exported.graph, training
        self.names: dict[str, str] = names  # of parameters and buffers, by their nodes' names
        self.known: dict[str, Any] = {
            node: tensors[name].detach().numpy() for node, name in names.items() if name in tensors
        }
        self.inputs: dict[str, tuple[int, ...]] = {}
        self.layers = Layers("float32", self.inputs)
        self.taken: set[str] = set()

    def network(self) -> tuple[Network, dict[str, Array]]:
        """Return the network of all nodes."""
        given = [n for n in self.graph.nodes if n.op == "placeholder" and n.name not in self.names]
        for number, node in enumerate(given, 1):
            example = node.meta["val"]
            dtype = str(example.dtype).removeprefix("torch.")
            if dtype not in ("float32", "float64") or (number > 1 and dtype != self.layers.dtype):
                raise SymconvError(f"{node.name}: must be a tensor of float32 or float64")
            self.layers.dtype = dtype
            name = "x" if len(given) == 1 else f"x{number}"
            self.inputs[name] = tuple(map(int, example.shape))
            self.known[node.name] = Value(name, self.inputs[name])
        results: list[Value] = []
        for node in self.graph.nodes:
            if node.op == "call_function":
                self._take(node)
            elif node.op == "output":
                results = [self._result(result, at) for at, result in enumerate(node.args[0], 1)]
        outputs = self.layers.results(results)
        shapes: dict[str, Any] = {"input_shapes": self.inputs}
        if [*self.inputs] == ["x"]:
            shapes = {"input_shape": self.inputs["x"]}
        entries = self.layers.leading_to(outputs)
        found = Network(entries, dtype=self.layers.dtype, outputs=outputs, **shapes)
        return found, {name: self.layers.params[name] for name in found.held}

    def _result(self, node: Any, number: int) -> Value:
        value = self.known.get(getattr(node, "name", ""))
        if not isinstance(value, Value):
            raise SymconvError(f"output {number}: is not computed from the input")
        return value

    def _take(self, node: Any) -> None:
        """Add a node's layers."""
        target = node.target
        name = getattr(target, "__name__", str(target)).partition(".")[0]
        if name == "getitem":
            self.known[node.name] = self.known[node.args[0].name][node.args[1]]
            return
        if name in ("_assert_tensor_metadata", "sym_size"):
            return
        where = f"{name} ({_place(node)})"
        operator = OPS.get(name)
        if operator is None:
            raise NotSupportedError(f"{where}: is not supported")
        given = Given(self._arguments(node))
        call = Call(self._name(name, node), given, self.training, self.layers)
        try:
            found = operator(call)
            self._all_read(node, given)
        except SymconvError as error:
            raise NotSupportedError(f"{where}: {error}") from error
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise NotSupportedError(f"{where}: has arguments that are not supported") from error
        self.known[node.name] = found

    def _arguments(self, node: Any) -> Mapping[str, Any]:
        """Return all arguments by name."""
        schema = node.target._schema.arguments
        given = dict(zip((argument.name for argument in schema), node.args, strict=False))
        given |= node.kwargs
        for argument in schema:
            if argument.name not in given and argument.has_default_value():
                given[argument.name] = argument.default_value
        return {name: self._value(value) for name, value in given.items()}

    def _all_read(self, node: Any, given: Given) -> None:
        """Refuse an argument that no rule looked at, unless it is left as it is by default."""
        for argument in node.target._schema.arguments:
            name = argument.name
            if name in given.read or name in IGNORED or name not in given:
                continue
            if not argument.has_default_value() or given.get(name) != argument.default_value:
                raise NotSupportedError(f"{name} = {given.get(name)!r} is not supported")

    def _value(self, given: Any) -> Any:
        if isinstance(given, list | tuple):
            return [self._value(each) for each in given]
        return self.known[given.name] if hasattr(given, "meta") else given

    def _name(self, operator: str, node: Any) -> str:
        """Return the name of a layer: that of its parameters' module, or of the operator."""
        owners = [self.names[n.name] for n in node.args if getattr(n, "name", "") in self.names]
        stem = re.sub(r"[^a-z0-9_]", "_", owners[0].rpartition(".")[0].lower()) if owners else ""
        if not re.fullmatch("[a-z][a-z0-9_]{0,60}", stem) or stem.startswith(("g_", "t_", "tg_")):
            stem = re.sub(r"[123]d$|[^a-z]", "", operator)
        name, number = stem, 0
        while name in self.taken or (not owners and not number):
            number += 1
            name = f"{stem}{number}" if stem[-1:].isalpha() else f"{stem}_{number}"
        self.taken.add(name)
        return name


def _place(node: Any) -> str:
    """Return where in the model a node comes from."""
    stack = str(node.meta.get("stack_trace", "")).strip().splitlines()
    lines = [line.strip() for line in stack if line.strip()]
    return f"{lines[-1][:80]!r}" if lines else str(np.asarray(node.name))
