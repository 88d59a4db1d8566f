"""Code that is wrong in its own dtype, or leaves memory unwritten, is seen in every function."""

from __future__ import annotations

from dataclasses import replace

import pytest

import symconv
from symconv import BatchNorm, Conv, LayerNorm, Softmax, SoftmaxCrossEntropy
from symconv.layers.layer import Layer
from symconv.layers.network import Network
from symconv.unit import Unit

CONV = {"name": "conv", "layer": "Conv", "inputs": ["x"], "out_channels": 2, "kernel_size": 3}
FLAT = [
    {"name": "flat", "layer": "Flatten", "inputs": ["conv"]},
    {"name": "loss", "layer": "SoftmaxCrossEntropy", "inputs": ["flat"]},
]


def _broken(unit: Unit, function: str, line: str) -> Unit:
    """Put a line before a function's return."""
    start = unit.source.index(f"def {function}(")
    at = unit.source.index("    return ", start)
    return replace(unit, source=f"{unit.source[:at]}    {line}\n{unit.source[at:]}")


@pytest.mark.parametrize(
    ("layer", "function", "line"),
    [
        (Conv((1, 2, 6, 6), 2, 3), "jvp", "ty += 9 * (ty.dtype == np.float32)"),
        (Conv((1, 2, 6, 6), 2, 3), "bias_gradient", "gb += 9 * (gb.dtype == np.float32)"),
        (Network([CONV], input_shape=(1, 2, 6, 6)), "backward", "gx += 9 * (gx.dtype == np.float32)"),
        (Network([CONV], input_shape=(1, 2, 6, 6)), "jvp", "ty += 9 * (ty.dtype == np.float32)"),
        (
            Network([CONV, *FLAT], input_shape=(1, 2, 6, 6)),
            "forward",
            "y += 9 * (y.dtype == np.float32)",
        ),
    ],
    ids=str,
)
def test_an_error_in_float32_alone_is_seen(layer: Layer, function: str, line: str) -> None:
    unit = symconv.generate(layer, "m", order=2)
    assert symconv.check(unit).passed
    report = symconv.check(_broken(unit, function, line))
    assert [r.name for r in report.results if not r.passed] == ["in float32"]


def test_a_gradient_that_computes_nothing_is_seen() -> None:
    unit = symconv.generate(BatchNorm((4, 3, 5)), "m")
    start = unit.source.index("def input_gradient(")
    end = unit.source.index("    return gx", start)
    body = [line for line in unit.source[start:end].splitlines(True) if "[...] = " not in line]
    broken = unit.source[:start] + "".join(body) + unit.source[end:]
    assert broken != unit.source
    assert not symconv.check(replace(unit, source=broken)).passed


def test_a_gradient_left_out_of_backward_is_seen() -> None:
    unit = symconv.generate(Conv((1, 16, 40, 40), 4, 3), "m")
    broken = unit.source.replace("    bias_gradient(grad_output, out=gb)\n", "")
    assert broken != unit.source
    report = symconv.check(replace(unit, source=broken))
    assert "backward" in [r.name for r in report.results if not r.passed]


def test_a_wrong_step_is_seen_without_a_loss() -> None:
    unit = symconv.generate(Network([CONV], input_shape=(1, 2, 6, 6)), "m")
    broken = unit.source.replace("state[name] = v", "state[name] = 2 * v")
    report = symconv.check(replace(unit, source=broken))
    assert [r.name for r in report.results if not r.passed] == ["sgd_step"]


@pytest.mark.parametrize(
    "layer",
    [
        BatchNorm((2, 1)),
        BatchNorm((1, 8, 2)),
        LayerNorm((3, 2), normalized_shape=(2,)),
        LayerNorm((2, 3, 2), normalized_shape=(2,), eps=1e-3),
        Softmax((2, 1, 6)),
        Softmax((3, 1), axis=1),
        SoftmaxCrossEntropy((3, 1)),
    ],
    ids=str,
)
def test_what_cancels_is_no_error(layer: Layer) -> None:
    assert symconv.check(symconv.generate(layer, "m", order=2)).passed
