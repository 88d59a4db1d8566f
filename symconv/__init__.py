"""symconv derives, proves, generates and checks the gradients of convolutional layers."""

from symconv.errors import SymconvError
from symconv.layers import Conv, ConvTranspose
from symconv.verbs import Unit, check, derive, generate, prove
from symconv.version import __version__

__all__ = [
    "Conv",
    "ConvTranspose",
    "SymconvError",
    "Unit",
    "__version__",
    "check",
    "derive",
    "generate",
    "prove",
]
