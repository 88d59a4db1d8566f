"""An activation's curve and its derivative, sampled from the layer's own graphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from symconv.layers.activation import Activation
from symconv.notation.arrays import evaluate_arrays

REACH = 4.0  # the curve is drawn from -4 to 4
SAMPLES = 161
SIDE = 60  # units of an SVG for 1


@dataclass(frozen=True)
class Curve:
    """Samples of a function and of its derivative; numbers that are not finite are None."""

    x: tuple[float, ...]
    values: tuple[float | None, ...]
    slopes: tuple[float | None, ...]

    @property
    def top(self) -> float:
        """The largest number that is drawn."""
        return min(REACH, max([1.0, *(v for v in (*self.values, *self.slopes) if v is not None)]))

    @property
    def bottom(self) -> float:
        """The smallest number that is drawn."""
        return max(-REACH, min([0.0, *(v for v in (*self.values, *self.slopes) if v is not None)]))

    def path(self, of: Sequence[float | None]) -> str:
        """Return a polyline in an SVG, broken where there is no number or it is out of sight."""
        parts, drawing = [], False
        for x, y in zip(self.x, of, strict=True):
            seen = y is not None and self.bottom - 0.5 <= y <= self.top + 0.5
            if seen and y is not None:
                parts.append(f"{'L' if drawing else 'M'}{x * SIDE:.1f} {-y * SIDE:.1f}")
            drawing = seen
        return " ".join(parts)

    @property
    def value_path(self) -> str:
        """The function's polyline."""
        return self.path(self.values)

    @property
    def slope_path(self) -> str:
        """The derivative's polyline."""
        return self.path(self.slopes)

    @property
    def view_box(self) -> str:
        """What an SVG shows."""
        left, above = -REACH * SIDE, -(self.top + 0.5) * SIDE
        height = (self.top - self.bottom + 1) * SIDE
        return f"{left:g} {above:g} {2 * REACH * SIDE:g} {height:g}"

    @property
    def marks(self) -> list[tuple[int, int, str]]:
        """Where whole numbers are on the horizontal axis, and what is written there."""
        return [(at * SIDE, 16, str(at).replace("-", "−")) for at in range(-3, 4) if at]


def curve_of(layer: Activation) -> Curve:
    """Return the samples of an activation."""
    x = np.linspace(-REACH, REACH, SAMPLES).round(6)
    alone = replace(layer, input_shape=(1, SAMPLES), dtype="float64")
    given = {alone.tensors["x"].name: x[None], alone.cotangent.name: np.ones((1, SAMPLES))}
    values = evaluate_arrays(alone.forward, given)[0]
    slopes = evaluate_arrays(alone.backward_by("x"), given)[0]
    return Curve(tuple(x.tolist()), _finite(values.tolist()), _finite(slopes.tolist()))


def _finite(numbers: Sequence[float]) -> tuple[float | None, ...]:
    return tuple(round(n, 6) if np.isfinite(n) else None for n in numbers)
