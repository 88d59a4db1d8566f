"""The chain rule as named steps: the matrix view, as on paper, and the index view, for every size."""
