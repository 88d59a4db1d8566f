"""Taylor's remainder along a line: its slope says whether a gradient is right."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

from symconv.check.report import Result

STEPS = [2.0**-k for k in range(5, 33)]
NOTHING = [2.0**-k for k in range(44, 50)]  # steps whose remainder is rounding
ROUNDING = 1e-15  # of an energy, relative, at least
SLOPE = 0.05  # that the remainder may fall slower or faster than h²


def falls(name: str, energy: Callable[[float], float], slope: float) -> Result:
    """Check that what is left of an energy along a line, less its start and slope, falls as h².

    At the smallest steps whose remainder is seen: there a wrong slope's falls as h, and few kinks, if
    there are any, are crossed.
    """
    start = energy(0.0)
    energies, nearby = ([energy(h) for h in steps] for steps in (STEPS, NOTHING))
    errors = [abs(e - start - h * slope) for e, h in zip(energies, STEPS, strict=True)]
    noise = [abs(e - start - h * slope) for e, h in zip(nearby, NOTHING, strict=True)]
    if not all(map(math.isfinite, errors)):
        return Result(name, "numeric", False, "is not finite")
    least = 100 * max(ROUNDING * max(1.0, *map(abs, energies)), *noise)
    rates = [math.log2(a / b) for a, b in itertools.pairwise(errors) if b > least]
    if not rates:
        return Result(name, "numeric", max(errors) <= least, "no remainder: a line")
    rate = min(rates[-3:], key=lambda rate: abs(rate - 2))  # a step may cross a kink
    return Result(
        name, "numeric", abs(rate - 2) <= SLOPE, f"the remainder falls as h^{rate:.3f}, must be h^2"
    )
