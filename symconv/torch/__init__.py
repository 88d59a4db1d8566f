"""Layers inside PyTorch: functions and operators with symconv's gradients, and models converted."""

from symconv.torch.autograd_functions import function
from symconv.torch.conversion import Conversion, convert
from symconv.torch.exported import network
from symconv.torch.library_ops import op

__all__ = ["Conversion", "convert", "function", "network", "op"]
