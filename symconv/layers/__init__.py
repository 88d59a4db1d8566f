"""What a user asks for: frozen, validated layers, each of which yields its program."""

from symconv.layers.activation import Activation
from symconv.layers.conv import Conv, ConvTranspose
from symconv.layers.cross_entropy import SoftmaxCrossEntropy
from symconv.layers.filter import Filter
from symconv.layers.index_notation import Contraction
from symconv.layers.layer import Layer, rebuild
from symconv.layers.linear import Linear
from symconv.layers.losses import MeanSquaredError
from symconv.layers.network import Network
from symconv.layers.normalisation import BatchNorm, LayerNorm
from symconv.layers.pool import AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool
from symconv.layers.shapes import Add, Concat, Flatten, Reshape
from symconv.layers.softmax import Softmax

__all__ = [
    "Activation",
    "Add",
    "AvgPool",
    "BatchNorm",
    "Concat",
    "Contraction",
    "Conv",
    "ConvTranspose",
    "Filter",
    "Flatten",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "Layer",
    "LayerNorm",
    "Linear",
    "MaxPool",
    "MeanSquaredError",
    "Network",
    "Reshape",
    "Softmax",
    "SoftmaxCrossEntropy",
    "rebuild",
]
