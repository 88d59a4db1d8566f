"""Runs modules and callables: exactly, on polynomials or integers, and numerically."""
