"""What a user asks for: frozen, validated layers, each of which yields its program."""

from symconv.layers.activation import Activation
from symconv.layers.conv import Conv, ConvTranspose
from symconv.layers.layer import Layer, rebuild
from symconv.layers.linear import Linear
from symconv.layers.pool import AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool
from symconv.layers.shapes import Add, Concat, Flatten, Reshape

__all__ = [
    "Activation",
    "Add",
    "AvgPool",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Flatten",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "Layer",
    "Linear",
    "MaxPool",
    "Reshape",
    "rebuild",
]
