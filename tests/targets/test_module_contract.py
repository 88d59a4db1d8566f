"""What a generated module promises its callers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from symconv import Conv, ConvTranspose, generate
from symconv.layers import rebuild
from symconv.templating import environment
from tests.bridge import close, expected, products
from tests.effort import FULL, long, many
from tests.strategies import layers

Array = NDArray[Any]
ROOT = Path(__file__).resolve().parents[2]
KINDS: list[Conv | ConvTranspose] = [
    Conv((1, 1, 3, 3), 1, 2, dtype="float64"),  # a table
    Conv((4, 6, 9, 8), 4, 3, padding=1, dtype="float64"),  # rows
    Conv((4, 6, 9, 8), 4, 3, stride=2, padding=((1, 2), (-1, 3)), dtype="float64"),  # columns, scatter
    Conv((2, 16, 11, 11), 2, 3, stride=2, dtype="float64"),  # phases
    Conv((3, 5, 30, 30), 5, 3, padding=1, groups=5, dtype="float64"),  # shifts
    Conv((3, 5, 7, 7), 4, 1, dtype="float64"),  # pointwise
    Conv((2, 3, 8, 8), 4, 3, padding=2, padding_mode="reflect", dtype="float64"),
    ConvTranspose((2, 3, 6, 6), 4, 3, stride=2, output_padding=1, dtype="float64"),
    Conv((2, 2, 5, 6, 4), 2, 2, dtype="float64", bias=False),
]


@pytest.fixture(params=KINDS, ids=str)
def case(request: pytest.FixtureRequest) -> tuple[Conv | ConvTranspose, ModuleType]:
    layer = request.param
    return layer, generate(layer, "module").load()


Case = tuple[Conv | ConvTranspose, ModuleType]


def test_forward_and_each_gradient_singly(case: Case) -> None:
    layer, module = case
    want = expected(layer)
    assert close(module.forward(*want.inputs), want.output)
    x, weight = want.inputs[:2]
    assert close(module.input_gradient(want.cotangent, weight), want.gradients[0])
    assert close(module.weight_gradient(want.cotangent, x), want.gradients[1])
    if layer.bias:
        assert close(module.bias_gradient(want.cotangent), want.gradients[2])


def test_any_strides_byte_order_and_read_only_arrays(case: Case) -> None:
    layer, module = case
    want = expected(layer)

    def disguised(array: Array) -> Array:
        wide = np.zeros(tuple(2 * size for size in array.shape), ">f8")
        view = wide[tuple(slice(None, None, 2) for _ in array.shape)][::-1]
        view[...] = array
        view.flags.writeable = False
        return view

    inputs = [disguised(a) for a in want.inputs]
    assert close(module.forward(*inputs), want.output)
    received = module.backward(disguised(want.cotangent), *inputs)
    assert all(close(a, b) for a, b in zip(received, want.gradients, strict=True))
    assert all(a.dtype == np.float64 and a.dtype.isnative for a in received)


def test_inputs_are_not_written_and_results_are_the_callers(case: Case) -> None:
    layer, module = case
    want = expected(layer)
    before = [a.copy() for a in (want.cotangent, *want.inputs)]
    results = [module.forward(*want.inputs), *module.backward(want.cotangent, *want.inputs)]
    kept = [a.copy() for a in results]
    again = [module.forward(*want.inputs), *module.backward(want.cotangent, *want.inputs)]
    for array in again:
        array[...] = 7
    assert all(np.array_equal(a, b) for a, b in zip(results, kept, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip((want.cotangent, *want.inputs), before, strict=True))
    for array in results:
        assert not any(
            np.shares_memory(array, other) for other in (want.cotangent, *want.inputs, *again)
        )


def test_out_is_reused(case: Case) -> None:
    layer, module = case
    want = expected(layer)
    out = np.full(layer.output_shape, np.nan)
    assert module.forward(*want.inputs, out=out) is out
    assert close(out, want.output)
    outs = tuple(np.full(a.shape, np.nan) for a in want.gradients)
    received = module.backward(want.cotangent, *want.inputs, out=outs)
    assert all(a is b for a, b in zip(received, outs, strict=True))
    assert all(close(a, b) for a, b in zip(outs, want.gradients, strict=True))


def test_an_out_that_does_not_fit_is_refused(case: Case) -> None:
    layer, module = case
    want = expected(layer)
    shape = layer.output_shape
    for out, message in (
        (np.zeros((*shape, 1)), "out: expected float64"),
        (np.zeros(shape, "float32"), "received float32"),
        (np.zeros((*shape[:-1], shape[-1] * 2))[..., ::2], "C-contiguous"),
        ([1.0], "received list"),
    ):
        with pytest.raises(ValueError, match=message):
            module.forward(*want.inputs, out=out)
    weight, size = want.inputs[1], int(np.prod(layer.input_shape))
    memory = np.zeros(max(size, weight.size))
    with pytest.raises(ValueError, match="overlaps an input"):
        module.input_gradient(
            want.cotangent,
            memory[: weight.size].reshape(weight.shape),
            out=memory[:size].reshape(layer.input_shape),
        )
    with pytest.raises(ValueError, match="arrays, received 1"):
        module.backward(want.cotangent, *want.inputs, out=(np.zeros(layer.input_shape),))
    taken = want.inputs[0].copy()
    with pytest.raises(ValueError, match="overlaps an input"):
        module.backward(
            want.cotangent,
            taken,
            *want.inputs[1:],
            out=(taken, *(np.zeros(a.shape) for a in want.gradients[1:])),
        )


def test_wrong_shapes_and_dtypes_are_named(case: Case) -> None:
    layer, module = case
    want = expected(layer)
    x, *others = want.inputs
    with pytest.raises(ValueError, match=r"x: expected shape \(.*\), received \(1, 1\)"):
        module.forward(x[0, 0, :1, None] if x.ndim == 3 else x[0, 0].ravel()[:1, None], *others)
    with pytest.raises(TypeError, match="x: expected dtype float64, received float32"):
        module.forward(x.astype("float32"), *others)
    with pytest.raises(TypeError, match="grad_output: expected dtype float64, received int64"):
        module.backward(want.cotangent.astype("int64"), *want.inputs)


def test_threads_do_not_share_scratch(case: Case) -> None:
    layer, module = case
    wants = [expected(layer, seed) for seed in range(4)]
    failures: list[int] = []

    def work(at: int) -> None:
        want = wants[at]
        for _ in range(25):
            received = [
                module.forward(*want.inputs),
                *module.backward(want.cotangent, *want.inputs),
            ]
            if not all(
                close(a, b) for a, b in zip(received, [want.output, *want.gradients], strict=True)
            ):
                failures.append(at)

    threads = [threading.Thread(target=work, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_scratch_is_bounded_and_released() -> None:
    layer = Conv((2, 8, 64, 64), 8, 3, padding=1, dtype="float64")
    module = generate(layer, "module").load()
    want_inputs = [np.zeros(s) for s in (layer.input_shape, *layer.parameters.values())]
    cotangent = np.zeros(layer.output_shape)
    tracemalloc.start()
    base = tracemalloc.get_traced_memory()[0]
    sizes = []
    for _ in range(3):
        module.forward(*want_inputs)
        module.backward(cotangent, *want_inputs)
        sizes.append(tracemalloc.get_traced_memory()[0] - base)
    module.release()
    left = tracemalloc.get_traced_memory()[0] - base
    tracemalloc.stop()
    assert sizes[0] > 100_000
    assert abs(sizes[2] - sizes[0]) < 10_000
    assert left < 50_000


@settings(max_examples=many(60))
@given(layers())
def test_what_is_not_finite_reaches_what_reads_it_and_nothing_else(
    layer: Conv | ConvTranspose,
) -> None:
    """What is read in windows (X, or G of a transposed layer) reaches the windows' results only."""
    module = generate(layer, "module").load()
    terms = products(layer)
    transposed = isinstance(layer, ConvTranspose)

    def cells(found: Array) -> set[tuple[int, ...]]:
        return {tuple(map(int, cell)) for cell in np.argwhere(~np.isfinite(found))}

    x, weight = (np.ones(s) for s in (layer.input_shape, layer.parameters["weight"]))
    biases = [np.ones(layer.out_channels)] if layer.bias else []
    bad_x = tuple(size // 2 for size in x.shape)
    infinite = x.copy()
    infinite[bad_x] = np.inf
    cotangent = np.ones(layer.output_shape)
    bad_g = tuple(size // 2 for size in cotangent.shape)
    undefined = cotangent.copy()
    undefined[bad_g] = np.nan
    with np.errstate(invalid="ignore"):
        y = module.forward(infinite, weight, *biases)
        gx = module.input_gradient(undefined, weight)
        gw = module.weight_gradient(*((undefined, x) if transposed else (cotangent, infinite)))
    assert cells(y) == {o for i, _, o in terms if i == bad_x}
    assert cells(gx) == {i for i, _, o in terms if o == bad_g}
    assert cells(gw) == {f for i, f, o in terms if (o == bad_g if transposed else i == bad_x)}


def test_the_text_is_that_of_a_standalone_module(case: Case) -> None:
    layer, module = case
    source = generate(layer, "module").source
    assert "generated" in source.splitlines()[0].lower()
    assert "do not edit" in source.splitlines()[0]
    assert "import symconv" not in source
    assert rebuild(module.LAYER) == layer
    assert module.DTYPE is np.float64
    assert "O[n, " in (module.__doc__ or "")
    assert all("Algorithm: " in (f.__doc__ or "") for f in (module.forward, module.input_gradient))
    assert "symconv generate " in source.splitlines()[1]
    assert max(map(len, source.splitlines()[2:])) <= 100
    assert not any(line != line.rstrip() for line in source.splitlines())


def test_generated_modules_are_clean(tmp_path: Path) -> None:
    for at, layer in enumerate(KINDS):
        generate(layer, f"module{at}").write(tmp_path)
    types = ["mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "."]
    for command in (["ruff", "check", "--isolated", "."], *([types] if FULL else [])):
        run = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout


@long
def test_the_same_text_with_any_hash_seed() -> None:
    program = (
        "import symconv; L = symconv.Conv((2, 4, 9, 9), 6, 3, stride=2, groups=2, padding='same');"
        "print(symconv.generate(L, 'm').source, symconv.derive(L).text(), symconv.derive(L).latex())"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
        ).stdout
        for seed in ("1", "77")
    }
    assert len(texts) == 1
    assert len(texts.pop()) > 1000


def test_a_regenerating_command_regenerates(tmp_path: Path) -> None:
    layer = Conv((2, 4, 9, 9), 6, (3, 2), stride=2, groups=2, padding=((1, -1), (0, 2)), bias=False)
    source = generate(layer, "again").source
    words = source.splitlines()[1].removeprefix("#").split()
    assert words[0] == "symconv"
    run = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert run.stdout == source


def test_templates_decide_nothing() -> None:
    """Holes, loops, names for a few words, and the filter that indents: no condition, no assignment."""
    templates = ROOT / "templates"
    for path in templates.rglob("*.j2"):
        tags = [node for node in environment().lex(path.read_text("utf-8")) if node[1] == "name"]
        words = {word for _, _, word in tags}
        assert not words & {"if", "else", "elif", "set", "import", "include", "do"}, path
