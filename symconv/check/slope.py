"""Taylor's remainder along a line: its slope says whether a gradient is right."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

from symconv.check.report import Result

STEPS = [2.0**-k for k in range(5, 33)]
NOTHING = [2.0**-k for k in range(44, 50)]  # steps whose remainder is rounding
ROUNDING = 1e-15  # of an energy, relative, at least
NEAR = 2.0**-24  # a step below which a piecewise linear energy has no kink, most likely
SLOPE = 0.05  # that the remainder may fall slower or faster than h²


def falls(name: str, energy: Callable[[float], float], slope: float) -> Result:
    """Check that what is left of an energy along a line, less its start and slope, falls as h².

    At the smallest steps whose remainder is seen, where few kinks are crossed, if there are any.
    """
    start = energy(0.0)
    energies, nearby = ([energy(h) for h in steps] for steps in (STEPS, NOTHING))
    errors = [abs(e - start - h * slope) for e, h in zip(energies, STEPS, strict=True)]
    noise = [abs(e - start - h * slope) for e, h in zip(nearby, NOTHING, strict=True)]
    if not all(map(math.isfinite, errors)):
        return Result(name, "numeric", False, "is not finite")
    least = 100 * max(ROUNDING * max(1.0, *map(abs, energies)), *noise)
    rates = [math.log2(a / b) for a, b in itertools.pairwise(errors) if b > least]
    # a step may cross a kink, where the remainder is not that of a smooth function; a wrong slope's
    # falls as h at all of these
    rate = min(rates[-3:], key=lambda rate: abs(rate - 2), default=math.inf)
    text = f"the remainder falls as h^{rate:.3f}, must be h^2"
    if abs(rate - 2) <= SLOPE:
        return Result(name, "numeric", True, text)
    if all(error <= least for error, h in zip(errors, STEPS, strict=True) if h <= NEAR):
        return Result(name, "numeric", True, f"no remainder: a line, {NEAR:.0e} to each side")
    return Result(name, "numeric", False, text)
