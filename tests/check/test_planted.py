"""Wrong rules planted in right functions, for every kind of layer that they fit: none passes."""

from __future__ import annotations

import numpy as np
import pytest

from symconv import check
from symconv.layers import Layer
from symconv.layers.random_labels import labels_of
from tests.check.wrong_rules import LAYERS, RULES, Forward, Rule, module_of
from tests.effort import FULL, some


def harmless(layer: Layer, name: str, function: Forward) -> bool:
    """Whether a planted rule gives what the right function gives, at numbers of any size."""
    m = module_of(layer)
    rng = np.random.default_rng(2)
    for scale in (1e-3, 0.3, 3.0, 3e3):
        given = [
            labels_of(layer, n, rng)
            if n in layer.classes
            else np.abs(scale * rng.standard_normal(shape)).astype(layer.dtype)
            if n == "running_var"
            else (scale * rng.standard_normal(shape)).astype(layer.dtype)
            for n, shape in layer.inputs.items()
        ]
        g = np.asarray(1e3 * rng.standard_normal(layer.output_shape), layer.dtype)
        given = [g, *given] if name == "backward" else given
        right, wrong = getattr(m, name)(*given), function(*given)
        rights, wrongs = (
            found if isinstance(found, tuple | list) else [found] for found in (right, wrong)
        )
        if len(rights) != len(wrongs) or any(
            np.asarray(b).dtype != a.dtype
            or a.shape != np.shape(b)
            or not np.allclose(a, b, rtol=1e-5, atol=2e-6 * float(np.abs(a).max(initial=0)) + 1e-9)
            for a, b in zip(rights, wrongs, strict=True)
        ):
            return False
    return True


def wrong_functions(rule: Rule, layer: Layer) -> dict[str, Forward]:
    """Return the functions that a rule makes wrong."""
    functions = rule.plant(layer) or (None, None)
    return {
        name: function
        for name, function in zip(("forward", "backward"), functions, strict=True)
        if function and (rule.rare or not harmless(layer, name, function))
    }


@pytest.mark.every
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("number", some(range(len(RULES)), 4), ids=lambda n: RULES[n].name)
def test_a_wrong_rule_does_not_pass(number: int) -> None:
    """In every kind of layer that it fits and both dtypes; in the short run in one, for some rules."""
    rule = RULES[number]
    kinds = list(LAYERS)[number % len(LAYERS) :] + list(LAYERS)[: number % len(LAYERS)]
    planted = 0
    for kind in kinds:
        for dtype in ("float32", "float64") if FULL else (("float32", "float64")[number % 2],):
            layer = LAYERS[kind](dtype=dtype)
            for name, function in wrong_functions(rule, layer).items():
                report = check(layer, **{name: function})
                assert not report, (kind, report)
                planted += 1
        if planted and not FULL:
            break
    assert planted, "the rule is wrong somewhere"
