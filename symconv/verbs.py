"""The verbs, each a function that returns a value."""

from __future__ import annotations

import html
import keyword
import math
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from symconv.bench.growth import Growth, time_families
from symconv.bench.peers import absent, versions
from symconv.bench.report import Benchmark
from symconv.bench.row import FAST, OURS, limits, measure, processor
from symconv.bench.timing import one_core
from symconv.bench.tune import tune as measure_algorithms
from symconv.check.callables import Backward, Forward, check_callables
from symconv.check.modules import check_module, dtype_kept, layer_of, rebinding
from symconv.check.report import Report
from symconv.derive.derivation import Derivation, derive_layer
from symconv.errors import SymconvError
from symconv.explain.miniature import miniature
from symconv.explanation import Explanation
from symconv.files import layer_in, load_source, read_module, tuning_text, write_texts
from symconv.layers.arguments import choice, refuse
from symconv.layers.conv import Conv
from symconv.layers.filter import Filter, Nested, with_weight
from symconv.layers.layer import Layer
from symconv.layers.network import Network
from symconv.notation.monomials import term_count
from symconv.plan.layer import Plan
from symconv.plan.network import NetworkPlan, plan_module
from symconv.plan.tuning import Tuning, tuned
from symconv.prove.layer import prove_layer
from symconv.prove.theorems import Proof
from symconv.render.network import render_module
from symconv.version import __version__

MOST_TERMS_CHECKED = 100_000  # of a layer whose own module is checked for its page


@dataclass(frozen=True, repr=False)
class Unit:
    """A generated module.

    Attributes
    ----------
    name
        The module's name.
    source
        Its text.
    plan
        What was decided for its layer.
    tuning
        What that rests on, if it was measured.
    """

    name: str
    source: str
    plan: Plan | NetworkPlan
    tuning: Tuning | None = None

    def write(self, folder: str | os.PathLike[str], force: bool = False) -> Path:
        """Write ``folder/name.py``, and ``name.tuning.json`` if it has one; return the former's path.

        Raises
        ------
        SymconvError
            If a file that symconv did not generate is there and ``force`` is not set, or the disk
            refuses.
        """
        path = self.path(folder)
        texts = {path: self.source}
        if self.tuning is not None:
            texts[path.with_suffix(".tuning.json")] = tuning_text(self.tuning, __version__)
        write_texts(texts, force)
        return path

    def __repr__(self) -> str:
        lines = self.source.count("\n")
        return f"Unit({self.name!r}: a module for {type(self.plan.layer).__name__}, {lines} lines)"

    def _repr_html_(self) -> str:
        """Show a notebook the module's text, folded away."""
        return f"<details><summary>{self!r}</summary><pre>{html.escape(self.source)}</pre></details>"

    def path(self, folder: str | os.PathLike[str]) -> Path:
        """Return where the module belongs in a folder."""
        return Path(folder) / f"{self.name}.py"

    def load(self) -> ModuleType:
        """Return the module, run from its text."""
        return load_source(self.name, self.source)


def derive(layer: Layer, view: str | None = None, full: bool = False) -> Derivation:
    """Derive a layer's gradients from the chain rule, step by step.

    Parameters
    ----------
    layer
        The layer.
    view
        ``"matrix"``: X, F and ∂E/∂O written out, one plane, at most two spatial axes. ``"index"``:
        sums over indices, any layer. None chooses matrices for one small plane, else indices.
    full
        Whether every element, term and phase is printed. Without it, inputs up to 4×4 with filters up
        to 3×3 are printed whole, and of larger ones the first elements.

    Raises
    ------
    SymconvError
        If the view is neither, or the layer does not fit the matrix view.

    Examples
    --------
    >>> import symconv
    >>> derivation = symconv.derive(symconv.Conv((1, 1, 3, 3), 1, 2, bias=False))
    >>> print(derivation.steps[5].name)
    Apply the chain rule for ∂E/∂X
    >>> derivation.input_gradient[1, 1]
    F11*G22 + F12*G21 + F21*G12 + F22*G11
    """
    return derive_layer(_a_layer(layer), view, full)


def prove(layer: Layer) -> Proof:
    """Prove that a layer's gradients are what the theorems say.

    T1: ∂E/∂F is a correlation; T2: ∂E/∂X is a full convolution with the filter rotated by 180°, T2′
    its polyphase form; T3: convolution is correlation with the rotated filter; T4: adjointness, T4′
    the transposed convolution is ∂E/∂X; T6: padding modes. Each is an instance of a theorem for every
    size, whose certificate :mod:`symconv.prove.checker` accepts; a layer of few terms is compared term
    by term, too. Each has false claims beside it, with their counterexamples.

    Every theorem has a status: ``"proved"``, ``"compared"`` (all terms, for these sizes), ``"tested"``
    (in floating point), ``"refuted"`` or ``"open"``. The proof's ``holds`` is True if every theorem is
    proved or compared, False if one is refuted, else None; the proof itself is true only in the first
    case.

    Examples
    --------
    >>> import symconv
    >>> proof = symconv.prove(symconv.MaxPool((1, 1, 4, 4), 2))
    >>> proof.holds, proof.theorems[0].status
    (True, 'proved')
    """
    return prove_layer(_a_layer(layer))


