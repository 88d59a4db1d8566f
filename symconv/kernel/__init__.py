"""Kernels: programs with places. Buffers, loops and views, run on any numbers, counted, rewritten."""
