"""Tables of theorems: theorem × generality × evidence, and theorem × engine × time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

from symconv.layers import (
    Activation,
    Add,
    BatchNorm,
    BinaryCrossEntropyWithLogits,
    Concat,
    Contraction,
    Dropout,
    Filter,
    Flatten,
    GroupNorm,
    InstanceNorm,
    Layer,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    MatMul,
    MeanSquaredError,
    Multiply,
    Network,
    Pad,
    PixelShuffle,
    PReLU,
    ReduceMax,
    ReduceMean,
    ReduceSum,
    Reshape,
    Slice,
    Softmax,
    SoftmaxCrossEntropy,
    Transpose,
    Upsample,
)
from symconv.layers.activations import NAMED
from symconv.prove import checker, t8_cook_toom
from symconv.prove.catalogue import CATALOGUE, RANKS, Entry
from symconv.prove.certificate import Data
from symconv.prove.engines import ENGINES
from symconv.prove.instances import Proved, proved
from symconv.prove.layer_theorems import prove_layer
from symconv.prove.theorems import MEANINGS, STATUSES


@dataclass(frozen=True)
class Family:
    """Layers that are proved each on its own: what is shown, for which sizes, and examples to run."""

    says: str
    scope: str
    layers: tuple[Layer, ...]

    @property
    def evidence(self) -> str:
        """Prove the examples, and count what was found."""
        proofs = [prove_layer(layer) for layer in self.layers]
        statuses = Counter(theorem.status for proof in proofs for theorem in proof.theorems)
        found = ", ".join(f"{statuses[s]} {MEANINGS[s]}" for s in STATUSES if statuses[s])
        layers = "1 layer" if len(proofs) == 1 else f"{len(proofs)} layers"
        total = sum(statuses.values())
        return f"{layers}, {total} theorem{'s' * (total != 1)}: {found}"


FAMILIES = (
    Family(
        "products, moves, sums and means: the gradients are adjoints, T4",
        "the layer's sizes",
        (
            Linear((2, 3), 4),
            Flatten((2, 3, 4)),
            Reshape((2, 6), (3, 4)),
            Add(((2, 3), (2, 3))),
            Concat(((2, 3), (2, 1))),
            Multiply(((2, 3), (3,))),
            MatMul(((2, 3), (3, 4))),
            Transpose((2, 3, 4), (0, 2, 1)),
            Slice((2, 6), (0, 1), (2, 6), steps=(1, 2)),
            PixelShuffle((1, 4, 2, 2), 2),
            Pad((2, 3), ((0, 0), (1, 2)), "reflect"),
            Upsample((1, 2, 3, 3), scale_factor=2, mode="bilinear"),
            Dropout((2, 3), 0.25),
            ReduceSum((2, 3, 4), 1),
            ReduceMean((2, 3, 4), (0, 2)),
            ReduceMax((2, 3, 4), 1),
        ),
    ),
    Family(
        "Softmax, losses, normalisations: what is computed is the definition, and the chain rule",
        "the layer's sizes, all numbers",
        (
            Softmax((2, 3)),
            SoftmaxCrossEntropy((2, 3)),
            SoftmaxCrossEntropy((2, 3), weight=(1.0, 2.0, 0.5), label_smoothing=0.1),
            MeanSquaredError((2, 3)),
            BatchNorm((2, 3, 4)),
            BatchNorm((2, 3, 4), training=False),
            LayerNorm((2, 3)),
            GroupNorm((2, 4, 3), 2),
            InstanceNorm((2, 3, 4)),
            LocalResponseNorm((2, 4, 3), 3),
            PReLU((2, 3)),
            BinaryCrossEntropyWithLogits((2, 3)),
        ),
    ),
    Family(
        "index notation: the gradients are adjoints, T4, by the product rule where a tensor is read "
        "twice; a formula that is a convolution has its theorems",
        "the formula's sizes",
        (
            Contraction("O[n,i,j] = A[n,i,c] * B[n,j,c]", (("A", (2, 3, 4)), ("B", (2, 5, 4)))),
            Contraction("O[n,i,j] = X[n,i,c] * X[n,j,c]", (("X", (2, 3, 4)),)),
            Contraction("O[n,o,x] = X[n,c,x+i] * F[o,c,i]", (("X", (1, 2, 9)), ("F", (3, 2, 3)))),
        ),
    ),
    Family(
        "filters of known coefficients, R2: passes along the axes compute the sum",
        "the filter's coefficients, every image",
        (Filter((1, 1, 6, 6), (((((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))),),), padding=1),),
    ),
    Family(
        "activations: f′ by the rules of calculus, and what is computed for f, f′ and f″",
        "all numbers",
        (*(Activation((2,), name) for name in NAMED), Activation((2,), "x*min(max(x+3,0),6)/6")),
    ),
    Family(
        "networks: the layers' gradients in reverse are the gradients of the whole",
        "the network's sizes",
        (
            Network(
                (
                    {"layer": "Conv", "out_channels": 2, "kernel_size": 3, "padding": 1},
                    {"layer": "Activation", "function": "relu"},
                    {"layer": "Flatten"},
                    {"layer": "Linear", "out_features": 3},
                    {"layer": "SoftmaxCrossEntropy"},
                ),
                (2, 1, 4, 4),
            ),
        ),
    ),
)


@dataclass(frozen=True)
class Row:
    """A theorem for every size: what it says, for what, and its certificates for 1, 2 and 3 axes."""

    name: str
    says: str
    scope: str
    certificates: tuple[Data, ...]
    failures: tuple[str, ...]


def survey(advance: Callable[[], None] = lambda: None) -> list[Row]:
    """Prove every theorem of the catalogue, all variants, for one, two and three axes."""
    rows = []
    for entry in CATALOGUE:
        found = [proved(make, *arguments) for make, arguments in entry.every_variant]
        certificates = tuple(p.certificate for p in found if p.certificate is not None)
        failures = tuple(p.reason for p in found if p.certificate is None)
        rows.append(Row(entry.name, entry.says, entry.scope, certificates, failures))
        advance()
    return rows


def table(rows: list[Row]) -> str:
    """Return theorem × generality × evidence as a table in Markdown."""
    lines = ["| what | for all sizes, and | evidence |", "|---|---|---|"]
    for row in rows:
        count = len(row.certificates)
        evidence = f"{count} certificates accepted (1, 2 and 3 axes)"
        if row.failures:
            evidence += f"; NOT PROVED: {len(row.failures)}, {row.failures[0]}"
        lines.append(f"| {row.name}: {row.says} | {row.scope} | {evidence} |")
    lines += ["| **what** | **only for** | **evidence** |"]
    families = [(family.says, family.scope, family.evidence) for family in FAMILIES]
    lines += [f"| {what} | {sizes} | {how} |" for what, sizes, how in (t8_cook_toom.row(), *families)]
    return "\n".join(lines)


@dataclass(frozen=True)
class Opinion:
    """What an engine says of a theorem for a number of axes, and how long it took.

    ``holds`` is True, False, or None: no answer; ``engine`` is ``"checker"``, ``"isl"`` or ``"z3"``.
    """

    theorem: str
    axes: int
    engine: str
    holds: bool | None
    seconds: float


def missing_engines() -> list[str]:
    """Return the packages of engines that are not installed."""
    return [package for package, _ in ENGINES.values() if find_spec(package) is None]


def opinions(entry: Entry) -> Iterator[Opinion]:
    """Ask the checker and every engine that is installed about a theorem's variants without flip.

    They hold if all do, and are false if one is.
    """
    installed = [name for name, (package, _) in ENGINES.items() if find_spec(package) is not None]
    for rank in RANKS:
        found = [proved(make, *arguments) for make, arguments in entry.variants(rank, (False,))]
        for engine in ("checker", *installed):
            start = time.perf_counter()
            answers = [_answer(engine, variant) for variant in found]
            holds = False if False in answers else None if None in answers else True
            yield Opinion(entry.name, rank, engine, holds, time.perf_counter() - start)


def _answer(engine: str, variant: Proved) -> bool | None:
    if engine != "checker":
        _, ask = ENGINES[engine]
        return ask(variant.equation)
    if variant.certificate is None:
        return None
    checker.check(variant.certificate)
    return True


def engines_table(given: list[Opinion]) -> str:
    """Return theorem × engine × time as a table; a disagreement is a line of its own."""
    engines = list(dict.fromkeys(opinion.engine for opinion in given))
    lines = ["theorem  axes" + "".join(f"{engine:>18}" for engine in engines)]
    words = {True: "holds", False: "FALSE", None: "no answer"}
    for theorem, axes in dict.fromkeys((opinion.theorem, opinion.axes) for opinion in given):
        cells = [
            f"{words[o.holds]} {o.seconds:8.3f} s"
            for o in given
            if (o.theorem, o.axes) == (theorem, axes)
        ]
        lines.append(f"{theorem:<8} {axes:>4}" + "".join(f"{cell:>18}" for cell in cells))
    totals = [sum(o.seconds for o in given if o.engine == engine) for engine in engines]
    lines.append("together     " + "".join(f"{total:>16.3f} s" for total in totals))
    loud = [
        f"DISAGREEMENT: {o.engine} refutes {o.theorem} for {o.axes} axes" for o in disagreements(given)
    ]
    return "\n".join([*lines, *loud])


def disagreements(given: list[Opinion]) -> list[Opinion]:
    """Return what an engine calls false."""
    return [opinion for opinion in given if opinion.holds is False]
