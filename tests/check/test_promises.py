"""What a generated module promises: broken promises are seen, kept ones pass."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from symconv import Conv, MaxPool, SoftmaxCrossEntropy, check, generate
from symconv.check.report import Report
from symconv.unit import Unit
from tests.layers import test_network

LAYER = Conv((2, 1, 5, 5), 2, 3)
CHECKED = '    weight = _checked("weight", weight, (2, 1, 3, 3))\n'


def report_of(unit: Unit, *changes: tuple[str, str]) -> Report:
    """Check a unit whose text was changed; every change applies."""
    source = unit.source
    for old, new in changes:
        assert old in source, old
        source = source.replace(old, new)
    return check(dataclasses.replace(unit, source=source))


def broken(report: Report) -> list[str]:
    return [result.name for result in report.results if not result.passed]


@pytest.mark.every
@pytest.mark.parametrize(
    ("promise", "change"),
    [
        (
            "fresh results",
            ("        return np.empty(shape, DTYPE)\n", "        return _scratch(str(shape), shape)\n"),
        ),
        ("inputs unchanged", (CHECKED, f"{CHECKED}    weight[0, 0, 0, 0] += 1\n")),
        ("out=", ("    if out is None:\n", "    if True:\n")),
        ("out=", ("    if any(np.shares_memory(out, array) for array in inputs):", "    if False:")),
        (
            "strides, byte order, read-only",
            ('    if array.dtype.newbyteorder("=") != DTYPE:', "    if array.dtype != DTYPE:"),
        ),
        (
            "strides, byte order, read-only",
            (
                "    return array.astype(DTYPE, copy=False)\n",
                "    return array.astype(DTYPE) * (1 if array.flags.c_contiguous else 1.001)\n",
            ),
        ),
        (
            "other shapes and dtypes refused",
            (
                '        raise ValueError(f"{name}: expected shape {shape}, received {array.shape}")',
                '        raise ValueError("bad")',
            ),
        ),
        (
            "other shapes and dtypes refused",
            ('    if array.dtype.newbyteorder("=") != DTYPE:', "    if False:"),
        ),
        ("threads", ("\n_LOCAL = threading.local()\n", "\n_LOCAL = type('Shared', (), {})()\n")),
        ("release()", ("    global _LOCAL\n", "    raise RuntimeError\n")),
        ("release()", ("    _LOCAL = threading.local()\n", "    return\n")),
        ("out=", ("(out, (2, 2, 3, 3), x, weight, bias)", "(out, (2, 2, 3, 3), x)")),
        ("out=", ("x, weight, bias, gx, gw)", "x, weight, bias)")),
    ],
)  # fmt: skip
def test_a_broken_promise_is_seen(promise: str, change: tuple[str, str]) -> None:
    layer = Conv((4, 8, 20, 20), 8, 3) if promise == "threads" else LAYER
    report = report_of(generate(layer, "module"), change)
    assert not report
    assert promise in broken(report), report


def test_kept_promises_pass() -> None:
    for layer in (LAYER, MaxPool((1, 2, 6, 6), 2), SoftmaxCrossEntropy((4, 3)), test_network.LENET):
        report = check(generate(layer, "module", order=2))
        assert report, report
        assert {r.name for r in report.results if r.method == "contract"} >= {"threads", "release()"}


def test_a_file_of_another_version_is_checked_by_what_it_says() -> None:
    """A module whose functions take arrays in another order than today's planner has them."""
    unit = generate(LAYER, "module")
    old = "def input_gradient(grad_output: Array, weight: Array, *"
    new = "def input_gradient(weight: Array, grad_output: Array, *"
    call = "input_gradient(grad_output, weight, out=gx)"
    assert report_of(unit, (old, new), (call, "input_gradient(weight, grad_output, out=gx)"))


def test_a_written_file_passes(tmp_path: Path) -> None:
    assert check(generate(LAYER, "module").write(tmp_path))
