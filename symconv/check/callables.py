"""Anybody's functions: what is wrong, the smallest case that shows it, and the known pitfall."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from symconv.check.bounds import is_convolution, transform_bound
from symconv.check.calls import Answer, call, takes_one
from symconv.check.diagnosis import Seen, known_rule
from symconv.check.probes import Probe, graph_of, ordinary, probes
from symconv.check.report import Result, apart
from symconv.check.smallest import smallest, spelled
from symconv.check.ties import Tie, ties
from symconv.layers.layer import Layer
from symconv.notation.arrays import evaluate_arrays
from symconv.prove.claims import smaller
from symconv.prove.refutations import CREDITED_IN_FULL

Array = NDArray[Any]
Forward = Callable[..., object]
Backward = Callable[..., object]
Kind = Literal["raises", "returns", "shape", "dtype", "numbers", "ties", "writes"]

ELSEWHERE = 20  # smaller cases that a right function is called for
EQUAL = "where values are equal"
DRAWS = 3  # other values of an argument


@dataclass(frozen=True)
class Failure:
    """What is wrong with one result of a function.

    Parameters
    ----------
    kind
        What was wrong: it raised, returned something else, or the shape, dtype or numbers are wrong; or
        those where values are equal; or it wrote to an argument.
    sweep
        The result: ``"forward"``, the input whose gradient it is, or an argument that was written to.
    text
        The first wrong element, received and expected.
    rule
        The known wrong rule that gives this, if one does.
    seen
        What such a rule is recognised by.
    """

    kind: Kind
    sweep: str
    text: str
    rule: str = ""
    seen: Seen | None = None

    def diagnosed(self, only: str = "") -> Failure:
        """Return the failure with the wrong rule that gives it, of all that are known or of one."""
        return replace(self, rule=known_rule(self.seen, only)) if self.seen and not self.rule else self

    def is_again(self, other: Failure) -> bool:
        """Whether another failure, in another case, is the same fault."""
        if (self.kind, self.sweep) != (other.kind, other.sweep):
            return False
        if self.kind == "raises":
            return self.text == other.text  # and no other reason why a size is refused
        if (" = nan," in self.text) != (" = nan," in other.text):
            return False  # a size so small that a quotient is 0/0
        return self.kind == "ties" or not self.rule or other.diagnosed(self.rule).rule == self.rule


def check_callables(
    layer: Layer, forward: Forward | None, backward: Backward | None
) -> tuple[Result, ...]:
    """Check functions with a generated module's signatures against a layer.

    They are called at the layer's own sizes, where they must be right, and at smaller ones, where a
    function that is made for its own sizes may refuse.
    """
    results = []
    if forward is not None:
        results.append(_Subject("forward", forward).result(layer))
    if backward is not None:
        results.append(_Subject("backward", backward, before=forward).result(layer))
    return tuple(results)


@dataclass
class _Subject:
    """A function under check.

    ``before`` is called before each call: layers that are objects keep what ``backward`` needs.
    ``transforms`` is set when a result was as far off as only transforms of whole tensors round.
    """

    name: str
    function: Callable[..., object]
    before: Forward | None = None
    transforms: bool = False

    def result(self, layer: Layer) -> Result:
        """Return the verdict: every independent failure, or where else the function is wrong."""
        failures = [self._named(layer, failure) for failure in self.failures(layer)]
        if not failures:
            return self._passed(layer)
        faults: list[tuple[Layer, Failure]] = []
        case = layer
        for failure in failures:
            case, found = self._smallest(layer, failure, hint=case)
            faults.append((case, found))
        text = "\n".join(
            self._told(case, failure, noticed)
            for (case, failure), noticed in zip(faults, self._noticed(layer, failures), strict=True)
        )
        return Result(self.name, "numeric", False, text)

    def _named(self, layer: Layer, failure: Failure) -> Failure:
        """Return the failure with the known wrong rule, if other numbers do not contradict it."""
        found = failure.diagnosed()
        if not found.rule or failure.kind != "numbers":
            return found
        draws = (self._called(layer, ordinary(layer, seed)) for seed in range(20, 20 + DRAWS))
        again = (f for failures in draws for f in failures if f.sweep == failure.sweep)
        other = next(again, None)  # none, where a rule is wrong for few numbers
        return found if other is None or other.diagnosed(found.rule).rule else failure

    def _told(self, case: Layer, failure: Failure, noticed: str) -> str:
        rule = f" This is a known pitfall: {failure.rule}." if failure.rule else ""
        said = "" if "is ignored" in failure.rule else noticed
        where = "" if failure.kind == "writes" else f" Smallest failing case: {spelled(case)}."
        return f"{failure.text}{rule}{said}{where}"

    def _passed(self, layer: Layer) -> Result:
        text, transforms = "agrees with the layer's definition at its sizes", self.transforms
        elsewhere = refused = 0
        cases = (case for case in smaller(layer, kernels=0) if case.inputs != layer.inputs)
        for case in itertools.islice(cases, ELSEWHERE):
            wrong = next(self.failures(case, few=True), None)
            if wrong and wrong.kind != "raises":
                found, failure = self._smallest(case, wrong, hint=case)
                text = f"right at this layer's sizes; wrong for {spelled(found)}: {failure.text}"
                break
            refused += wrong is not None
            elsewhere += wrong is None
        else:
            if elsewhere:
                text += f" and at {elsewhere} smaller one{'s' * (elsewhere != 1)}"
            if refused:
                text += f"; it refuses {f'{refused} others' if elsewhere else 'smaller ones'}"
        if transforms:
            text = f"{text.rstrip('.')}; passed as a transform: rounding relative to the whole image"
        return Result(self.name, "numeric", True, text)

    def _smallest(self, layer: Layer, failure: Failure, hint: Layer) -> tuple[Layer, Failure]:
        """Return the smallest layer in which a function fails in the same way, and how it does."""
        if failure.kind == "writes":
            return layer, failure
        few = self._same(layer, failure, few=True) is not None

        def fails(case: Layer) -> bool:
            return self._same(case, failure, few) is not None

        start = hint if hint != layer and fails(hint) else layer
        case = smallest(start, fails)
        found = self._same(case, failure, few) or failure
        return case, replace(found, rule=failure.rule)  # by chance many rules agree where it is small

    def _same(self, case: Layer, failure: Failure, few: bool) -> Failure | None:
        return next((f for f in self.failures(case, few) if failure.is_again(f)), None)

    def failures(self, case: Layer, few: bool = False) -> Iterator[Failure]:
        """Visit the first failure of each result: with ordinary numbers only, or with all."""
        seen: set[tuple[str, str]] = set()
        every = probes(case)
        for probe in itertools.islice(every, 2) if few else every:
            for failure in self._called(case, probe):
                key = ("writes" if failure.kind == "writes" else "", failure.sweep)
                if key not in seen:
                    seen.add(key)
                    yield failure
                if failure.kind in ("raises", "returns"):
                    return
        for name in case.differentiable if self.name == "backward" else ():
            if ("", name) not in seen:
                yield from self._tied(case, name, few)

    def _called(self, case: Layer, probe: Probe) -> list[Failure]:
        """Call the function with a probe's numbers; return what is wrong with what it returns."""
        sweeps = list(case.differentiable) if self.name == "backward" else ["forward", *case.updates]
        answer = self._answer(case, probe.values, len(sweeps))
        if answer.error:
            kind: Kind = "raises" if answer.raised else "returns"
            return [Failure(kind, self.name, answer.error)]
        if self.name == "forward" and len(answer.arrays) == 1:
            sweeps = sweeps[:1]  # new running statistics may be left out
        if len(answer.arrays) != len(sweeps):
            what = ", ".join(_name_of(case, sweep) for sweep in sweeps)
            count = len(answer.arrays)
            text = f"returns {count} array{'s' * (count != 1)}, expected {len(sweeps)}: {what}."
            return [Failure("returns", self.name, text)]
        found: list[Failure] = []
        for sweep, array in zip(sweeps, answer.arrays, strict=True):
            found += self._compared(case, sweep, array, probe)
        verdict = "wrong, too" if found else "right"
        if answer.changed:
            result = f"(its result is {verdict})"
            names = " and ".join(answer.changed)
            noun = "argument" if len(answer.changed) == 1 else "arguments"
            text = f"{self.name} changed its {noun} {names} in place {result}."
            found.insert(0, Failure("writes", names, text))
        return found

    def _answer(self, case: Layer, values: dict[str, Array], expected: int) -> Answer:
        arguments = self._arguments(case, values)
        if self.before is not None:
            call(self.before, {name: arguments[name] for name in case.tensors}, 1)
            if takes_one(self.function):
                arguments = {"grad_output": arguments["grad_output"]}
        return call(self.function, arguments, expected)

    def _arguments(self, case: Layer, values: dict[str, Array]) -> dict[str, Array]:
        """Return the arrays that the function is called with, by name."""
        given = {
            name: values[tensor.name].astype(np.int64 if name in case.classes else case.dtype)
            for name, tensor in case.tensors.items()
        }
        if self.name == "forward":
            return given
        return {"grad_output": values[case.cotangent.name].astype(case.dtype), **given}

    def _compared(self, case: Layer, sweep: str, array: Array, probe: Probe) -> Sequence[Failure]:
        """Say how a result differs from a layer's."""
        what = _name_of(case, sweep)
        if array.dtype.kind not in "fiub":
            kind = "is not an array of numbers" if array.dtype == object else f"has dtype {array.dtype}"
            return [Failure("dtype", sweep, f"{what} {kind}, expected {case.dtype}.")]
        if array.dtype.kind == "f" and array.dtype.itemsize < np.dtype(case.dtype).itemsize:
            text = f"{what} has dtype {array.dtype}, expected {case.dtype} (or one with more digits)."
            return [Failure("dtype", sweep, text)]
        low, high = probe.wanted(case, sweep)
        limit = np.broadcast_to(probe.limit(case, sweep, low), low.shape)
        received = array.astype(float)
        seen = Seen(case, sweep, probe, received, low, limit)
        if array.shape != low.shape:
            text = f"{what} has shape {array.shape}, expected {low.shape}."
            return [Failure("shape", sweep, text, seen=seen)]
        with np.errstate(invalid="ignore"):
            right = ((received >= low - limit) & (received <= high + limit)) | np.isnan(low)
        if probe.overflows is not None:
            right |= probe.overflows & ~np.isfinite(received)
        if right.all() or self._is_transform(case, sweep, probe, received, low):
            return []
        worst = np.where(right, -1.0, np.abs(np.nan_to_num(received - low, nan=np.inf)))
        cell = np.unravel_index(
            int(np.argmin(right) if not probe.where else np.argmax(worst)), low.shape
        )
        at = f"[{', '.join(map(str, map(int, cell)))}]" if cell else ""
        shown, wanted = apart(received[cell], low[cell])
        if low[cell] != high[cell]:
            wanted = f"from {low[cell]:g} to {high[cell]:g}"
        kind_ = f"; its dtype is {array.dtype}" if array.dtype.kind != "f" else ""
        place = f" {probe.where}" if probe.where else ""
        text = f"{what}{at} = {shown}, expected {wanted}{place}{kind_}."
        return [Failure("numbers", sweep, text, seen=seen)]

    def _is_transform(
        self, case: Layer, sweep: str, probe: Probe, received: Array, expected: Array
    ) -> bool:
        """Whether an error is as small as that of a transform of whole tensors."""
        graph = graph_of(case, sweep, probe.stable)
        if not is_convolution(graph):
            return False
        eps = float(np.finfo(case.dtype).eps)
        most = transform_bound(graph, probe.values, eps, expected)
        small = bool((np.abs(received - expected) <= most).all())
        self.transforms |= small
        return small

    def _tied(self, case: Layer, name: str, few: bool) -> Iterator[Failure]:
        """Visit the first failure where several elements of a window are its maximum."""
        at, count = case.differentiable.index(name), len(case.differentiable)
        for tie in itertools.islice(ties(case, name), 6) if few else ties(case, name):
            answer = self._answer(case, tie.values, count)
            if answer.error:
                kind: Kind = "raises" if answer.raised else "returns"
                yield Failure(kind, self.name, f"{answer.error} ({EQUAL})")
                return
            if len(answer.arrays) != count or answer.arrays[at].shape != case.inputs[name]:
                what = _name_of(case, name)
                text = f"{what} has another shape, or there is another number of results, {EQUAL}."
                yield Failure("returns", self.name, text)
                return
            fault = tie.fault(answer.arrays[at])
            if fault:
                yield _tie_failure(tie, answer.arrays[at], *fault)
                return

    def _noticed(self, layer: Layer, failures: list[Failure]) -> list[str]:
        """Say, for each failure, whether results change by themselves, and what is not read."""
        exchanged = [_exchanged(failure, failures) for failure in failures]
        if any(exchanged):
            return exchanged
        wrong = next((f for f in failures if f.kind == "numbers"), None)
        text = self._of_calls(layer, wrong) if wrong else ""
        return [text if f is wrong else "" for f in failures]

    def _of_calls(self, layer: Layer, failure: Failure) -> str:
        """Say whether a second call returns something else, and which arguments change nothing."""
        sweeps = list(layer.differentiable) if self.name == "backward" else ["forward", *layer.updates]
        at = sweeps.index(failure.sweep)
        values = ordinary(layer, seed=10).values

        def received(values: dict[str, Array]) -> Array | None:
            arrays = self._answer(layer, values, len(sweeps)).arrays
            return arrays[at] if at < len(arrays) and np.isfinite(arrays[at]).all() else None

        before = received(values)
        if before is None:
            return ""
        if not np.array_equal(before, _or_empty(received(values))):
            return " A second call with equal arguments returns something else."
        graph = graph_of(layer, failure.sweep)
        right = evaluate_arrays(graph, values)
        names = {name: tensor.name for name, tensor in layer.tensors.items()}
        if self.name == "backward":
            names["grad_output"] = layer.cotangent.name
        ignored = []
        for name, symbol in names.items():
            draws = [
                {**values, symbol: ordinary(layer, seed).values[symbol]}
                for seed in range(11, 11 + DRAWS)
            ]
            matters = [v for v in draws if not np.array_equal(evaluate_arrays(graph, v), right)]
            if matters and all(np.array_equal(before, _or_empty(received(v))) for v in matters):
                ignored.append(name)
        if not ignored:
            return ""
        verb = "is" if len(ignored) == 1 else "are"
        return f" {' and '.join(ignored)} {verb} ignored: another value gives the same result."


def _or_empty(array: Array | None) -> Array:
    return np.zeros(0) if array is None else array


def _exchanged(wrong: Failure, failures: Sequence[Failure]) -> str:
    """Say which gradient was returned in the place of a wrong one, if one was."""
    ours = wrong.seen
    for theirs in (other.seen for other in failures if other is not wrong):
        if ours and theirs and ours.received.shape == theirs.expected.shape:
            same = np.abs(ours.received - theirs.expected) <= theirs.limit
            if ours.probe.where == theirs.probe.where and same.all():
                names = [_name_of(seen.case, seen.sweep) for seen in (theirs, ours)]
                return f" {names[0]} is returned in the place of {names[1]}."
    return ""


def _tie_failure(tie: Tie, received: Array, text: str, full: bool) -> Failure:
    rule = ""
    if full and np.allclose(received, tie.credited_in_full(), atol=1e-4):
        rule = "{} ({})".format(*CREDITED_IN_FULL)
    return Failure("ties", tie.name, f"{text} ({EQUAL}).", rule)


def _name_of(case: Layer, sweep: str) -> str:
    """Return what a result is called."""
    if sweep == "forward":
        return "O"
    return case.words[sweep] if sweep in case.updates else f"∂E/∂{case.tensors[sweep].name}"
