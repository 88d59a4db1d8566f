"""What a user asks for: frozen, validated layers, each of which yields its program."""

from symconv.layers.conv import Conv, ConvTranspose
from symconv.layers.layer import Layer, rebuild

__all__ = ["Conv", "ConvTranspose", "Layer", "rebuild"]
