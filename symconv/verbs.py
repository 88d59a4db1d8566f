"""The verbs, each a function that returns a value."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from symconv.apart import checked_apart
from symconv.check.callables import Backward, Forward, check_callables
from symconv.check.modules import check_module, dtype_kept, layer_of, rebinding
from symconv.check.report import Report
from symconv.derive.derivation import Derivation, derive_layer
from symconv.errors import KernelError, SymconvError
from symconv.explain.miniature import miniature
from symconv.explanation import NAME, Explanation
from symconv.files import (
    in_c,
    kept_files,
    layer_in,
    load_source,
    read_module,
)
from symconv.layers.arguments import refuse
from symconv.layers.filter import Filter, Nested, with_weight
from symconv.layers.layer import Layer
from symconv.lower.layer_plan import Plan
from symconv.lower.network_plan import NetworkPlan
from symconv.lower.proof import compare_plan
from symconv.lower.tuning import Tuning, tuned
from symconv.notation.monomials import term_count
from symconv.prove.layer_theorems import prove_layer
from symconv.prove.theorems import Proof
from symconv.targets.c.file import c_files
from symconv.targets.c.plan import plan_in_c
from symconv.targets.c.weights import SUFFIX, weights_text
from symconv.targets.c.wrapper import wrapper_text
from symconv.targets.numpy.cost import MIDDLING, Machine
from symconv.targets.numpy.functions import formulas_by_function
from symconv.targets.numpy.network_module import render_module
from symconv.targets.numpy.plan import plan_module
from symconv.unit import Unit
from symconv.verb_arguments import (
    check_accuracy,
    check_name,
    check_order,
    check_target,
)
from symconv.version import __version__

MOST_TERMS_CHECKED = 100_000  # of a layer whose own module is checked for its page


def derive(layer: Layer, view: str | None = None, full: bool = False) -> Derivation:
    """Derive a layer's gradients from the chain rule, step by step.

    Parameters
    ----------
    layer
        The layer.
    view
        ``"matrix"`` writes X, F and ∂E/∂O out as matrices, for one plane with at most two spatial axes.
        ``"index"`` writes sums over indices, for any layer. None chooses matrices for one small plane,
        and indices otherwise.
    full
        Whether every element, term and phase is printed. By default, inputs up to 4×4 with filters up
        to 3×3 are printed completely; larger ones are printed with their first elements only.

    Raises
    ------
    SymconvError
        If the view is not one of these, or the layer does not fit the matrix view.

    Examples
    --------
    >>> import symconv
    >>> derivation = symconv.derive(symconv.Conv((1, 1, 3, 3), 1, 2, bias=False))
    >>> print(derivation.steps[5].name)
    Apply the chain rule for ∂E/∂X
    >>> derivation.input_gradient[1, 1]
    F11*G22 + F12*G21 + F21*G12 + F22*G11
    """
    return derive_layer(a_layer(layer), view, full)


def prove(layer: Layer) -> Proof:
    """Prove that a layer's gradients have the form that the theorems state.

    For a convolution, ∂E/∂F is a correlation (T1). ∂E/∂X is a full convolution with the filter rotated
    by 180° (T2), and has a polyphase form (T2′). Convolution is correlation with the rotated filter
    (T3). The gradients are adjoints (T4). The transposed convolution is ∂E/∂X of the convolution (T4′).
    Padding modes have theorems of their own (T6).

    Each statement is an instance of a theorem for every size, whose certificate
    :mod:`symconv.prove.checker` accepts. If the layer has few terms, they are also compared one by one.
    Each theorem comes with false claims and their counterexamples.

    Every theorem has a status: ``"proved"``, ``"compared"`` (all terms, for these sizes), ``"tested"``
    (in floating point), ``"refuted"`` or ``"open"``. The proof's ``holds`` is True if every theorem is
    proved or compared, False if a theorem is refuted, and None otherwise. ``bool(proof)`` is True only
    if ``holds`` is True.

    Examples
    --------
    >>> import symconv
    >>> proof = symconv.prove(symconv.MaxPool((1, 1, 4, 4), 2))
    >>> proof.holds, proof.theorems[0].status
    (True, 'proved')
    """
    return prove_layer(a_layer(layer))


def generate(
    layer: Layer,
    name: str,
    weight: Nested | None = None,
    order: int = 1,
    accuracy: str = "direct",
    tuning: Tuning | None = None,
    machine: Machine = MIDDLING,
    target: str = "numpy",
    params: Mapping[str, object] | None = None,
) -> Unit:
    """Return the standalone module that computes a layer and its gradients.

    Parameters
    ----------
    layer
        The layer. The module computes it for exactly these sizes.
    name
        The module's name: an ASCII Python identifier.
    weight
        The filter of a :class:`Conv`, if its coefficients are known. The module is then that of a
        :class:`Filter`.
    order
        2 adds derivatives of second order: ``jvp`` and ``double_backward``.
    accuracy
        ``"direct"`` computes plain sums of products. ``"fast"`` also uses Winograd's algorithms and
        Fourier transforms where they are expected to be faster. Their rounding errors are larger; the
        module's docstrings say by how much.
    tuning
        The measurements of :func:`tune`, by which the fastest algorithms are chosen.
    machine
        What :func:`read_machine` returned: constants of a machine by which algorithms are chosen. The
        built-in ones are those of a middling machine.
    target
        ``"numpy"``, or ``"c"`` for a file in C99 with a header, and a Python module that compiles and
        calls it.

    params
        Parameters by name, for ``target="c"``: a header ``NAME_weights.h`` has them as constants.

    Raises
    ------
    SymconvError
        If the name, the order, the accuracy or the target is not valid, the weight does not fit the
        layer, the tuning is for another layer, or C cannot compute the layer: one of any batch, or with
        a Fourier transform.

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
    check_target(target, name)
    layer = a_layer(layer) if weight is None else _with_weight(a_layer(layer), weight)
    if not isinstance(machine, Machine):
        raise SymconvError(f"machine = {machine!r}: must be what read_machine returned")
    if tuning is not None and not isinstance(tuning, Tuning):
        raise SymconvError(f"tuning = {tuning!r}: must be what tune or read_tuning returned")
    check_order(order)
    check_accuracy(accuracy)
    in_c = target == "c"
    if params is not None and not in_c:
        raise SymconvError("params: are for target = 'c'; a module in Python takes them in each call")
    plan = plan_in_c(layer, order, accuracy) if in_c else plan_module(layer, order, accuracy, machine)
    compare_plan(plan)
    if tuning is not None:
        plan = tuned(single(plan), tuning, target)
    if in_c:
        unit = unit_in_c(plan, name, tuning)
        if params is None:
            return unit
        weights = {SUFFIX: weights_text(layer, name, params, __version__)}
        return dataclasses.replace(unit, beside={**unit.beside, **weights})
    return Unit(name, render_module(plan, name, __version__), plan, tuning)


