"""What a user asks for: frozen, validated layers, each of which yields its program."""

from symconv.layers.activation import Activation
from symconv.layers.conv import Conv, ConvTranspose
from symconv.layers.cross_entropy import SoftmaxCrossEntropy
from symconv.layers.dropout import Dropout
from symconv.layers.filter import Filter
from symconv.layers.group_norm import GroupNorm, InstanceNorm
from symconv.layers.index_notation import Contraction
from symconv.layers.layer import Layer, rebuild
from symconv.layers.layer_norm import LayerNorm
from symconv.layers.linear import Linear
from symconv.layers.local_response_norm import LocalResponseNorm
from symconv.layers.losses import BinaryCrossEntropyWithLogits, MeanSquaredError
from symconv.layers.matmul import MatMul
from symconv.layers.multiply import Multiply
from symconv.layers.network import Network
from symconv.layers.normalisation import BatchNorm
from symconv.layers.pad import Pad
from symconv.layers.pixel_shuffle import PixelShuffle
from symconv.layers.pool import AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool
from symconv.layers.prelu import PReLU
from symconv.layers.reductions import ReduceMax, ReduceMean, ReduceSum
from symconv.layers.shapes import Add, Concat, Flatten, Reshape
from symconv.layers.slice import Slice
from symconv.layers.softmax import Softmax
from symconv.layers.transpose import Transpose
from symconv.layers.upsample import Upsample

__all__ = [
    "Activation",
    "Add",
    "AvgPool",
    "BatchNorm",
    "BinaryCrossEntropyWithLogits",
    "Concat",
    "Contraction",
    "Conv",
    "ConvTranspose",
    "Dropout",
    "Filter",
    "Flatten",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GroupNorm",
    "InstanceNorm",
    "Layer",
    "LayerNorm",
    "Linear",
    "LocalResponseNorm",
    "MatMul",
    "MaxPool",
    "MeanSquaredError",
    "Multiply",
    "Network",
    "PReLU",
    "Pad",
    "PixelShuffle",
    "ReduceMax",
    "ReduceMean",
    "ReduceSum",
    "Reshape",
    "Slice",
    "Softmax",
    "SoftmaxCrossEntropy",
    "Transpose",
    "Upsample",
    "rebuild",
]
