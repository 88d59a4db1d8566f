"""Target languages: a folder each, with what its statements look like, names, and costs."""
