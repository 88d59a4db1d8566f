"""symconv derives, proves, generates and checks the gradients of convolutional layers."""

from symconv.errors import SymconvError
from symconv.layers import Conv, ConvTranspose

__version__ = "0.1.0"
__all__ = ["Conv", "ConvTranspose", "SymconvError"]
