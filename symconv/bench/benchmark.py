"""A benchmark's rows as a table, as plain data, and as a chart."""

from __future__ import annotations

import dataclasses
import io
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from symconv.bench.peers import PEERS
from symconv.bench.row import BEST, FAST, FAST_IN_C, FASTEST, IN_C, OURS, SWEEPS, Limits, Row, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NONE = "-"


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """All rows, measured in one run, and the machine and the libraries that ran them."""

    rows: tuple[Row, ...]
    limits: Limits
    machine: str
    date: str
    versions: dict[str, str]
    absent: tuple[str, ...]

    def geometric_mean(
        self, sweep: str, peer: str, accuracy: str = OURS
    ) -> tuple[float, float, int] | None:
        """Return the mean and the largest of our times over a peer's, and for how many rows."""
        ratios = [r for row in self.rows if (r := row.ratio(sweep, peer, accuracy)) is not None]
        if not ratios:
            return None
        return math.exp(math.fsum(map(math.log, ratios)) / len(ratios)), max(ratios), len(ratios)

    def as_dict(self) -> dict[str, object]:
        """Return plain data."""
        return dataclasses.asdict(self)

    def text(self) -> str:
        """Return the tables: microseconds by row and library, then our time over theirs."""
        parts = [_times(self, sweep) for sweep in SWEEPS]
        parts.append(_ratios(self, OURS, "our time over theirs"))
        if any(FAST in runs for row in self.rows for runs in row.runs.values()):
            parts.append(_ratios(self, FAST, 'with accuracy="fast"'))
        if any(IN_C in runs for row in self.rows for runs in row.runs.values()):
            parts += [_times_in_c(self, sweep) for sweep in SWEEPS]
            parts.append(_ratios(self, IN_C, "in C"))
        if any(FAST_IN_C in runs for row in self.rows for runs in row.runs.values()):
            parts.append(_ratios(self, FAST_IN_C, 'in C with accuracy="fast"'))
        machine = f"{self.machine}, {self.date}; one thread each; " + ", ".join(
            f"{name} {version}" for name, version in self.versions.items()
        )
        limit = self.limits
        parts.append(
            f"{machine}. The core's sgemm does {limit.sgemm / 1e9:.0f} GF/s, its memcpy "
            f"{limit.copy_far / 1e9:.0f} GB/s from memory, {limit.copy_near / 1e9:.0f} GB/s from cache."
        )
        if self.absent:
            parts.append(f"Not installed: {', '.join(self.absent)}.")
        wrong = [f"{row.name}: {', '.join(row.wrong)}" for row in self.rows if row.wrong]
        if wrong:
            parts.append(f"Left out, since the results were wrong: {'; '.join(wrong)}.")
        return "\n\n".join(parts)

    def chart(self, version: str) -> str:
        """Return an SVG: a bar for each row, our time over PyTorch's, on a logarithmic scale.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 4), layout="constrained")
        axes = figure.subplots()
        names = [row.name for row in self.rows]
        for shift, sweep in ((-0.2, "forward"), (0.2, "backward")):
            ratios = [row.ratio(sweep, "PyTorch") or math.nan for row in self.rows]
            axes.bar([at + shift for at in range(len(names))], ratios, 0.4, label=sweep)
        axes.axhline(1, color="black", linewidth=0.8)
        axes.set_yscale("log", base=2)
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
        axes.set_ylabel("symconv's time / PyTorch's")
        axes.legend()
        return svg(figure, version)


def _times(found: Benchmark, sweep: str) -> str:
    names = _present(found, sweep, (OURS, FAST, *PEERS))
    fast = ["fast / PyTorch", "fast error", "fast kB"] if FAST in names else []
    head = [f"{sweep}, µs", *names, "/ PyTorch", "of sgemm", "error", "extra kB", *fast]
    rows = []
    for row in found.rows:
        own, other = row.ours(sweep), row.ours(sweep, FAST)
        ratio, fast_ratio = row.ratio(sweep, "PyTorch"), row.ratio(sweep, "PyTorch", FAST)
        rows.append(
            [
                row.name,
                *_each(row, sweep, names),
                _ratio(ratio),
                _share(found, row, sweep, own),
                _error(own),
                _kilobytes(own),
                *([_ratio(fast_ratio), _error(other), _kilobytes(other)] if fast else []),
            ]
        )
    return table(head, rows)


def _times_in_c(found: Benchmark, sweep: str) -> str:
    names = _present(found, sweep, (IN_C, FAST_IN_C, *FASTEST))
    fast = FAST_IN_C in names
    head = [f"{sweep} in C, µs", *names, "/ PyTorch", "/ the fastest"]
    head += ["fast / the fastest"] if fast else []
    head += ["of sgemm", "error", *(["fast error"] if fast else []), "PyTorch's error"]
    rows = []
    for row in found.rows:
        own, other = row.ours(sweep, IN_C), row.ours(sweep, FAST_IN_C)
        rows.append(
            [
                row.name,
                *_each(row, sweep, names),
                *(_ratio(row.ratio(sweep, peer, IN_C)) for peer in ("PyTorch", BEST)),
                *([_ratio(row.ratio(sweep, BEST, FAST_IN_C))] if fast else []),
                _share(found, row, sweep, own),
                _error(own),
                *([_error(other)] if fast else []),
                _error(row.runs[sweep].get("PyTorch")),
            ]
        )
    return table(head, rows)


def _present(found: Benchmark, sweep: str, names: Sequence[str]) -> list[str]:
    """Return the names that some row has a time of."""
    return [name for name in names if any(name in row.runs[sweep] for row in found.rows)]


def _each(row: Row, sweep: str, names: Sequence[str]) -> list[str]:
    runs = row.runs[sweep]
    return [_microseconds(runs[name].time.median) if name in runs else NONE for name in names]


def _share(found: Benchmark, row: Row, sweep: str, run: Run | None) -> str:
    """Return how fast a run is, as a share of one large matrix product."""
    if run is None:
        return NONE
    return f"{100 * row.flops[sweep] / run.time.median / found.limits.sgemm:.0f} %"


def _ratio(ratio: float | None) -> str:
    return NONE if ratio is None else f"{ratio:.2f}"


def _error(run: Run | None) -> str:
    return f"{run.error:.0e}" if run else NONE


def _kilobytes(run: Run | None) -> str:
    return NONE if run is None or run.memory is None else _grouped(run.memory / 1024)


def _ratios(found: Benchmark, accuracy: str, what: str) -> str:
    head = [
        what,
        *(f"{sweep} {of}" for sweep in SWEEPS for of in ("mean", "worst")),
    ]
    rows = []
    compiled = [peer for peer in PEERS if peer in FASTEST]
    others = [peer for peer in PEERS if peer not in FASTEST]
    for peer in (*compiled, BEST, *others):
        means = [found.geometric_mean(sweep, peer, accuracy) for sweep in SWEEPS]
        if any(means):
            numbers = (number for mean in means for number in (mean[:2] if mean else (None, None)))
            rows.append([peer, *map(_ratio, numbers)])
    return table(head, rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, numbers to the right."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' + '---:|' * (len(head) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _microseconds(seconds: float) -> str:
    micro = seconds * 1e6
    return f"{micro:.1f}" if micro < 10 else _grouped(micro)


def _grouped(number: float) -> str:
    return f"{number:,.0f}".replace(",", " ")


def document(found: dict[str, object], version: str) -> str:
    """Return plain data as JSON that says what wrote it."""
    body = json.dumps(found, ensure_ascii=False, indent=1).removeprefix("{\n")
    return f'{{"about": "Generated by symconv {version}",\n{body}\n'


def svg(figure: Figure, version: str) -> str:
    """Return a figure as an SVG that says what wrote it; the same text for the same figure."""
    import matplotlib as mpl

    image = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "symconv"}):
        figure.savefig(image, format="svg", metadata={"Date": None})
    drawn = image.getvalue()
    return f"<!-- Generated by symconv {version} -->\n{drawn[drawn.index('<svg') :]}"
