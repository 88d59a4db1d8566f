"""Theorems about a layer's gradients, what they rest on, and counterexamples to false ones."""
