"""A layer as a function of JAX: primitives with rules for both modes, so that all transforms apply.

The tangent is linear in the changes, and its transpose is the gradient; the gradient's own change is a
gradient plus second derivatives, which are symmetric. So four primitives give ``grad``, ``jvp``, and
each of one of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from symconv.errors import SymconvError
from symconv.jax.ffi_handlers import Functions, functions
from symconv.layers.layer import Layer
from symconv.layers.module_names import gradient_function
from symconv.verbs import a_layer


def function(
    layer: Layer, order: int = 1, target: str | None = None, accuracy: str = "direct"
) -> Callable[..., jax.Array]:
    """Return a function of JAX's arrays that computes a layer, and that JAX transforms.

    ``jax.jit``, ``grad`` and ``vmap`` apply to it, with order 2 also ``jvp``, ``grad`` of ``grad``,
    ``jvp`` of ``grad`` and ``jax.hessian``. It runs on the CPU. A label that is not a class gives NaN.

    Parameters
    ----------
    layer
        The layer. The function takes its inputs in the order of ``layer.inputs``, of these shapes and
        the layer's dtype.
    order
        2 adds forward mode and second derivatives.
    target
        ``"c"`` runs inside XLA's programs, by its foreign function interface; ``"numpy"`` is called
        back from them. By default C where there is a compiler.
    accuracy
        As for :func:`symconv.generate`.

    Raises
    ------
    SymconvError
        If an argument is not valid, or JAX has no float64 and the layer does.

    Examples
    --------
    >>> conv = symconv.jax.function(symconv.Conv((1, 2, 5, 5), 3, 3))  # doctest: +SKIP
    >>> jax.jit(jax.grad(lambda x: conv(x, weight, bias).sum()))(x)  # doctest: +SKIP
    """
    if a_layer(layer).network or layer.any_batch or layer.statistic_names:
        raise SymconvError("layer: must be a single layer of a number of samples, without statistics")
    if jax.dtypes.canonicalize_dtype(layer.dtype) != layer.dtype:
        raise SymconvError("layer: has float64: set jax_enable_x64")
    rules = _Rules(functions(layer, order, target, accuracy))

    def applied(*arrays: Any) -> jax.Array:
        names, shapes = [*layer.inputs], [*layer.inputs.values()]
        if len(arrays) != len(names):
            raise SymconvError(
                f"expected {len(names)} arrays ({', '.join(names)}), received {len(arrays)}"
            )
        for name, shape, array in zip(names, shapes, arrays, strict=True):
            if jnp.shape(array) != shape:
                raise SymconvError(f"{name}: expected shape {shape}, received {jnp.shape(array)}")
            if name not in layer.classes and jnp.result_type(array) != layer.dtype:
                kind = jnp.result_type(array)
                raise SymconvError(f"{name}: expected dtype {layer.dtype}, received {kind}")
        given, known = [], jnp.asarray(True)
        for name, array in zip(names, map(jnp.asarray, arrays), strict=True):
            if name in layer.classes:  # a program cannot raise, so its result is undefined
                own = _are_classes(layer, name, array)
                known, array = known & own.all(), jnp.where(own, array, 0)
            given.append(jnp.asarray(array, layer.dtype))
        found: jax.Array = rules.forward.bind(*given)[0]
        return jnp.where(known, found, jnp.nan) if layer.classes else found

    return applied


def _are_classes(layer: Layer, name: str, labels: jax.Array) -> jax.Array:
    """Return which labels are classes, or the one that is ignored."""
    known = (labels >= 0) & (labels < layer.classes[name])
    ignored = layer.ignored.get(name)
    return known if ignored is None else known | (labels == ignored)


class _Rules:
    """The primitives of a layer, and how JAX differentiates, transposes and maps them.

    Each takes the layer's inputs first; then the tangent takes their changes, the gradient the upstream
    gradient, and the curvature the upstream gradient and the changes.
    """

    def __init__(self, run: Functions) -> None:
        layer = run.layer
        self.run, self.layer = run, layer
        self.shapes = [*layer.inputs.values()]
        self.places = [at for at, n in enumerate(layer.inputs) if n in layer.differentiable]
        self.changed = [self.shapes[at] for at in self.places]
        output = layer.output_shape
        self.forward = self._primitive("forward", [output], self._forward)
        self.tangent = self._primitive("tangent", [output], self._tangent)
        self.gradient = self._primitive("gradient", self.changed, self._gradient)
        self.curvature = self._primitive("curvature", self.changed, self._curvature)
        ad.primitive_jvps[self.forward] = self._forward_jvp
        ad.primitive_jvps[self.tangent] = self._tangent_jvp
        ad.primitive_transposes[self.tangent] = self._tangent_transposed
        ad.primitive_jvps[self.gradient] = self._gradient_jvp
        ad.primitive_transposes[self.gradient] = self._gradient_transposed
        ad.primitive_jvps[self.curvature] = self._curvature_jvp
        ad.primitive_transposes[self.curvature] = self._curvature_transposed

    def _primitive(self, name: str, shapes: Sequence[Any], computed: Callable[..., Any]) -> Primitive:
        """Return a primitive with results of these shapes."""
        found = Primitive(f"symconv_{type(self.layer).__name__.lower()}_{name}")
        found.multiple_results = True
        results = [jax.core.ShapedArray(shape, jnp.dtype(self.layer.dtype)) for shape in shapes]
        found.def_abstract_eval(lambda *given, **more: results)
        static = ("needed",) if name == "gradient" else ()
        found.def_impl(jax.jit(computed, static_argnames=static))
        mlir.register_lowering(found, mlir.lower_fun(computed, multiple_results=True), platform="cpu")

        def mapped(given: Any, axes: Any, **more: Any) -> Any:
            rows = [
                jnp.moveaxis(x, axis, 0) if axis is not None else x
                for x, axis in zip(given, axes, strict=True)
            ]
            moving = [at for at, axis in enumerate(axes) if axis is not None]

            def one(slices: Any) -> Any:
                inputs = [*rows]
                for at, piece in zip(moving, slices, strict=True):
                    inputs[at] = piece
                return found.bind(*inputs, **more)

            return jax.lax.map(one, [rows[at] for at in moving]), [0] * len(results)

        batching.primitive_batchers[found] = mapped
        return found

    # what is computed

    def _forward(self, *inputs: Any) -> Any:
        return self.run.run("forward", inputs, [self.layer.output_shape])

    def _tangent(self, *given: Any) -> Any:
        self._need_second()
        return self.run.run("jvp", given, [self.layer.output_shape])

    def _gradient(self, *given: Any, needed: tuple[bool, ...]) -> Any:
        *inputs, grad = given
        if all(needed):
            return self.run.run("backward", (grad, *inputs), self.changed)
        names = [*self.layer.inputs]
        zeros = jnp.zeros((), self.layer.dtype)
        found: list[Any] = []
        for place, shape, wanted in zip(self.places, self.changed, needed, strict=True):
            if wanted:
                name = gradient_function(names[place])
                taken = self.run.taken[name]
                arrays = [grad if n == "grad_output" else inputs[names.index(n)] for n in taken]
                found += self.run.run(name, arrays, [shape])
            else:
                found.append(jnp.broadcast_to(zeros, shape))
        return tuple(found)

    def _curvature(self, *given: Any) -> Any:
        self._need_second()
        count = len(self.shapes)
        inputs, grad, changes = given[:count], given[count], given[count + 1 :]
        shapes = [self.layer.output_shape, *self.changed]
        return self.run.run("double_backward", (*changes, grad, *inputs), shapes)[1:]

    def _need_second(self) -> None:
        if self.run.order == 1:
            raise SymconvError("order = 1: must be 2 for forward mode and second derivatives")

    # how it changes

    def _forward_jvp(self, inputs: Any, changes: Any) -> Any:
        given = [ad.instantiate_zeros(changes[at]) for at in self.places]
        return self.forward.bind(*inputs), self.tangent.bind(*inputs, *given)

    def _tangent_jvp(self, given: Any, changes: Any) -> Any:
        count = len(self.shapes)
        if any(type(change) is not ad.Zero for change in changes[:count]):
            raise SymconvError("forward mode of forward mode is not computed: take jvp of grad")
        moved = map(ad.instantiate_zeros, changes[count:])
        return self.tangent.bind(*given), self.tangent.bind(*given[:count], *moved)

    def _tangent_transposed(self, grads: Any, *given: Any) -> Any:
        count = len(self.shapes)
        inputs, changes = given[:count], given[count:]
        needed = tuple(map(ad.is_undefined_primal, changes))
        grad = ad.instantiate_zeros(grads[0])
        found = self.gradient.bind(*inputs, grad, needed=needed)
        return [None] * count + [g if n else None for g, n in zip(found, needed, strict=True)]

    def _gradient_jvp(self, given: Any, changes: Any, *, needed: tuple[bool, ...]) -> Any:
        *inputs, grad = given
        *moved, of_grad = changes
        result = self.gradient.bind(*given, needed=needed)
        parts = []
        if type(of_grad) is not ad.Zero:
            parts.append(self.gradient.bind(*inputs, of_grad, needed=needed))
        if any(type(moved[at]) is not ad.Zero for at in self.places):
            by = [ad.instantiate_zeros(moved[at]) for at in self.places]
            parts.append(self.curvature.bind(*inputs, grad, *by))
        if not parts:
            return result, [jnp.zeros_like(r) for r in result]
        return result, [sum(column[1:], column[0]) for column in zip(*parts, strict=True)]

    def _gradient_transposed(self, changes: Any, *given: Any, needed: tuple[bool, ...]) -> Any:
        *inputs, _ = given
        by = map(ad.instantiate_zeros, changes)
        return [None] * len(inputs) + [*self.tangent.bind(*inputs, *by)]

    def _curvature_jvp(self, given: Any, changes: Any) -> Any:
        count = len(self.shapes) + 1
        if any(type(change) is not ad.Zero for change in changes[:count]):
            raise SymconvError("third derivatives are not computed")
        moved = map(ad.instantiate_zeros, changes[count:])
        return self.curvature.bind(*given), self.curvature.bind(*given[:count], *moved)

    def _curvature_transposed(self, grads: Any, *given: Any) -> Any:
        count = len(self.shapes) + 1
        by = map(ad.instantiate_zeros, grads)  # second derivatives are symmetric
        return [None] * count + [*self.curvature.bind(*given[:count], *by)]