def generate(
    layer: Layer,
    name: str,
    weight: Nested | None = None,
    order: int = 1,
    accuracy: str = "direct",
    tuning: Tuning | None = None,
) -> Unit:
    """Return the standalone module that computes a layer and its gradients.

    Parameters
    ----------
    layer
        The layer, for exactly its sizes.
    name
        The module's name: an ASCII Python identifier.
    weight
        Of a :class:`Conv`: its filter, if that is known; the module is that of the :class:`Filter`.
    order
        2 adds derivatives of second order: ``jvp`` and ``double_backward``.
    accuracy
        ``"direct"``: plain sums of products. ``"fast"``: Winograd's algorithms and Fourier transforms,
        too, where they are expected to be faster; they round more, docstrings say by how much.
    tuning
        What :func:`tune` measured: the fastest algorithms are chosen by that.

    Raises
    ------
    SymconvError
        If the name is not one, the order is neither 1 nor 2, the accuracy is neither, the layer has no
        such weight, or the tuning is for another layer.

    Examples
    --------
    >>> import numpy as np, symconv
    >>> unit = symconv.generate(symconv.Conv((1, 1, 3, 3), 1, 2, bias=False), "article")
    >>> module = unit.load()
    >>> x, weight = (np.ones(s, np.float32) for s in ((1, 1, 3, 3), (1, 1, 2, 2)))
    >>> module.forward(x, weight).shape
    (1, 1, 2, 2)
    """
    check_name(name)
    layer = _a_layer(layer) if weight is None else _with_weight(_a_layer(layer), weight)
    plan = plan_module(layer, check_order(order), check_accuracy(accuracy))
    if tuning is not None:
        if not isinstance(tuning, Tuning):
            raise SymconvError(f"tuning = {tuning!r}: must be what tune or read_tuning returned")
        plan = tuned(_of_layer(plan), tuning)
    return Unit(name, render_module(plan, name, __version__), plan, tuning)


def tune(
    layer: Layer,
    order: int = 1,
    accuracy: str = "direct",
    seconds: float = 2.0,
    advance: Callable[[], None] = lambda: None,
) -> Tuning:
    """Measure, on one core of this machine, every algorithm that could compute a layer's functions.

    Parameters
    ----------
    layer, order, accuracy
        As for :func:`generate`; no network.
    seconds
        For each correlation of a function, all its algorithms together.
    advance
        Is called after each function.

    Raises
    ------
    SymconvError
        If an argument is not valid.
    """
    check_seconds(seconds)
    plan = plan_module(_a_layer(layer), check_order(order), check_accuracy(accuracy))
    return measure_algorithms(_of_layer(plan), seconds, load_source, advance)


def _with_weight(layer: Layer, weight: Nested) -> Filter:
    if not isinstance(layer, Conv):
        raise SymconvError("weight: is an argument for a Conv only")
    return with_weight(layer, weight)


def _of_layer(plan: Plan | NetworkPlan) -> Plan:
    if isinstance(plan, NetworkPlan):
        raise SymconvError("layer: must be a single layer; networks are not tuned")
    return plan


def _a_layer(layer: object) -> Layer:
    if not isinstance(layer, Layer):
        raise refuse("layer", layer, "a layer")
    return layer


def check(
    subject: Unit | ModuleType | str | os.PathLike[str] | Layer,
    forward: Forward | None = None,
    backward: Backward | None = None,
) -> Report:
    """Check a generated module, or anybody's functions, against the layer's own sums.

    Parameters
    ----------
    subject
        What :func:`generate` returned, a generated module, the path of a generated file (which is
        run), or a layer: then ``forward`` and ``backward`` are checked.
    forward, backward
        Functions with a generated module's signatures: ``forward(x, weight, bias)`` and
        ``backward(grad_output, x, weight, bias)``, without ``bias`` if the layer has none; of another
        layer, ``forward(x)``, or whatever its module's takes.

    Raises
    ------
    SymconvError
        If a file cannot be read or was not generated by symconv, or there is nothing to check.

    Examples
    --------
    >>> import numpy as np, symconv
    >>> layer = symconv.Activation((3, 4), "relu")
    >>> assert symconv.check(layer, backward=lambda g, x: g * (x > 0))
    >>> print(symconv.check(layer, forward=lambda x: np.maximum(x, -1)).results[0].detail)
    O[0, 0] = -1, expected 0. Smallest failing case: Activation(input_shape=(1, 1), function='relu').
    """
    if isinstance(subject, Layer):
        if isinstance(subject, Network):
            raise SymconvError("layer: must be a single layer; a network's generated module is checked")
        if forward is None and backward is None:
            raise SymconvError(
                "forward = None: must be a function, or backward must be one; what symconv generates is "
                "checked with check(generate(layer, name))"
            )
        for name, function in (("forward", forward), ("backward", backward)):
            if function is not None and not callable(function):
                raise SymconvError(f"{name} = {function!r}: must be a function")
        return Report(type(subject).__name__, check_callables(subject, forward, backward))
    if forward is not None or backward is not None:
        raise SymconvError(
            "subject: must be a layer for functions to be checked, such as symconv.Linear((8, 3), 4); "
            f"received {subject!r}"
        )
    if isinstance(subject, Unit):
        return _check_source(subject.name, subject.source)
    if isinstance(subject, ModuleType):
        with dtype_kept(subject):
            return check_module(subject.__name__, layer_of(subject), rebinding(subject))
    if not isinstance(subject, str | os.PathLike):
        raise SymconvError(f"subject = {subject!r}: must be a unit, a module, a file's path or a layer")
    return _check_source(*read_module(subject))


