"""The bridge to JAX."""
