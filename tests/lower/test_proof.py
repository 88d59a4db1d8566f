"""Generating a small layer compares its kernels with its graph, and sees a wrong one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from symconv import Conv, generate
from symconv.errors import KernelError
from symconv.kernel.language import Call
from symconv.lower.proof import compare
from symconv.lower.rows import Rows
from symconv.lower.tuning import with_choice
from symconv.targets.numpy.plan import plan_layer

LAYER = Conv((2, 1, 4, 4), 1, 2, bias=False)


def test_every_candidate_is_what_its_graph_means() -> None:
    for function in plan_layer(LAYER).functions:
        for candidate in function.choices[0]:
            compare(with_choice(function, 0, [candidate]))


def test_a_kernel_that_leaves_out_a_row_is_seen() -> None:
    function = plan_layer(LAYER).forward
    rows = next(c for c in function.choices[0] if isinstance(c.algorithm, Rows))
    function = with_choice(function, 0, [rows])
    (call,) = function.kernel.body
    assert isinstance(call, Call)
    *others, _ = call.kernel.body  # the last row's products
    broken = replace(call, kernel=replace(call.kernel, body=tuple(others)))
    with pytest.raises(KernelError, match="is not what its graph means"):
        compare(replace(function, kernel=replace(function.kernel, body=(broken,))))


def test_generate_compares(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr("symconv.lower.proof.compare", lambda found, _: seen.append(found.name))
    generate(LAYER, "m")
    assert seen == ["forward", "input_gradient", "weight_gradient"]
