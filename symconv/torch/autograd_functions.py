"""A layer as a ``torch.autograd.Function``: first and second derivatives, forward mode, vmap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.autograd import forward_ad

from symconv.errors import SymconvError
from symconv.layers.layer import Layer
from symconv.torch.module_on_tensors import OnTensors, check_places, on_tensors


def function(
    layer: Layer, order: int = 1, target: str | None = None, accuracy: str = "direct"
) -> Callable[..., Any]:
    """Return a function of tensors that computes a layer, and that PyTorch differentiates.

    Parameters
    ----------
    layer
        The layer. The function takes its inputs in the order of ``layer.inputs``, such as
        ``(x, weight, bias)``, of these shapes and the layer's dtype, on the CPU.
    order
        2 adds second derivatives (``create_graph=True``) and forward mode (``torch.func.jvp``).
    target
        ``"numpy"`` or ``"c"``; by default C where there is a compiler.
    accuracy
        As for :func:`symconv.generate`.

    Raises
    ------
    SymconvError
        If an argument is not valid; from the function, if a tensor is not on the CPU, or automatic casts
        are on.

    Examples
    --------
    >>> import symconv
    >>> layer = symconv.Conv((1, 2, 5, 5), 3, 3)
    >>> conv = symconv.torch.function(layer)  # doctest: +SKIP
    >>> y = conv(x, weight, bias)  # doctest: +SKIP
    """
    run = on_tensors(layer, order, target, accuracy)
    plain, nested = _classes(run)
    count = len(layer.inputs)

    def applied(*tensors: Any) -> Any:
        if len(tensors) != count:
            names = ", ".join(layer.inputs)
            raise SymconvError(f"expected {count} tensors ({names}), received {len(tensors)}")
        differentiated = check_places(tensors) and torch.is_grad_enabled()
        if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
            return nested.apply(*tensors)
        return plain.apply(*tensors) if differentiated else run.forward(tensors)

    return applied


def _classes(run: OnTensors) -> tuple[Any, Any]:
    """Return the function of the output, twice: the first is quick, and unknown to ``torch.func``.

    What the second differentiates into are functions too: so they work at each level of transforms.
    """

    class Second(torch.autograd.Function):
        """The gradients of second order, of changes, the upstream gradient and the inputs."""

        @staticmethod
        def forward(*given: Any) -> Any:
            last = len(run.places)
            return run.double_backward(given[:last], given[last], given[last + 1 :])

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.set_materialize_grads(False)

        @staticmethod
        def backward(ctx: Any, *changes: Any) -> Any:
            raise SymconvError("order = 2: third derivatives are not computed")

        @staticmethod
        def vmap(info: Any, in_dims: Any, *inputs: Any) -> Any:
            return _mapped(Second.apply, info.batch_size, in_dims, inputs)

    class Backward(torch.autograd.Function):
        """The gradients that a mask names, of the upstream gradient and the inputs."""

        @staticmethod
        def forward(needed: tuple[bool, ...], grad: Any, *inputs: Any) -> Any:
            return tuple(run.backward(grad, inputs, needed))

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.needed = inputs[0]
            ctx.save_for_backward(*inputs[1:])
            ctx.save_for_forward(*inputs[1:])

        @staticmethod
        def backward(ctx: Any, *changes: Any) -> Any:
            _need_second(run)
            grad, *inputs = ctx.saved_tensors
            given = [_or_zero(changes[at], inputs[at]) for at in run.places]
            of_grad, *found = Second.apply(*given, grad, *inputs)
            return None, of_grad, *_placed(run, found)

        @staticmethod
        def jvp(ctx: Any, _: Any, of_grad: Any, *changes: Any) -> Any:
            """Second derivatives are symmetric: the gradients change as those of the change do."""
            _need_second(run)
            grad, *inputs = ctx.saved_tensors
            given = [_or_zero(changes[at], inputs[at]) for at in run.places]
            moved = _placed(run, Second.apply(*given, grad, *inputs)[1:])
            found = Backward.apply(ctx.needed, _or_zero(of_grad, grad), *inputs)
            return tuple(None if a is None else a + b for a, b in zip(found, moved, strict=True))

        @staticmethod
        def vmap(info: Any, in_dims: Any, *inputs: Any) -> Any:
            return _mapped(Backward.apply, info.batch_size, in_dims, inputs)

    count = len(run.layer.inputs)

    class Tangent(torch.autograd.Function):
        """The output's change to first order, of the inputs and their changes."""

        @staticmethod
        def forward(*given: Any) -> Any:
            return run.tangent(given[:count], given[count:])

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            inputs, changes = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
            found = Second.apply(*changes, grad, *inputs)
            needed = tuple(at in run.places for at in range(count))
            of_changes = Backward.apply(needed, grad, *inputs)
            return *_placed(run, found[1:]), *(of_changes[at] for at in run.places)

        @staticmethod
        def vmap(info: Any, in_dims: Any, *inputs: Any) -> Any:
            return _mapped(Tangent.apply, info.batch_size, in_dims, inputs)

    class Forward(torch.autograd.Function):
        """The layer."""

        @staticmethod
        def forward(*inputs: Any) -> Any:
            return run.forward(inputs)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)
            if isinstance(output, tuple):
                ctx.mark_non_differentiable(*output[1:])  # running statistics

        @staticmethod
        def backward(ctx: Any, grad: Any, *_: Any) -> Any:
            return Backward.apply(tuple(ctx.needs_input_grad), grad, *ctx.saved_tensors)

        @staticmethod
        def jvp(ctx: Any, *changes: Any) -> Any:
            _need_second(run)
            inputs = ctx.saved_tensors
            return Tangent.apply(*inputs, *(_or_zero(changes[at], inputs[at]) for at in run.places))

        @staticmethod
        def vmap(info: Any, in_dims: Any, *inputs: Any) -> Any:
            return _mapped(Forward.apply, info.batch_size, in_dims, inputs)

    class Plain(torch.autograd.Function):
        """The layer where no transform is active: its context is not set up apart."""

        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            ctx.save_for_backward(*inputs)
            found = run.forward(inputs)
            if isinstance(found, tuple):
                ctx.mark_non_differentiable(*found[1:])  # running statistics
            return found

        @staticmethod
        def backward(ctx: Any, grad: Any, *_: Any) -> Any:
            if torch.is_grad_enabled():  # the gradients are differentiated as well
                return Backward.apply(tuple(ctx.needs_input_grad), grad, *ctx.saved_tensors)
            return tuple(run.backward(grad, ctx.saved_tensors, ctx.needs_input_grad))

    return Plain, Forward


def _need_second(run: OnTensors) -> None:
    if run.order == 1:
        raise SymconvError("order = 1: must be 2 for second derivatives and forward mode")


def _or_zero(change: Any, like: Any) -> Any:
    return torch.zeros_like(like) if change is None else change


def _placed(run: OnTensors, found: Sequence[Any]) -> list[Any]:
    """Return gradients by the places of the inputs; None for an input without one."""
    known = dict(zip(run.places, found, strict=True))
    return [known.get(at) for at in range(len(run.layer.inputs))]


def _mapped(
    apply: Callable[..., Any], size: int, in_dims: Sequence[int | None], inputs: Sequence[Any]
) -> Any:
    """Return what a function gives for each slice, stacked, and along which axis."""
    rows = [
        apply(
            *(
                given.select(axis, at).contiguous() if isinstance(axis, int) else given
                for given, axis in zip(inputs, in_dims, strict=True)
            )
        )
        for at in range(size)
    ]
    if not isinstance(rows[0], tuple):
        return torch.stack(rows), 0
    columns = list(zip(*rows, strict=True))
    stacked = [None if column[0] is None else torch.stack(column) for column in columns]
    return tuple(stacked), tuple(None if tensor is None else 0 for tensor in stacked)
