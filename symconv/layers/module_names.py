"""What a module calls gradients with respect to a layer's inputs."""

from __future__ import annotations

_SHORT = {"weight": "w", "bias": "b"}


def gradient_function(argument: str) -> str:
    """Return the name of the function that computes an input's gradient.

    Examples
    --------
    >>> gradient_function("x"), gradient_function("weight")
    ('input_gradient', 'weight_gradient')
    """
    return f"{'input' if argument == 'x' else argument.rstrip('_')}_gradient"


def gradient_array(argument: str) -> str:
    """Return the name of the array that holds an input's gradient.

    Examples
    --------
    >>> gradient_array("x"), gradient_array("weight")
    ('gx', 'gw')
    """
    return f"g{_SHORT.get(argument, argument)}"


def upstream_array(argument: str) -> str:
    """Return what ``double_backward`` calls the upstream gradient of an input's gradient.

    Examples
    --------
    >>> upstream_array("x"), upstream_array("weight")
    ('ggx', 'ggw')
    """
    return f"g{gradient_array(argument)}"
