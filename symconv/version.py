"""The version, of this package and of what it generates."""

__version__ = "0.1.0"
