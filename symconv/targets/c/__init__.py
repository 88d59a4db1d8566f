"""C99: kernels as functions that need no memory but what the caller gives."""