def unit_in_c(plan: Plan | NetworkPlan, name: str, tuning: Tuning | None = None) -> Unit:
    """Return the files in C of a plan."""
    try:
        files = c_files(plan, name, __version__)
    except KernelError as error:
        raise SymconvError(f"target = 'c': {error}") from error
    module = wrapper_text(plan, name, __version__, files)
    beside = {".h": files.header, ".py": module}
    return Unit(name, files.source, plan, tuning, "c", beside)


def _with_weight(layer: Layer, weight: Nested) -> Filter:
    conv = layer.convolution
    if conv is None or conv.plain is None:
        raise SymconvError("weight: is an argument for a Conv only")
    return with_weight(conv.plain, weight)


def single(plan: Plan | NetworkPlan) -> Plan:
    """Return a single layer's plan that can be measured."""
    if isinstance(plan, NetworkPlan):
        raise SymconvError("layer: must be a single layer; networks are not tuned")
    if plan.layer.any_batch:
        raise SymconvError(
            f"input_shape = {plan.layer.input_shape}: must begin with a number of samples to be tuned"
        )
    return plan


def a_layer(layer: object) -> Layer:
    """Return a layer, if it is one."""
    if not isinstance(layer, Layer):
        raise refuse("layer", layer, "a layer")
    return layer


