"""A machine's constants for the cost model, measured in a few seconds on one core."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from symconv.bench.timing import one_core, race
from symconv.targets.numpy.cost import Machine

Array = NDArray[np.float32]


def calibrate(seconds: float = 4.0) -> Machine:
    """Measure this machine.

    Parameters
    ----------
    seconds
        How long all measurements take together, roughly.

    Returns
    -------
    Machine
        Microseconds for the parts of a computation.
    """
    tasks = _tasks()
    with one_core():
        times = race({name: task for name, (task, _) in tasks.items()}, budget=seconds)
    each = {name: times[name].median * 1e6 / count for name, (_, count) in tasks.items()}
    call = each["call"]
    near = max(each["near"] - call / NEAR, 0) / 3
    far = max(near, each["far"] / 3)
    flop = each["flop"]
    return Machine(
        call=_rounded(call),
        near=_rounded(near),
        far=_rounded(far),
        run=_rounded(max(each["run"] - 2 * RUN * near, 0)),
        inner=_rounded(max(each["inner"] - 2 * PLANE * near, 0)),
        strided=_rounded(max(each["strided"] - 2 * near, near)),
        take=_rounded(each["take"]),
        flop=_rounded(flop),
        load=_rounded(
            max(each["thin"] - THIN * DEPTH * WIDTH * flop, 0)
            / ((THIN + WIDTH) * DEPTH + 2 * THIN * WIDTH)
        ),
        product=_rounded(each["product"]),
        vector=_rounded(each["vector"]),
        einsum=_rounded(each["einsum"]),
        fourier=_rounded(each["fourier"]),
    )


NEAR, FAR = 1 << 17, 1 << 22  # elements of arrays in the cache, and of others
RUNS, RUN = 4096, 14  # contiguous runs of a copy, and how long they are
PLANES, PLANE = 64, 672  # rows of an array that are multiplied by a number each
THIN, DEPTH, WIDTH = 8, 8, 1024  # rows, terms and columns of a narrow product


def _rounded(number: float) -> float:
    """Keep three significant digits."""
    return round(number, 2 - math.floor(math.log10(number))) if number > 0 else 0.0


def _tasks() -> dict[str, tuple[Callable[[], object], float]]:
    """Return what is timed, and by how much each time is divided."""
    rng = np.random.default_rng(0)

    def drawn(*sizes: int) -> Array:
        return rng.standard_normal(sizes, np.float32)

    tiny, small, large = np.zeros(4, np.float32), np.zeros(NEAR, np.float32), drawn(FAR)
    more, most = drawn(NEAR), drawn(FAR)
    wide, rows = drawn(RUNS, RUN + 2), np.empty((RUNS, RUN), np.float32)
    half, twice = np.empty(NEAR // 2, np.float32), drawn(NEAR)
    table = rng.permutation(NEAR)
    square, thin, flat = drawn(384, 384), drawn(THIN, DEPTH), drawn(DEPTH, WIDTH)
    product, result = np.empty((384, 384), np.float32), np.empty((THIN, WIDTH), np.float32)
    pairs, twos = drawn(2000, 2, 2), np.empty((2000, 2, 2), np.float32)
    factors, planes_of = drawn(PLANES, 1), drawn(PLANES, PLANE + 64)
    terms = np.empty((PLANES, PLANE), np.float32)
    vector, line = drawn(64), np.empty(4096, np.float32)
    matrix = drawn(64, 4096)
    weights, planes, sums = drawn(64, 3), drawn(64, 3, 512), np.empty((64, 512), np.float32)
    image = drawn(512, 512)

    def copy_rows() -> None:
        rows[...] = wide[:, 1 : 1 + RUN]

    def copy_strided() -> None:
        half[...] = twice[::2]

    return {
        "call": (lambda: np.add(tiny[2:], tiny[2:], out=tiny[:2]), 1),
        "near": (lambda: np.add(small, more, out=small), NEAR),
        "far": (lambda: np.add(large, most, out=large), FAR),
        "run": (copy_rows, RUNS),
        "inner": (lambda: np.multiply(planes_of[:, 1 : 1 + PLANE], factors, out=terms), PLANES),
        "strided": (copy_strided, NEAR // 2),
        "take": (lambda: small.take(table), NEAR),
        "flop": (lambda: np.matmul(square, square, out=product), 384**3),
        "thin": (lambda: np.matmul(thin, flat, out=result), 1),
        "product": (lambda: np.matmul(pairs, pairs, out=twos), 2000),
        "vector": (lambda: np.matmul(vector, matrix, out=line), 64 * 4096),
        "einsum": (lambda: np.einsum("gj,gjx->gx", weights, planes, out=sums), 64 * 3 * 512),
        "fourier": (lambda: np.fft.rfftn(image), 512 * 512 * 18),
    }
