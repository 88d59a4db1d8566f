"""How each algorithm computes: from the sizes of a correlation, a pool or a sum to a kernel."""
