"""Convolutions of Dask's arrays: lazy, in proven tiles, with their gradients."""

from symconv.dask.tiled_layers import backward, forward, input_gradient, weight_gradient

__all__ = ["backward", "forward", "input_gradient", "weight_gradient"]
