"""Which of ONNX's operators are layers."""

from __future__ import annotations

from collections.abc import Mapping

from symconv.onnx import (
    arithmetic,
    elementwise,
    matrix_products,
    normalising,
    recurrent,
    reducing,
    resizing,
    scoring,
    shaping,
    sliding_windows,
)
from symconv.onnx.elementwise import activation
from symconv.onnx.nodes import Operator
from symconv.onnx.reducing import reduction

OPERATORS: Mapping[str, Operator] = {
    # windows
    "Conv": sliding_windows.conv,
    "ConvTranspose": sliding_windows.conv_transpose,
    "MaxPool": sliding_windows.max_pool,
    "AveragePool": sliding_windows.average_pool,
    "LpPool": sliding_windows.lp_pool,
    "GlobalAveragePool": sliding_windows.plain("GlobalAvgPool"),
    "GlobalMaxPool": sliding_windows.plain("GlobalMaxPool"),
    # normalisations
    "BatchNormalization": normalising.batch_norm,
    "InstanceNormalization": normalising.instance_norm,
    "GroupNormalization": normalising.group_norm,
    "LayerNormalization": normalising.layer_norm,
    "RMSNormalization": normalising.rms_norm,
    "LpNormalization": normalising.lp_norm,
    "MeanVarianceNormalization": normalising.mean_variance_norm,
    "LRN": normalising.response_norm,
    # products of matrices
    "Gemm": matrix_products.gemm,
    "MatMul": matrix_products.matmul,
    "Einsum": matrix_products.einsum,
    # functions of each element
    "Identity": lambda call: call.value(0),
    "Dropout": elementwise.dropout,
    "Cast": elementwise.cast,
    "Relu": activation("relu"),
    "PRelu": elementwise.prelu,
    "LeakyRelu": activation("where(x > 0, x, alpha*x)", alpha=0.01),
    "ThresholdedRelu": activation("where(x > alpha, x, 0)", alpha=1.0),
    "Elu": activation("where(x > 0, x, alpha*expm1(min(x, 0)))", alpha=1.0),
    "Celu": activation("where(x > 0, x, alpha*expm1(min(x, 0)/alpha))", alpha=1.0),
    "Selu": activation(
        "gamma*where(x > 0, x, alpha*expm1(min(x, 0)))",
        alpha=1.6732632423543772,
        gamma=1.0507009873554805,
    ),
    "Gelu": elementwise.gelu,
    "Sigmoid": activation("sigmoid"),
    "HardSigmoid": activation("max(0, min(1, alpha*x + beta))", alpha=0.2, beta=0.5),
    "HardSwish": activation("x*max(0, min(1, x/6 + 1/2))"),
    "Swish": activation("x*sigmoid(alpha*x)", alpha=1.0),
    "Mish": activation("x*tanh(softplus(x))"),
    "Softplus": activation("softplus"),
    "Softsign": activation("x/(1 + abs(x))"),
    "Shrink": activation(
        "where(x < -lambd, x + bias, where(x > lambd, x - bias, 0))", bias=0.0, lambd=0.5
    ),
    "Tanh": activation("tanh"),
    "Clip": elementwise.clip,
    "Abs": activation("abs(x)"),
    "Neg": activation("-x"),
    "Exp": activation("exp(x)"),
    "Log": activation("log(x)"),
    "Sqrt": activation("sqrt(x)"),
    "Reciprocal": activation("1/x"),
    "Erf": activation("erf(x)"),
    "Sin": activation("sin(x)"),
    "Cos": activation("cos(x)"),
    "Tan": activation("tan(x)"),
    "Sinh": activation("sinh(x)"),
    "Cosh": activation("cosh(x)"),
    "Atan": activation("atan(x)"),
    # arithmetic
    "Add": arithmetic.plus,
    "Sum": arithmetic.plus,
    "Sub": arithmetic.minus,
    "Mul": arithmetic.times,
    "Div": arithmetic.over,
    "Pow": arithmetic.power,
    "Mean": arithmetic.mean,
    "Max": arithmetic.maximum,
    "Min": arithmetic.minimum,
    "Where": arithmetic.where,
    # order, shape, parts and borders
    "Flatten": shaping.flatten,
    "Reshape": shaping.reshape,
    "Squeeze": shaping.squeeze,
    "Unsqueeze": shaping.unsqueeze,
    "Transpose": shaping.transpose,
    "Concat": shaping.concat,
    "Split": shaping.split,
    "Slice": shaping.sliced,
    "Gather": shaping.gather,
    "Expand": shaping.expand,
    "Tile": shaping.tile,
    "Pad": shaping.padded,
    "DepthToSpace": shaping.depth_to_space,
    "SpaceToDepth": shaping.space_to_depth,
    "Resize": resizing.resize,
    "Upsample": resizing.resize,
    # losses
    "SoftmaxCrossEntropyLoss": scoring.cross_entropy,
    # steps in time
    "LSTM": recurrent.lstm,
    # sums along axes
    "Softmax": reducing.softmax,
    "LogSoftmax": reducing.log_softmax,
    "ReduceSum": reduction("ReduceSum"),
    "ReduceMean": reduction("ReduceMean"),
    "ReduceMax": reduction("ReduceMax"),
    "ReduceMin": reduction("ReduceMax", "-x", "-x"),
    "ReduceL1": reduction("ReduceSum", "abs(x)"),
    "ReduceL2": reduction("ReduceSum", "x^2", "sqrt(x)"),
    "ReduceSumSquare": reduction("ReduceSum", "x^2"),
    "ReduceLogSum": reduction("ReduceSum", "", "log(x)"),
    "ReduceLogSumExp": reducing.log_sum_exp,
}