def check(
    subject: Unit | ModuleType | str | os.PathLike[str] | Layer,
    forward: Forward | None = None,
    backward: Backward | None = None,
) -> Report:
    """Check a generated module, or your own functions, against the definition of the layer.

    Parameters
    ----------
    subject
        The result of :func:`generate`, a generated module, the path of a generated file (which is
        run), or a layer. With a layer, ``forward`` and ``backward`` are checked.
    forward, backward
        Functions with the signatures of the layer's generated module. For a convolution these are
        ``forward(x, weight, bias)`` and ``backward(grad_output, x, weight, bias)``, without ``bias`` if
        the layer has none.

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
        if subject.network:
            raise SymconvError(
                "layer: must be a single layer; for a network, check its generated module"
            )
        if forward is None and backward is None:
            raise SymconvError(
                "forward = None: must be a function, or backward must be one; to check what symconv "
                "generates, call check(generate(layer, name))"
            )
        for name, function in (("forward", forward), ("backward", backward)):
            if function is not None and not callable(function):
                raise SymconvError(f"{name} = {function!r}: must be a function")
        several = subject.with_batch(3) if subject.any_batch else subject  # and all below
        return Report(type(subject).__name__, check_callables(several, forward, backward))
    if forward is not None or backward is not None:
        raise SymconvError(
            "subject: must be a layer for functions to be checked, such as symconv.Linear((8, 3), 4); "
            f"received {subject!r}"
        )
    if isinstance(subject, Unit) and subject.target == "c":
        return _check_source(
            subject.name, subject.beside[".py"], kept_files(subject.name, subject.texts(""))
        )
    if isinstance(subject, Unit):
        return _check_source(subject.name, subject.source)
    if isinstance(subject, ModuleType):
        with dtype_kept(subject):
            return check_module(subject.__name__, layer_of(subject), rebinding(subject))
    if not isinstance(subject, str | os.PathLike):
        raise SymconvError(f"subject = {subject!r}: must be a unit, a module, a file's path or a layer")
    path = Path(subject)
    is_c = path.suffix in (".c", ".h") or in_c(read_module(path)[1])
    return checked_apart(path) if is_c else check_file(path)


def check_file(file: str | os.PathLike[str]) -> Report:
    """Check a generated file in this process.

    Raises
    ------
    SymconvError
        If it cannot be read, or was not generated by symconv.
    """
    path = Path(file)
    python = path.with_suffix(".py") if path.suffix in (".c", ".h") else path
    if python != path and not path.exists():
        raise SymconvError(f"{path}: cannot be read: No such file or directory")
    _, source = read_module(python)
    if python != path and not in_c(source):
        raise SymconvError(f"{path}: belongs to no module: {python.name} is one in NumPy")
    return _check_source(str(path), source, python)


def explain(layer: Layer) -> Explanation:
    """Explain a layer: draw it and its gradients, derive and prove them, generate and check a module.

    The pictures show the filter sliding over the input, ∂E/∂O sliding over the input, and the rotated
    filter sliding over ∂E/∂O with a border of zeros. In place of a large layer, a smaller layer with the
    same stride, dilation and padding is drawn, and its module is checked.

    Parameters
    ----------
    layer
        The layer.

    Raises
    ------
    SymconvError
        If the argument is not a layer.

    Examples
    --------
    >>> import symconv
    >>> page = symconv.explain(symconv.Conv((1, 1, 3, 3), 1, 2, bias=False)).html()
    >>> "full convolution of G with F" in page
    True
    """
    shown = a_layer(layer).few
    checked = shown if term_count(shown.graph) <= MOST_TERMS_CHECKED else miniature(shown)
    unit = generate(layer, NAME)
    in_c = "" if layer.any_batch else generate(layer, NAME, target="c").source
    if checked == shown:
        report = check(unit)
    else:
        small = check(generate(checked, NAME))
        report = Report("the module of the smaller layer that is drawn", small.results)
    formulas = formulas_by_function(unit.plan)
    return Explanation(shown, derive(layer), prove(layer), unit.source, in_c, formulas, report)


def _check_source(subject: str, source: str, path: Path | None = None) -> Report:
    """Check a module's text; ``path`` is where files beside it are found."""
    layer = layer_in(subject, source)

    def load(dtype: object) -> ModuleType:
        module = load_source("checked", source, path)
        if dtype is not None:
            module.__dict__["DTYPE"] = dtype
        return module

    if in_c(source):
        try:
            load(None)._library(layer.dtype)
        except OSError as error:
            raise SymconvError(f"{subject}: {error}") from error
    return check_module(subject, layer, load)
