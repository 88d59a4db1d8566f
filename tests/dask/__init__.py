"""Convolutions of Dask's arrays."""
