"""ONNX's LSTM, written out: a few layers for each step, whose recurrent matrix is shared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from symconv.building import Array, NotSupportedError, Value
from symconv.onnx.arithmetic import applied
from symconv.onnx.nodes import Call
from symconv.onnx.shaping import joined, part

MOST_STEPS = 256
GATES = ("i", "o", "f", "c")  # in ONNX's order


def lstm(call: Call) -> tuple[Value, ...]:
    """Return the states of all steps, then the last state and the last cell.

    References
    ----------
    ONNX, operator LSTM, version 14: the equations with the default activations.
    """
    x = call.value(0)
    steps, samples, _ = x.shape
    direction = call.get("direction", "forward")
    if steps > MOST_STEPS:
        raise NotSupportedError(f"has {steps} steps, of which each becomes layers")
    extras = any(given is not None for at, given in enumerate(call.inputs) if at in (4, 7))
    if extras or any(map(call.get, ("layout", "input_forget", "activations", "clip"))):
        said = "has sequence_lens, peepholes, layout 1, input_forget, activations or a clip"
        raise NotSupportedError(said)
    weight, recurrent = call.needed(1, "W"), call.needed(2, "R")
    hidden = call.get("hidden_size")
    bias = call.constant(3, "B")
    bias = np.zeros((len(weight), 8 * hidden), weight.dtype) if bias is None else bias
    ways = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}[direction]
    lanes = [
        _lane(call, at, backwards, (weight[at], recurrent[at], bias[at]), hidden)
        for at, backwards in enumerate(ways)
    ]
    states = [
        call.layer("Reshape", value, part=f"row{at}_{t}", shape=(1, 1, samples, hidden))
        for t in range(steps)
        for at, value in ((at, lane[0][t]) for at, lane in enumerate(lanes))
    ]
    shape = (steps, len(ways), samples, hidden)
    y = call.layer("Reshape", joined(call, states, 0, "rows"), part="states", shape=shape)
    if call.outputs == 1:
        return (y,)
    last_state = _by_direction(call, [state for _, state, _ in lanes], "h")
    last_cell = _by_direction(call, [cell for _, _, cell in lanes], "c")
    return (y, last_state, last_cell)[: call.outputs]


def _by_direction(call: Call, values: Sequence[Value], name: str) -> Value:
    """Return values of each direction on a new first axis."""
    rows = [
        call.layer("Reshape", value, part=f"{name}{at}", shape=(1, *value.shape))
        for at, value in enumerate(values)
    ]
    return joined(call, rows, 0, f"last_{name}") if rows[1:] else rows[0]


def _lane(
    call: Call, lane: int, backwards: bool, weights: tuple[Array, Array, Array], hidden: int
) -> tuple[list[Value], Value, Value]:
    """Return the states of one direction in the order of time, the last state and the last cell."""
    x, (weight, recurrent, bias) = call.value(0), weights
    steps, samples, _ = x.shape
    both = bias[: 4 * hidden] + bias[4 * hidden :]
    given = call.layer(
        "Linear",
        x,
        part=f"input{lane}",
        params={"weight": weight, "bias": both},
        out_features=4 * hidden,
    )
    state, cell = (_initial(call, at, lane, name) for at, name in ((5, "h"), (6, "c")))
    states: dict[int, Value] = {}
    first = ""  # the layer that has the recurrent matrix
    for t in range(steps)[:: -1 if backwards else 1]:
        name = f"s{lane}_{t}"
        row = part(call, given, 0, t, t + 1, f"{name}_slice")
        gates = call.layer("Reshape", row, part=f"{name}_x", shape=(samples, 4 * hidden))
        if state is not None:
            moved = call.layer(
                "Linear",
                state,
                part=f"{name}_r",
                params={"weight": recurrent},
                shares=first,
                out_features=4 * hidden,
                bias=False,
            )
            first = first or moved.name
            gates = call.layer("Add", gates, moved, part=f"{name}_sum")
        i, o, f, c = (
            applied(
                call,
                part(call, gates, 1, at * hidden, (at + 1) * hidden, f"{name}_{gate}_in"),
                "tanh" if gate == "c" else "sigmoid",
                f"{name}_{gate}",
            )
            for at, gate in enumerate(GATES)
        )
        new = call.layer("Multiply", i, c, part=f"{name}_new")
        if cell is not None:
            kept = call.layer("Multiply", f, cell, part=f"{name}_kept")
            new = call.layer("Add", new, kept, part=f"{name}_cell")
        cell = new
        state = call.layer("Multiply", o, applied(call, cell, "tanh", f"{name}_out"), part=f"{name}_h")
        states[t] = state
    assert state is not None  # there is a step at least
    assert cell is not None
    return [states[t] for t in range(steps)], state, cell


def _initial(call: Call, at: int, lane: int, name: str) -> Value | None:
    """Return a first state of a direction; None if it is zero."""
    given = call.inputs[at] if at < len(call.inputs) else None
    if isinstance(given, Value):
        row = part(call, given, 0, lane, lane + 1, f"first_{name}{lane}")
        return call.layer("Reshape", row, part=f"start_{name}{lane}", shape=given.shape[1:])
    if given is not None and given.any():
        raise NotSupportedError("begins with constants that are not zero")
    return None
