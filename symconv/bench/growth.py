"""How times grow: families of convolutions that differ in one size."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from symconv.bench.benchmark import svg, table
from symconv.bench.row import OURS, SWEEPS, Row, measure
from symconv.bench.timing import one_core
from symconv.bench.tune import Load
from symconv.layers.conv import Conv
from symconv.targets.numpy.plan import plan_layer

AGAINST = ("PyTorch", "ONNX Runtime", "JAX")  # the others take minutes, or all of the memory
FAMILIES: dict[str, dict[int, Conv]] = {
    "batch": {
        n: Conv((n, 16, 32, 32), 16, 3, padding=1, bias=False) for n in (1, 2, 4, 8, 16, 32, 64, 128)
    },
    "channels": {
        c: Conv((4, c, 28, 28), c, 3, padding=1, bias=False) for c in (4, 8, 16, 32, 64, 128, 256)
    },
    "image side": {
        side: Conv((1, 1, side, side), 1, 3, padding=1, bias=False)
        for side in (64, 128, 256, 512, 1024, 2048, 4096, 8192)
    },
    "filter side": {
        k: Conv((1, 8, 64, 64), 8, k, padding=k // 2, bias=False) for k in (1, 3, 5, 7, 9, 11, 15)
    },
}


@dataclasses.dataclass(frozen=True)
class Growth:
    """For each family the rows by the size that differs."""

    families: dict[str, dict[int, Row]]

    def as_dict(self) -> dict[str, object]:
        """Return plain data."""
        return dataclasses.asdict(self)

    def text(self) -> str:
        """Return a table for each family: microseconds, and ours for a million operations."""
        return "\n\n".join(_family(family, rows) for family, rows in self.families.items())

    def chart(self, version: str) -> str:
        """Return an SVG: time against the size, on logarithmic scales, a plot for each family and sweep.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(14, 6), layout="constrained")
        plots = figure.subplots(len(SWEEPS), len(self.families), squeeze=False)
        for across, (family, rows) in enumerate(self.families.items()):
            for down, sweep in enumerate(SWEEPS):
                axes = plots[down][across]
                for name in (OURS, *AGAINST):
                    axes.loglog(
                        list(rows), [_micro(row, sweep, name) for row in rows.values()], ".-", label=name
                    )
                axes.set_title(f"{sweep}, µs, by {family}")
        plots[0][0].legend()
        return svg(figure, version)


def time_families(seconds: float, load: Load, advance: Callable[[], None]) -> Growth:
    """Time every family, each layer and sweep for so many seconds; ``advance`` is called after each."""
    found: dict[str, dict[int, Row]] = {}
    with one_core():
        for family, layers in FAMILIES.items():
            found[family] = {}
            for size, layer in layers.items():
                module = load(plan_layer(layer))
                row = measure(f"{family} {size}", layer, {OURS: module}, seconds, AGAINST)
                module.release()
                found[family][size] = row
                advance()
    return Growth(found)


def _family(family: str, rows: dict[int, Row]) -> str:
    head = [family]
    for sweep in SWEEPS:
        head += [f"{sweep}, µs: {OURS}", *AGAINST, f"{OURS}, µs for 10⁶ operations"]
    lines = []
    for size, row in rows.items():
        line = [str(size)]
        for sweep in SWEEPS:
            times = [_micro(row, sweep, name) for name in (OURS, *AGAINST)]
            each = times[0] * 1e6 / row.flops[sweep]
            line += [
                *("-" if math.isnan(t) else f"{t:,.0f}".replace(",", " ") for t in times),
                f"{each:.1f}",
            ]
        lines.append(line)
    return table(head, lines)


def _micro(row: Row, sweep: str, name: str) -> float:
    run = row.runs[sweep].get(name)
    return run.time.median * 1e6 if run else math.nan
