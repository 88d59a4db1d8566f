"""Each stage of a plan as a block of code: its numbers become holes, its template becomes text."""

from __future__ import annotations

from collections.abc import Sequence

from symconv.plan.algorithms import (
    Algorithm,
    Apply,
    Choose,
    Columns,
    Contract,
    Epilogue,
    Extend,
    FoldBack,
    Fourier,
    Fused,
    Given,
    Intermediate,
    Move,
    Phases,
    Pointwise,
    Product,
    Rows,
    Scatter,
    Shift,
    Stage,
    Table,
    View,
    WindowMaximum,
    WindowPick,
    WindowSelect,
    WindowSpread,
    WindowSum,
    Winograd,
    Zero,
)
from symconv.render.contract import choose, contract
from symconv.render.environment import fill
from symconv.render.expressions import apply
from symconv.render.fourier import fourier
from symconv.render.literal import literal
from symconv.render.moves import move, product, view
from symconv.render.pools import pool, pool_constants
from symconv.render.syntax import progression, shape
from symconv.render.windows import columns, pointwise, rows, shift, table, table_constants
from symconv.render.winograd import winograd, winograd_constants
from symconv.render.writes import phase_constants, phases, scatter


def render_stage(stage: Stage, function: str, results: Sequence[str]) -> str:
    """Return the code of one stage of a function, which returns ``results``."""
    match stage:
        case Fused(algorithm=algorithm, epilogue=epilogue):
            return _algorithm(algorithm, function, epilogue)
        case (
            Table()
            | Pointwise()
            | Columns()
            | Rows()
            | Shift()
            | Phases()
            | Scatter()
            | Winograd()
            | Fourier()
        ):
            return _algorithm(stage, function, Epilogue())
        case Intermediate(name=name, shape=sizes):
            return f'{name} = _scratch("{name}", {shape(sizes)})\n'
        case Given(name=name, place=place):
            entry = "".join(f"[{literal(key)}]" for key in (*place, name))
            return f'{name} = np.array(LAYER{entry}, LAYER["dtype"]).astype(DTYPE)\n'
        case Extend():
            return _extend(stage)
        case FoldBack():
            return _fold_back(stage)
        case Move():
            return move(stage)
        case View():
            return view(stage, result=stage.target in results)
        case Zero(target=target):
            return f"{target}[...] = 0\n"
        case Apply():
            return apply(stage)
        case Product():
            return product(stage)
        case WindowSum() | WindowSpread() | WindowMaximum() | WindowSelect() | WindowPick():
            return pool(stage)
        case Contract():
            return contract(stage)
        case Choose():
            return choose(stage)


def _algorithm(algorithm: Algorithm, function: str, epilogue: Epilogue) -> str:
    """Return the code of a correlation; each block of its result ends with the epilogue."""
    match algorithm:
        case Table():
            return table(algorithm, function, epilogue)
        case Pointwise():
            return pointwise(algorithm, epilogue)
        case Columns():
            return columns(algorithm, function, epilogue)
        case Rows():
            return rows(algorithm, function, epilogue)
        case Shift():
            return shift(algorithm, function, epilogue)
        case Phases():
            return phases(algorithm, function, epilogue)
        case Scatter():
            return scatter(algorithm, epilogue)
        case Winograd():
            return winograd(algorithm, function, epilogue)
        case Fourier():
            return fourier(algorithm, function, epilogue)


def render_constants(stage: Stage) -> str:
    """Return the constants that a stage reads: its table of cells, or of phases; most have none."""
    match stage:
        case Fused(algorithm=algorithm):
            return render_constants(algorithm)
        case Table():
            return table_constants(stage)
        case Phases():
            return phase_constants(stage)
        case Winograd():
            return winograd_constants(stage)
        case WindowSum() | WindowSpread() | WindowMaximum() | WindowSelect() | WindowPick():
            return pool_constants(stage)
        case _:
            return ""


def _extend(stage: Extend) -> str:
    rank = len(stage.axes)
    copies = []
    for axis, (interior, *around) in enumerate(stage.axes):
        for piece in around:
            target, source = (
                _around(axis, rank, piece.start, 1, piece.count),
                _around(axis, rank, interior.start + piece.source, piece.step, piece.count),
            )
            copies.append((target, source))
    return fill(
        "numpy/extend.py.j2",
        stage=stage,
        interior=_interior(stage),
        copies=copies,
    )


def _fold_back(stage: FoldBack) -> str:
    rank = len(stage.axes)
    additions = []
    for axis in reversed(range(rank)):
        interior, *around = stage.axes[axis]
        for piece in around:
            source = f"{stage.source}[{_around(axis, rank, piece.start, 1, piece.count)}]"
            if piece.step == 0:
                source += f".sum(axis={axis}, keepdims=True)"
            target = _around(axis, rank, interior.start + piece.source, piece.step, piece.count)
            additions.append((target, source))
    return fill("numpy/fold_back.py.j2", stage=stage, additions=additions, interior=_interior(stage))


def _interior(stage: Extend | FoldBack) -> str:
    slices = [
        progression(axis[0].start, 1, axis[0].count, size)
        for axis, size in zip(stage.axes, stage.shape, strict=True)
    ]
    return ", ".join(slices)


def _around(axis: int, rank: int, start: int, step: int, count: int) -> str:
    whole = [":"] * rank
    whole[axis] = f"{start} : {start + 1}" if step == 0 else progression(start, step, count, -1)
    return ", ".join(whole)
