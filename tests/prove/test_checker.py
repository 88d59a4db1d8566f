"""The checker stands alone, rejects every mutant, and survives hostile files."""

from __future__ import annotations

import ast
import copy
import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from symconv.notation.evaluate import evaluate
from symconv.notation.graph import Graph
from symconv.prove import checker
from symconv.prove.certificate import Data
from symconv.prove.instances import proved
from symconv.prove.t1_weight_gradient import weight_gradient
from symconv.prove.t2_input_gradient import input_gradient
from symconv.prove.t2_polyphase import polyphase
from symconv.prove.t3_rotation import rotation
from symconv.prove.t4_adjoint import adjoint
from symconv.prove.t5_tiles import tiles
from symconv.prove.t6_padding import padding_covers
from tests.effort import many, some
from tests.prove.test_certificates import filled
from tests.statements import read_programs

FILE = Path(checker.__file__)
SUBJECTS = [
    (weight_gradient, (1,)),
    (input_gradient, (1,)),
    (polyphase, (1,)),
    (rotation, (1, True)),
    (adjoint, (1, "X", False, False, True)),
    (tiles, (1,)),
    (padding_covers, (1, 0, "reflect")),
    (input_gradient, (2, True)),
]


def test_it_is_short_and_stands_alone() -> None:
    text = FILE.read_text("utf-8")
    assert len(text.splitlines()) < 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= sys.stdlib_module_names
        elif isinstance(node, ast.ImportFrom):
            assert str(node.module).partition(".")[0] in sys.stdlib_module_names
    rules = text.partition('"""')[2].partition('"""')[2].lower()
    assert "convol" not in rules.replace("convolutions", "")
    assert "stride" not in rules


def subject(make: Any, arguments: Any) -> Data:
    found = proved(make, *arguments)
    assert found.certificate is not None
    return found.certificate


Path_ = tuple[str | int, ...]


