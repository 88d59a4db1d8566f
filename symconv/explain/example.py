"""Worked examples with numbers, of layers and of networks."""

from __future__ import annotations

from symconv.explain.chain import Chain, worked_network
from symconv.explain.numbers import Given
from symconv.explain.worked import Worked, worked_layer
from symconv.layers.arguments import refuse
from symconv.layers.layer import Layer


def worked(layer: Layer, numbers: Given = 0, blanks: bool = False) -> Worked | Chain:
    """Work out a small layer or network with numbers: its output and its gradients, element by element.

    Parameters
    ----------
    layer
        A layer whose results are sums of products, or maxima, of elements; or a network.
    numbers
        A seed for whole numbers, or arrays by the names of the inputs: ``"x"``, ``"weight"``,
        ``"grad_output"``; of a network, ``"x"``, ``"labels"`` and parameters such as
        ``"conv1.weight"``. Inputs that are not named are drawn.
    blanks
        Whether the answers are left out, to be filled in: an exercise.

    Returns
    -------
    Worked or Chain
        The example; ``.text()`` and ``.latex()`` write it.

    Raises
    ------
    SymconvError
        If the layer is too large or has other steps, or an array has the wrong shape.

    Examples
    --------
    >>> import symconv
    >>> layer = symconv.Conv((1, 1, 1, 3), 1, (1, 2), bias=False)
    >>> example = symconv.worked(layer, {"x": [[1, 2, 3]], "weight": [[4, 5]], "grad_output": [[1, 1]]})
    >>> print(example.text().splitlines()[11].strip())
    O12 = F11·X12 + F12·X13 = 4·2 + 5·3 = 23
    """
    if not isinstance(layer, Layer):
        raise refuse("layer", layer, "a layer")
    if layer.network:
        return worked_network(layer.network, numbers, blanks)
    return worked_layer(layer, numbers, blanks)
