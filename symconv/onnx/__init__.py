"""ONNX models as networks: ``network, params = symconv.onnx.load("model.onnx")``."""

from symconv.onnx.reading import load

__all__ = ["load"]
