"""ONNX's own tests through symconv, for each version of an operator: the table in docs/onnx.md.

``python -m tests.onnx.coverage`` prints it; ``make coverage`` writes it.
"""

from __future__ import annotations

import re
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import symconv
from symconv import SymconvError
from symconv.onnx.operators import OPERATORS
from symconv.onnx.reading import OPSETS, read

Array = NDArray[Any]
LOSSES = ("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss")
SCOPE = {*OPERATORS, *LOSSES, "Momentum", "Adam", "Adagrad"}
MOST = 16  # units in the last place of an output's largest element, by which results may differ
FOLDERS = ("pytorch-operator", "pytorch-converted", "simple")
ALONG_ALL = ("Softmax", "LogSoftmax")  # which ONNX's evaluator computes in the newest way only
# inputs that were attributes in older versions, by their place
ATTRIBUTES: Mapping[str, Mapping[int, str]] = {
    "Clip": {1: "min", 2: "max"},
    "Pad": {1: "pads", 2: "value"},
    "Slice": {1: "starts", 2: "ends", 3: "axes"},
    "Split": {1: "split"},
    "Dropout": {1: "ratio"},
    "Squeeze": {1: "axes"},
    "Unsqueeze": {1: "axes"},
    "Upsample": {1: "scales"},
    **{
        f"Reduce{name}": {1: "axes"}
        for name in ("Sum", "Mean", "Max", "Min", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")
    },
}


@dataclass(frozen=True)
class Case:
    """A test of ONNX: a model, what it is given, and what it must return."""

    name: str
    operator: str
    version: int
    model: Any
    inputs: tuple[Array, ...] = field(repr=False)
    outputs: tuple[Array, ...] = field(repr=False)


@dataclass(frozen=True)
class Outcome:
    """What came of a case: the largest difference, or why it was refused."""

    difference: float
    refused: str = ""

    @property
    def passed(self) -> bool:
        """Whether the results agree."""
        return not self.refused and self.difference <= MOST


@cache
def versions() -> dict[str, list[int]]:
    """Return the opsets at which an operator changed, by its name."""
    from onnx import defs

    found: dict[str, set[int]] = defaultdict(set)
    for schema in defs.get_all_schemas_with_history():
        if schema.domain == "":
            found[schema.name].add(schema.since_version)
    return {name: sorted(numbers) for name, numbers in found.items()}


def cases() -> Iterator[Case]:
    """Visit the tests of single operators, each also in older versions where it can be."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ONNX's own tests
        found = collect_testcases(None)
    for test in found:
        nodes = test.model.graph.node if test.model is not None else []
        if len(nodes) != 1 or nodes[0].op_type not in SCOPE or "_expanded" in test.name:
            continue
        assert test.data_sets is not None  # since it is a test of one node
        given, wanted = ([np.asarray(a) for a in arrays] for arrays in test.data_sets[0])
        if not all(a.dtype in (np.float32, np.float64) for a in wanted):
            continue  # of integers, text or half precision
        operator = nodes[0].op_type
        assert test.model is not None  # since it has a node
        opset = max(i.version for i in test.model.opset_import)
        version = max((v for v in versions().get(operator, []) if v <= opset), default=opset)
        case = Case(test.name, operator, version, test.model, tuple(given), tuple(wanted))
        yield case
        for older in versions().get(operator, []):
            if older < version:
                yield from _older(case, older)


def _older(case: Case, version: int) -> Iterator[Case]:
    """Visit the case in an older version of its operator, if that can say it and means the same."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    opset = min(v for v in versions()[case.operator] if v > version) - 1
    if opset < OPSETS[0] or (case.operator in ALONG_ALL and opset < 13):
        return
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", opset))
    (node,) = model.graph.node
    schema = onnx.defs.get_schema(case.operator, opset)
    names = [value.name for value in model.graph.input]
    inputs = dict(zip(names, case.inputs, strict=True))
    for at, attribute in sorted(ATTRIBUTES.get(case.operator, {}).items(), reverse=True):
        if at < len(node.input) and attribute in schema.attributes and len(schema.inputs) <= at:
            name = node.input[at]
            if name:
                array = inputs.pop(name)
                if not array.size:
                    return  # an empty list has no type
                value = array.tolist() if array.ndim else array.item()
                node.attribute.append(onnx.helper.make_attribute(attribute, value))
            del node.input[at]
    kept = [value for value in model.graph.input if value.name in inputs]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    try:
        onnx.checker.check_model(model)
        found = [np.asarray(a) for a in ReferenceEvaluator(model).run(None, inputs)]
    except Exception:  # the older version has no such attribute, type or evaluator
        return
    older = replace(case, version=version, model=model, inputs=tuple(inputs.values()))
    if difference(found, case.outputs) <= MOST:
        yield older


def exports() -> Iterator[Case]:
    """Visit the models with data that come with ONNX: exports of PyTorch's layers, and small graphs."""
    import onnx
    from onnx import numpy_helper

    data = Path(onnx.__file__).parent / "backend" / "test" / "data"
    for path in sorted(path for name in FOLDERS for path in (data / name).iterdir()):
        model = onnx.load(path / "model.onnx")
        folder = path / "test_data_set_0"
        arrays: dict[str, list[Array]] = {}
        for kind in ("input", "output"):
            files = sorted(folder.glob(f"{kind}_*.pb"), key=lambda file: int(file.stem.split("_")[1]))
            arrays[kind] = []
            for file in files:
                tensor = onnx.TensorProto()
                try:
                    tensor.ParseFromString(file.read_bytes())
                    arrays[kind].append(numpy_helper.to_array(tensor))
                except Exception:  # a sequence, or text
                    arrays[kind].append(np.array("?"))
        opset = max((i.version for i in model.opset_import), default=0)
        yield Case(path.name, path.parent.name, opset, model, (*arrays["input"],), (*arrays["output"],))


def difference(found: Sequence[Array], wanted: Sequence[Array]) -> float:
    """Return the largest difference, in units in the last place of each output's largest element."""
    if len(found) != len(wanted):
        return np.inf
    return max(map(_difference, map(np.asarray, found), wanted), default=0.0)


def _difference(found: Array, wanted: Array) -> float:
    if found.shape != wanted.shape:
        return np.inf
    a, b = found.astype(np.float64), wanted.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return np.inf
    largest = np.abs(b[finite]).max(initial=np.finfo(wanted.dtype).tiny)
    unit = np.spacing(np.asarray(largest, wanted.dtype)).astype(np.float64)
    return float(np.abs(a - b)[finite].max(initial=0.0) / unit)


def outcome(case: Case, target: str) -> Outcome:
    """Run a case: as many inputs as can be are values of the network, and the others constants."""
    names = [value.name for value in case.model.graph.input]
    own = [t.name for t in case.model.graph.initializer]
    names = [name for name in names if name not in own]
    given = dict(zip(names, case.inputs, strict=True))
    floats = [n for n, a in given.items() if a.dtype in (np.float32, np.float64)]
    axes = [name for name in floats if given[name].ndim]
    others = [name for name in given if name not in floats]
    choices = [floats, axes, axes[:1], axes[1:2]]
    if case.operator in LOSSES:
        choices = [[*axes[:1], *others[:1]]]
    refusal = Outcome(np.inf, "has no input of float32 or float64")
    for number, kept in enumerate(choices):
        if kept and kept not in choices[:number]:
            try:
                return Outcome(_run(case, given, kept, target))
            except SymconvError as error:
                refusal = refusal if number and refusal.refused.startswith("'") else _refusal(error)
    return refusal


def _refusal(error: SymconvError) -> Outcome:
    said = re.sub(r"^.*?\.onnx: (node '.*?': )?", "", str(error))
    return Outcome(np.inf, said)


def _run(case: Case, given: Mapping[str, Array], kept: Sequence[str], target: str) -> float:
    import onnx
    from onnx import numpy_helper

    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    inputs = [value for value in model.graph.input if value.name in kept]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    constants = [numpy_helper.from_array(array, n) for n, array in given.items() if n not in kept]
    model.graph.initializer.extend(constants)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        found = read(path)
    arrays = [np.ascontiguousarray(given[name]) for name in kept]
    loss = found.network.loss
    if loss is not None:
        module = symconv.generate(loss.layer, "model", target=target).load()
        return difference([module.forward(*arrays)], case.outputs)
    module = symconv.generate(found.network, "model", target=target).load()
    result = module.forward(found.params, *arrays)
    return difference(result if isinstance(result, tuple) else [result], case.outputs)


@dataclass
class Row:
    """The results of one operator's cases."""

    results: dict[int, list[Outcome]] = field(default_factory=dict)
    in_c: list[Outcome] = field(default_factory=list)

    def text(self) -> tuple[str, str]:
        """Return passed cases of all, for each version, and in C."""
        numpy = ", ".join(f"{v}: {_share(found)}" for v, found in sorted(self.results.items()))
        return numpy, _share(self.in_c)

    @property
    def refusals(self) -> Counter[str]:
        """Why cases of the newest version were refused."""
        newest = self.results[max(self.results)]
        return Counter(_shortened(o.refused) for o in newest if o.refused)


def _shortened(refused: str) -> str:
    said = re.sub(r"^'\w+' \(opset \d+\): |; what is before it.*$|input '\w*': ", "", refused)
    said = re.sub(r"\([^)]*\)|\d+", "…", said)
    return said[:90]


def _share(found: Sequence[Outcome]) -> str:
    return f"{sum(o.passed for o in found)}/{len(found)}"


def rows(every: Sequence[Case], newest_only: bool = False) -> dict[str, Row]:
    """Return the results of cases, by operator; C runs those of the newest version."""
    latest = {case.operator: 0 for case in every}
    for case in every:
        latest[case.operator] = max(latest[case.operator], case.version)
    found: dict[str, Row] = defaultdict(Row)
    for case in every:
        row = found[case.operator]
        newest = case.version == latest[case.operator] or case.operator in FOLDERS
        if newest or not newest_only:
            row.results.setdefault(case.version, []).append(outcome(case, "numpy"))
        if newest:
            row.in_c.append(outcome(case, "c"))
    return dict(found)


HEAD = """# ONNX operators

How many of ONNX's own tests pass, for each version of an operator: those of single operators with
float32 or float64 results, and the models with data that come with the package `onnx`. A test passes if
each output is within {most} units in the last place of the output's largest element. C runs the tests of
the newest version. A test of an older version is the newest one's, written in the older form; it counts
only if ONNX's reference evaluator gives the same results for it.

`make coverage` writes this page, with onnx {onnx}.

"""


def page(operators: Mapping[str, Row], models: Mapping[str, Row], release: str) -> str:
    """Return the page."""
    lines = [HEAD.format(most=MOST, onnx=release)]
    lines.append("| operator | passed of all, for each version (NumPy) | in C |\n|---|---|---|")
    lines += [f"| {name} | {' | '.join(row.text())} |" for name, row in sorted(operators.items())]
    every = [o for row in operators.values() for found in row.results.values() for o in found]
    in_c = [o for row in operators.values() for o in row.in_c]
    lines.append(f"| **all** | **{_share(every)}** | **{_share(in_c)}** |\n")
    lines.append("## Models with data\n\n| folder | NumPy | in C |\n|---|---|---|")
    for name, row in sorted(models.items()):
        all_ = [o for found in row.results.values() for o in found]
        lines.append(f"| {name} | {_share(all_)} | {_share(row.in_c)} |")
    lines.append("\n## What is refused\n\n| operator | why | tests |\n|---|---|---|")
    for name, row in sorted(operators.items()):
        lines += [f"| {name} | {why} | {count} |" for why, count in sorted(row.refusals.items())]
    for name, row in sorted(models.items()):
        refused = Counter(_shortened(o.refused) for o in row.in_c if o.refused)
        lines += [f"| {name} | {why} | {count} |" for why, count in sorted(refused.items())]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the page, or write it to the file that is named."""
    import onnx

    text = page(rows([*cases()]), rows([*exports()]), onnx.__version__)
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text, "utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
