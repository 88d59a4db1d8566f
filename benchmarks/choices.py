"""Is the cost model right? Time every algorithm for random convolutions, compare with its choice.

    python benchmarks/choices.py [SEED]

Prints each choice that took more than 1.25 times the fastest algorithm it could have chosen, rows in
other bands included, and how many did not.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from symconv import Conv, SymconvError, tune
from symconv.lower.tuning import label
from symconv.targets.numpy.plan import plan_layer

COUNT = 30
SIZES = {1: (200, 1000, 5000), 2: (10, 20, 33, 50, 64, 100), 3: (8, 12, 16)}


def layers(seed: int) -> Iterator[Conv]:
    """Draw convolutions of one to three axes, some of them depthwise, strided or dilated."""
    rng = np.random.default_rng(seed)
    found = 0
    while found < COUNT:
        rank = int(rng.choice([1, 2, 2, 2, 2, 3]))
        channels, filters = (
            int(rng.choice([1, 2, 3, 8, 16, 32, 48, 96])),
            int(rng.choice([1, 4, 10, 32, 80])),
        )
        depthwise = rng.random() < 0.2
        kernel = int(rng.choice([1, 2, 3, 3, 5, 7]))
        try:
            layer = Conv(
                (int(rng.choice([1, 2, 8, 16])), channels, *[int(rng.choice(SIZES[rank]))] * rank),
                channels if depthwise else filters,
                kernel,
                stride=int(rng.choice([1, 1, 1, 2, 3])),
                padding=int(rng.integers(0, kernel // 2 + 1)),
                dilation=int(rng.choice([1, 1, 1, 2])),
                groups=channels if depthwise else 1,
                bias=False,
            )
        except SymconvError:  # no window fits
            continue
        found += 1
        yield layer


def main(seed: int) -> None:
    """Print what was chosen badly, and how often that is not so."""
    ratios = []
    for layer in layers(seed):
        measured = tune(layer, seconds=0.35).functions
        for function in plan_layer(layer).functions:
            for choice, times in zip(function.choices, measured.get(function.name, ()), strict=True):
                own = label(choice[0].algorithm)
                best = min(times, key=lambda name: times[name])
                ratios.append(times[own] / times[best])
                if ratios[-1] > 1.25:
                    print(f"{layer}\n    {function.name}: {own} takes {ratios[-1]:.2f} times {best}")
    good = sum(ratio <= 1.25 for ratio in ratios)
    print(f"{good} of {len(ratios)} choices within 1.25 of the fastest, the worst {max(ratios):.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
