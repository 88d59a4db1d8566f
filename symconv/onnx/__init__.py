"""ONNX models as networks, and networks as ONNX models."""

from symconv.onnx.model import Model
from symconv.onnx.reading import load, read
from symconv.onnx.writing import save

__all__ = ["Model", "load", "read", "save"]