def leaves(data: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Visit every text and number of a certificate, and every empty proof."""
    members = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in members:
        if isinstance(value, dict | list):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def changes(value: Any) -> Iterator[Any]:
    """Visit a leaf's mutants: a coefficient, a sign, a name or a bound changed, each alone."""
    if isinstance(value, int):
        yield from (value + 1, value - 1, -value)
    elif value is None:
        yield ["0", [[1, "0"]], []]
    elif isinstance(value, str):
        for match in re.finditer(r"\d+", value):
            yield f"{value[: match.start()]}{int(match[0]) + 1}{value[match.end() :]}"
        for match in re.finditer(r" ([+-]) ", value):
            sign = "-" if match[1] == "+" else "+"
            yield f"{value[: match.start()]} {sign} {value[match.end() :]}"
        yield value[1:] if value.startswith("-") else f"-{value}"
        yield f"{value} + 1"
        for match in re.finditer(r"[^\W\d]\w*'*", value):
            yield f"{value[: match.start()]}2*{match[0]}{value[match.end() :]}"


def put(certificate: Data, path: Path_, value: Any) -> Data:
    mutant = copy.deepcopy(certificate)
    target: Any = mutant
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return mutant


def verdict(certificate: Any) -> str | None:
    """Return the statement that is accepted, None if none is."""
    try:
        return checker.check(certificate)
    except (ValueError, TypeError, LookupError, AttributeError):
        return None


def mutations(certificate: Data) -> Iterator[tuple[Path_, Any]]:
    """Visit each leaf and what may be put there instead."""
    for path, value in leaves(certificate):
        for changed in changes(value):
            if changed != value:
                yield path, changed


def harmless(path: Path_) -> str | None:
    """Why a mutant may be accepted with the statement unchanged; None if it may not."""
    if path[0] in ("name", "title"):
        return "no part of the statement: prose that the checker does not read, and what it is called"
    if path[0] == "examples":
        return "other numbers satisfy the assumptions, too"
    if (path[0] == "proof" and "proofs" in path) or path[:2] == ("proof", "sizes"):
        return "a reason given where none is needed, or another that holds as well"
    if path[0] == "proof" and "divide" in path:
        return "another name, nowhere used, for the same quotient"
    return None


@pytest.mark.parametrize(("make", "arguments"), SUBJECTS, ids=lambda p: getattr(p, "__name__", str(p)))
def test_mutants_are_rejected_or_leave_the_statement(make: Any, arguments: Any) -> None:
    certificate = subject(make, arguments)
    statement = checker.check(certificate)
    count, accepted = 0, []
    for path, changed in some(mutations(certificate), 12):
        count += 1
        found = verdict(put(certificate, path, changed))
        if found is not None:
            assert found == statement, path
            assert harmless(path), path
            accepted.append(path)
    assert count > many(300)
    assert len(accepted) < count / 3


@pytest.mark.parametrize(
    ("make", "arguments"), SUBJECTS[:7], ids=lambda p: getattr(p, "__name__", str(p))
)
def test_no_false_statement_is_accepted(make: Any, arguments: Any) -> None:
    """With its digest made right again, a changed statement is accepted only if it is true."""
    certificate = subject(make, arguments)
    accepted = 0
    of_statement = (found for found in mutations(certificate) if found[0][0] == "statement")
    for path, changed in some(of_statement, 5):
        mutant = put(certificate, path, changed)
        written = json.dumps(mutant["statement"], sort_keys=True).encode()
        mutant["sha256"] = sha256(written).hexdigest()
        if verdict(mutant) is None:
            continue
        accepted += 1
        for seed, example in enumerate(mutant["examples"]):
            left, right = graphs = read_programs(mutant["statement"], example)
            if any(size < 0 for graph in graphs for size in sizes(graph)):
                continue  # a tensor of such a size is no array
            tensors = filled(graphs, seed)
            one = evaluate(left, tensors)[left.output.name]
            other = evaluate(right, tensors)[right.output.name]
            assert one.shape == other.shape, path
            assert (one == other).all(), path
    assert accepted > 0  # an assumption that is weaker than it may be, a larger tensor


def sizes(graph: Graph) -> Iterator[int]:
    for program in graph.programs:
        yield from program.target.sizes
        for contraction in program.contractions:
            for read in contraction.reads:
                yield from read.tensor.sizes


def run(text: bytes, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "certificate.json"
    path.write_bytes(text)
    return subprocess.run(
        [sys.executable, "-I", str(FILE), str(path)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=60,
        env={"PYTHONIOENCODING": "utf-8"},
    )


def file_of(certificate: Any) -> str:
    return json.dumps({"certificates": [certificate]})


def hostile() -> list[tuple[str, bytes]]:
    good = subject(input_gradient, (1,))
    text = file_of(good)
    first = good["statement"]["left"][0]["sums"][0]

    def with_left(**changed: Any) -> bytes:
        bad = copy.deepcopy(good)
        bad["statement"]["left"][0]["sums"][0] = first | changed
        written = json.dumps(bad["statement"], sort_keys=True).encode()
        return file_of(bad | {"sha256": sha256(written).hexdigest()}).encode()

    def with_statement(**changed: Any) -> bytes:
        statement = good["statement"] | changed
        written = json.dumps(statement, sort_keys=True).encode()
        return file_of(good | {"statement": statement, "sha256": sha256(written).hexdigest()}).encode()

    def doubling(count: int) -> bytes:
        steps: list[Any] = [
            {
                "tensor": "t0",
                "shape": [],
                "sums": [{"indices": [], "where": [], "at": [], "reads": []}] * 2,
            }
        ]
        for at in range(1, count):
            read = {"indices": [], "where": [], "at": [], "reads": [[f"t{at - 1}"], [f"t{at - 1}"]]}
            steps.append({"tensor": f"t{at}", "shape": [], "sums": [read]})
        bad = copy.deepcopy(good)
        bad["statement"]["left"] = steps
        written = json.dumps(bad["statement"], sort_keys=True).encode()
        return file_of(bad | {"sha256": sha256(written).hexdigest()}).encode()

    random_ = random.Random(0)
    noise = bytearray(text.encode())
    for _ in range(20):
        noise[random_.randrange(len(noise))] = random_.randrange(256)
    return [
        ("no file's text", b""),
        ("binary", bytes(range(256))),
        ("truncated", text[: len(text) // 2].encode()),
        ("noise", bytes(noise)),
        ("deep nesting", b"[" * 10**6),
        ("deep objects", b'{"certificates":' * 10**5),
        ("a member twice", text.replace('"title"', '"title": 1, "title"', 1).encode()),
        ("not a number", text.replace('"P": 3', '"P": NaN', 1).encode()),
        ("infinite", text.replace('"P": 3', '"P": Infinity', 1).encode()),
        ("a fraction", text.replace('"P": 3', '"P": 3.5', 1).encode()),
        ("a huge number", text.replace('"P": 3', '"P": ' + "9" * 5000, 1).encode()),
        ("a large example", text.replace('"P": 3', '"P": ' + "9" * 100, 1).encode()),
        ("a huge exponent", with_left(at=["n", "C*g + c", "*".join(["s"] * 10**5)])),
        ("an exponent", with_left(at=["n", "C*g + c", "s**1000000000"])),
        ("a call", with_left(at=["n", "C*g + c", "__import__('os')"])),
        ("a long sum", with_left(at=["n", "C*g + c", " + ".join(["s"] * 10**6)])),
        ("too many indices", with_left(indices=[[f"i{at}", "N"] for at in range(10**5)])),
        ("doubling", doubling(60)),
        ("too large", b'{"certificates": "' + b"x" * 10**7 + b'"}'),
        ("other data", b'{"certificates": [1, null, "x"]}'),
        ("no certificates", b"[]"),
        ("an empty list", b'{"certificates": []}'),
        ("no program", with_statement(left=[])),
        ("a name that is no name", file_of(good | {"name": "\x1bc"}).encode()),
    ]


def forged() -> list[tuple[str, Data]]:
    """Forge false statements, or names that mislead, with proofs that a careless checker accepts."""

    def of(left: Any, right: Any, cases: Any, count: int) -> Data:
        statement: Data = {">= 0": [], "= 0": [], "then >= 0": [], "symbols": ["N"]}
        statement["inputs"] = {"X": ["N"]}
        for side, sums in (("left", left), ("right", right)):
            statement[side] = [{"tensor": "O", "shape": ["N"], "sums": sums}]
        same = {"divide": [], "values": {"i": "i"}, "proofs": [None] * 9}
        proof = {"sizes": [None], "pairs": [[at, same, same] for at in range(count)]} | cases
        digest = sha256(json.dumps(statement, sort_keys=True).encode()).hexdigest()
        return {
            "name": "forged",
            "title": "",
            "sha256": digest,
            "statement": statement,
            "examples": [{"N": 2}],
            "proof": proof,
        }

    def sums(name: str, *where: str) -> Data:
        return {"indices": [["i", "N"]], "where": list(where), "at": ["i"], "reads": [[name, "i"]]}

    one, empty = sums("X"), sums("X", "1")
    none: Data = {"left": [], "right": []}
    found = [("twice", of([one], [one, one], {"left": [[-1, "0"]], "right": []}, 2))]
    found.append(("half", of([one, one], [one], {"left": [], "right": [[-1, "0"]]}, 2)))
    found.append(("nothing", of([empty, one], [empty], {"left": [[-2, "0"]], "right": []}, 1)))
    found.append(("no part", of([one], [one], {"left": [[7, "0"]], "right": []}, 1)))
    good = of([one], [one], none, 1)
    for name in ("\x1bcX", "X\u200b", "2*X", "X\u0008Y", "\u202eX", "X+Y", ""):
        text = json.dumps(good["statement"]).replace('"X"', json.dumps(name))
        statement = json.loads(text)
        digest = sha256(json.dumps(statement, sort_keys=True).encode()).hexdigest()
        found.append((f"a tensor called {name!a}", good | {"statement": statement, "sha256": digest}))
    return found


def test_what_is_forged_from_here_would_be_accepted_if_it_were_right() -> None:
    """The frame of the forgeries is good: only what is false in them can be why they are rejected."""
    _, good = forged()[-1]
    text = json.dumps(good["statement"]).replace('""', '"Y"')
    statement = json.loads(text)
    digest = sha256(json.dumps(statement, sort_keys=True).encode()).hexdigest()
    assert verdict(good | {"statement": statement, "sha256": digest}) is not None


@pytest.mark.parametrize(
    ("name", "certificate"), forged(), ids=lambda p: p if isinstance(p, str) else ""
)
def test_forgeries_are_rejected(name: str, certificate: Data) -> None:
    assert verdict(certificate) is None


def test_splitting_costs(tmp_path: Path) -> None:
    """A part split many times over takes no memory without bound."""
    bad = copy.deepcopy(subject(input_gradient, (1,)))
    bad["proof"]["left"] = [[0, "0"]] * 20_000
    done = run(file_of(bad).encode(), tmp_path)
    assert done.returncode == 1
    assert "too large" in done.stdout


@pytest.mark.parametrize(("name", "text"), hostile(), ids=lambda p: p if isinstance(p, str) else "")
def test_hostile_files_are_rejected_in_one_line(name: str, text: bytes, tmp_path: Path) -> None:
    done = run(text, tmp_path)
    assert done.returncode == 1, name
    assert done.stderr == ""
    assert done.stdout.startswith("rejected: ")
    assert len(done.stdout.splitlines()) == 1
    assert len(done.stdout) < 600


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", str(FILE), str(tmp_path / "none.json")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1


def test_a_good_file_is_accepted(tmp_path: Path) -> None:
    text = file_of(subject(input_gradient, (1,)))
    done = run(text.encode(), tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith(
        "accepted T2 with 1 axis: for all integers H, K, P, s, d, lo, hi, r, N, groups, M, C with\n"
    )
