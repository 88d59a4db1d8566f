"""NumPy: kernels as the text of standalone modules."""
