"""ONNX models as networks: ``network, params = symconv.onnx.load("model.onnx")``."""

from symconv.onnx.model import Model
from symconv.onnx.reading import load, read

__all__ = ["Model", "load", "read"]
