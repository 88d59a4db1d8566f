"""Which algorithm computes a program at these sizes: numbers and names, no text."""
