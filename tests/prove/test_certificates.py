"""The theorems for every size: found, accepted, true on numbers, and about what they say."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings

from symconv import Conv, ConvTranspose
from symconv.derive.forms import roles
from symconv.notation.contraction import Access, Program, Tensor
from symconv.notation.evaluate import evaluate
from symconv.notation.graph import Graph
from symconv.notation.polynomial import Polynomial
from symconv.notation.substitution import Substitution
from symconv.prove import checker, engines, letters
from symconv.prove.catalogue import CATALOGUE, RANKS, Variant
from symconv.prove.certificate import Data, Equation, certificate, statement_of
from symconv.prove.instances import numbers_of, proved
from symconv.prove.search import SearchError
from symconv.prove.statements import natural_numbers
from symconv.prove.survey import disagreements, engines_table, opinions
from symconv.prove.t1_weight_gradient import weight_gradient
from symconv.prove.t2_input_gradient import input_gradient
from symconv.prove.t2_polyphase import gcd_numbers, polyphase
from symconv.prove.t3_rotation import rotation
from symconv.prove.t4_adjoint import adjoint
from symconv.prove.t4_transposition import transposition
from symconv.prove.t5_shards import shards
from symconv.prove.t5_tiles import tiles
from symconv.prove.t6_padding import padding
from tests.bridge import close, expected
from tests.effort import long, many, some
from tests.statements import read_programs
from tests.strategies import layers

ROOT = Path(__file__).resolve().parents[2]
VARIANTS = [(entry.name, variant) for entry in CATALOGUE for variant in entry.every_variant]


def spelled(value: object) -> str:
    """Name a variant or a planted error among the tests."""
    if isinstance(value, Equation):
        return value.name
    return f"{value[0].__name__}{value[1]}" if isinstance(value, tuple) else str(value)


def the(variant: Variant) -> Data:
    found = proved(variant[0], *variant[1])
    assert found.certificate is not None, found.reason
    return found.certificate


def filled(graphs: tuple[Graph, Graph], seed: int) -> dict[str, Any]:
    """Fill the tensors that programs read and do not compute with small numbers."""
    rng = np.random.default_rng(seed)
    shapes = {name: tensor.sizes for graph in graphs for name, tensor in graph.inputs.items()}
    return {name: rng.integers(1, 9, shape).astype(object) for name, shape in sorted(shapes.items())}


@pytest.mark.parametrize(("name", "variant"), VARIANTS, ids=spelled)
def test_every_theorem_is_accepted(name: str, variant: Variant) -> None:
    found = the(variant)
    assert str(found["name"]).startswith(f"{name} with ")
    assert "computes the same as" in checker.check(found)


@pytest.mark.parametrize(("name", "variant"), [v for v in VARIANTS if v[1][1][0] == 1], ids=spelled)
def test_statements_are_true_on_numbers(name: str, variant: Variant) -> None:
    """Both programs, read back from the certificate, for each of its examples."""
    found = the(variant)
    assert found["examples"]
    for seed, example in enumerate(found["examples"]):
        left, right = graphs = read_programs(found["statement"], example)
        tensors = filled(graphs, seed)
        one = evaluate(left, tensors)[left.output.name]
        other = evaluate(right, tensors)[right.output.name]
        assert one.shape == other.shape
        assert (one == other).all()


@settings(max_examples=many(80))
@given(layers())
def test_statements_are_about_convolutions(layer: Conv | ConvTranspose) -> None:
    """Both sides of T1 to T5′, with a layer's numbers, against plain loops that know no language."""
    assume(layer.padding_mode == "zeros")
    core = roles(layer)
    rank, flip, transposed = core.rank, core.flip, core.transposed
    numbers = numbers_of(core)
    want = expected(replace(layer, bias=True))
    x, weight, bias = want.inputs
    added = bias.reshape(1, -1, *[1] * rank)
    plain = want.output - added
    tensors = {"X": x, "F": weight, "b": bias, "G": want.cotangent}
    pairing = np.array((want.output * want.cotangent).sum())
    claims: list[tuple[Variant, Any, Any]] = [
        (
            (weight_gradient, (rank, flip, transposed)),
            natural_numbers,
            want.gradients[1],
        ),
        ((input_gradient, (rank, flip, transposed)), None, want.gradients[0]),
        (
            (polyphase, (rank, flip, transposed)),
            gcd_numbers,
            plain if transposed else want.gradients[0],
        ),
        ((adjoint, (rank, "X", flip, transposed, True)), None, pairing),
        (
            (adjoint, (rank, "F", flip, transposed, False)),
            natural_numbers,
            (plain * want.cotangent).sum(),
        ),
        ((adjoint, (rank, "F", flip, transposed, True)), natural_numbers, pairing),
    ]
    if flip:
        claims.append(((rotation, (rank, True, transposed)), None, want.output))
    if transposed:
        claims.append(((transposition, (rank, flip)), None, plain))
    else:
        claims.append(((tiles, (rank, flip)), lambda n: {"T": 2, "B": -(-n["P"] // 2)}, plain))
        claims.append(((shards, (rank, flip)), None, want.gradients[1]))
    for (make, arguments), further, result in claims:
        known = letters.with_further(numbers, rank, further) if further else numbers
        known = {"S": 1, "B": layer.input_shape[0]} | dict(known)
        for graph in read_programs(the((make, arguments))["statement"], known):
            assert close(evaluate(graph, tensors)[graph.output.name].astype(float), np.array(result))


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("rank", RANKS)
def test_padding_is_numpys(rank: int, mode: str) -> None:
    numpys = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    for axis in range(rank):
        found = the((padding, (rank, axis, mode)))
        (example,) = found["examples"]
        left, _ = read_programs(found["statement"], example)
        pad = Graph(left.steps[:1])
        x = np.random.default_rng(0).integers(
            1, 9, pad.programs[0].contractions[0].reads[0].tensor.sizes
        )
        widths = [(0, 0)] * (rank + 2)
        widths[2 + axis] = (2, 1)
        got = evaluate(pad, {"X": x})[pad.output.name].astype(int)
        assert np.array_equal(got, np.pad(x, widths, mode=numpys[mode]))  # type: ignore[call-overload]  # one of NumPy's words


def test_contexts_have_examples_that_leave_something_over() -> None:
    for _, variant in some(VARIANTS, 4):
        found = the(variant)
        remainders = [n for example in found["examples"] for k, n in example.items() if k[0] == "r"]
        assert not remainders or (max(remainders) > 0 and min(remainders) == 0)


def planted() -> list[tuple[str, Equation]]:
    """Wrong statements, with the pairing of the right ones."""
    by_input, by_weight = input_gradient(1), weight_gradient(1)
    stuffed, (correlate,) = by_input.right.steps[0], by_input.right.programs[1:]
    (contraction,) = correlate.contractions
    read, tap = contraction.reads

    def with_reads(*reads: Access) -> Graph:
        return Graph((stuffed, Program((replace(contraction, factors=reads),))))

    shifted = replace(read, subscripts=(*read.subscripts[:2], read.subscripts[2] + 1))
    straight = replace(tap, subscripts=(*tap.subscripts[:2], Polynomial.variable("i")))
    longer = Tensor(correlate.target.name, (*correlate.target.shape[:2], correlate.target.shape[2] + 1))
    wide = replace(contraction, target=replace(contraction.target, tensor=longer))
    (program,) = by_weight.right.programs
    (whole,) = program.contractions
    short = tuple((n, size - 1 if n == "x" else size) for n, size in whole.extents)
    fewer = Graph((Program((replace(whole, extents=short),)),))
    twice = Graph((stuffed, Program((contraction, contraction))))
    unknown = replace(by_input.context, zeros=())
    return [
        ("padding off by one", replace(by_input, right=with_reads(shifted, tap))),
        ("filter not rotated", replace(by_input, right=with_reads(read, straight))),
        ("remainder dropped", replace(by_input, right=Graph((stuffed, Program((wide,)))))),
        ("the last position left out", replace(by_weight, right=fewer)),
        ("every term twice", replace(by_input, right=twice)),
        ("nothing known of the sizes", replace(by_input, context=unknown)),
    ]


@pytest.mark.parametrize(("name", "equation"), planted(), ids=spelled)
def test_a_wrong_statement_has_no_certificate(name: str, equation: Equation) -> None:
    """Neither is one found, nor does the right statement's proof do for it."""
    with pytest.raises((SearchError, ValueError)):
        checker.check(certificate(equation))
    make = weight_gradient if equation.name == "T1" else input_gradient
    right = certificate(make(1))
    statement = statement_of(equation)
    digest = hashlib.sha256(json.dumps(statement, sort_keys=True).encode()).hexdigest()
    with pytest.raises(ValueError, match=r"does not follow|is not known|not paired once"):
        checker.check(right | {"statement": statement, "sha256": digest})


def test_a_right_statement_with_a_wrong_pairing_has_no_certificate() -> None:
    right = input_gradient(1)
    (pairing,) = right.pairings
    there = dict(pairing.there.values) | {"u": Polynomial.variable("x")}
    wrong = replace(right, pairings=(replace(pairing, there=Substitution(there)),))
    with pytest.raises(SearchError):
        certificate(wrong)


def test_certificates_are_the_same_everywhere() -> None:
    """Whatever the seed of Python's hashes."""
    program = (
        "import json; from symconv.prove.t2_polyphase import polyphase; "
        "from symconv.prove.certificate import certificate; print(json.dumps(certificate(polyphase(2))))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(texts) == 1


@pytest.mark.needs("islpy")
@pytest.mark.needs("z3")
@pytest.mark.parametrize(("name", "equation"), planted(), ids=spelled)
def test_engines_refute_what_is_wrong(name: str, equation: Equation) -> None:
    assert engines.by_z3(equation) is False, name
    assert engines.by_isl(equation) is False, name


@long
@pytest.mark.needs("islpy")
@pytest.mark.needs("z3")
def test_engines_agree_with_every_certificate() -> None:
    given = [opinion for entry in CATALOGUE for opinion in opinions(entry)]
    assert {opinion.engine for opinion in given} == {"checker", "isl", "z3"}
    assert all(opinion.holds is True for opinion in given)
    assert disagreements(given) == []
    assert "DISAGREEMENT" not in engines_table(given)
    false = replace(given[0], engine="isl", holds=False)
    assert "DISAGREEMENT: isl refutes T1 for 1 axes" in engines_table([*given, false])