def explain(layer: Layer) -> Explanation:
    """Explain a layer: draw it and its gradients, derive and prove them, generate and check a module.

    The pictures show, for this layer, the filter that slides over the input, ∂E/∂O that slides over
    the input, and the rotated filter that slides over ∂E/∂O with a border of zeros. Large layers are
    drawn, and the module checked, for a smaller layer with the same stride, dilation and padding.

    Parameters
    ----------
    layer
        The layer.

    Raises
    ------
    SymconvError
        If it is not a layer.

    Examples
    --------
    >>> import symconv
    >>> page = symconv.explain(symconv.Conv((1, 1, 3, 3), 1, 2, bias=False)).html()
    >>> "full convolution of G with F" in page
    True
    """
    layer = _a_layer(layer)
    checked = layer if term_count(layer.graph) <= MOST_TERMS_CHECKED else miniature(layer)
    unit = generate(layer, "layer")
    if checked == layer:
        report = check(unit)
    else:
        small = check(generate(checked, "layer"))
        report = Report("the module of the smaller layer that is drawn", small.results)
    return Explanation(layer, derive(layer), prove(layer), unit.source, report)


def bench(
    files: Sequence[str | os.PathLike[str]],
    seconds: float = 4.0,
    advance: Callable[[], None] = lambda: None,
) -> Benchmark:
    """Time generated modules of convolutions against what else is installed, on one core.

    Parameters
    ----------
    files
        Generated modules of ``Conv`` in float32, without bias.
    seconds
        For each module and sweep, all libraries together.
    advance
        Is called after each file.

    Raises
    ------
    SymconvError
        If a file cannot be read, or is no such module, or the seconds are no positive number.
    """
    check_seconds(seconds)
    modules = []
    for file in files:
        path, source = read_module(file)
        layer = layer_in(path, source)
        if not isinstance(layer, Conv) or layer.bias or layer.dtype != "float32":
            raise SymconvError(f"{path}: must be a Conv in float32 without bias")
        ours = {OURS: load_source("benched", source)}
        fast = generate(layer, "benched", accuracy="fast")
        if any(function.fast for function in _of_layer(fast.plan).functions):
            ours[FAST] = fast.load()
        modules.append((Path(path).stem, layer, ours))
    rows = []
    with one_core():
        found = limits()
        for name, layer, ours in modules:
            rows.append(measure(name, layer, ours, seconds))
            for module in ours.values():
                module.release()
            advance()
    machine = processor()
    date = time.strftime("%Y-%m-%d")
    return Benchmark(tuple(rows), found, machine, date, versions(), tuple(absent()))


def growth(seconds: float = 1.0, advance: Callable[[], None] = lambda: None) -> Growth:
    """Time families of convolutions that differ in one size, on one core.

    Parameters
    ----------
    seconds
        For each layer and sweep, all libraries together.
    advance
        Is called after each layer.

    Raises
    ------
    SymconvError
        If the seconds are no positive number.
    """
    return time_families(check_seconds(seconds), load_source, advance)


def _check_source(subject: str, source: str) -> Report:
    layer = layer_in(subject, source)

    def load(dtype: object) -> ModuleType:
        module = load_source("checked", source)
        if dtype is not None:
            module.__dict__["DTYPE"] = dtype
        return module

    return check_module(subject, layer, load)


def check_name(name: object) -> str:
    """Return a name that a module can have."""
    if (
        not isinstance(name, str)
        or not re.fullmatch("[A-Za-z_][A-Za-z0-9_]{0,99}", name)
        or keyword.iskeyword(name)
        or name in sys.stdlib_module_names | {"numpy", "symconv"}
    ):
        raise SymconvError(
            f"name = {name!r}: must be a Python identifier in ASCII of at most 100 letters, no keyword "
            "and no module that the generated one imports"
        )
    return name


def check_seconds(seconds: float) -> float:
    """Return a time that something may take."""
    real = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not real or not 0 < seconds < math.inf:
        raise SymconvError(f"seconds = {seconds!r}: must be a positive number")
    return seconds


def check_order(order: object) -> int:
    """Return the order of derivatives that a module can have."""
    if isinstance(order, bool) or order not in (1, 2):
        raise SymconvError(f"order = {order!r}: must be 1 or 2")
    return 2 if order == 2 else 1


def check_accuracy(accuracy: object) -> str:
    """Return the accuracy that a module can have."""
    return choice("accuracy", accuracy, ("direct", "fast"))
