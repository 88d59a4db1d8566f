"""Layers inside JAX: functions with symconv's gradients, compiled into its programs."""

from symconv.jax.custom_functions import function

__all__ = ["function"]
