"""A network beside ONNX Runtime: the same file, the same random numbers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from symconv.errors import SymconvError
from symconv.onnx.model import Model
from symconv.onnx.tensors import read_model

MOST = 1e-4  # of an output's largest element, by which results may differ
SMALL = 1e-2  # outputs that are all smaller are compared as if they reached so far


@dataclass(frozen=True)
class Comparison:
    """How far a module's outputs are from those of ONNX Runtime.

    Attributes
    ----------
    runtime
        The version of ONNX Runtime; empty if it is not installed.
    difference
        The largest difference of all outputs, each relative to its largest element.
    failed
        Why ONNX Runtime could not run the file.
    """

    runtime: str
    difference: float
    failed: str = ""

    @property
    def passed(self) -> bool:
        """Whether the outputs agree, or nothing was compared."""
        return not self.runtime or bool(self.failed) or self.difference <= MOST

    def text(self) -> str:
        """Return the result in one line."""
        if not self.runtime:
            return "outputs were not compared: pip install onnxruntime"
        if self.failed:
            return f"outputs were not compared: ONNX Runtime {self.runtime} {self.failed}"
        said = "agree" if self.passed else "DIFFER"
        return (
            f"outputs {said}: ONNX Runtime {self.runtime} differs by at most {self.difference:.1e} "
            "of an output's largest element"
        )


def compared(
    path: str | os.PathLike[str], model: Model, module: ModuleType, until: Sequence[str] = ()
) -> Comparison:
    """Run a file and the module of its network on random numbers."""
    try:
        import onnxruntime
    except ImportError:
        return Comparison("", 0.0)
    from onnx import TensorProto
    from onnx.helper import make_tensor_value_info

    rng = np.random.default_rng(0)
    network = model.network
    given = [rng.standard_normal(shape).astype(network.dtype) for shape in network.values.values()]
    if network.loss:
        return Comparison(onnxruntime.__version__, 0.0, "is not asked for losses")
    found = module.forward(model.params, *given)
    found = found if isinstance(found, tuple) else (found,)
    proto = read_model(path)
    known = {value.name for value in proto.graph.output}
    for name in until:
        if name not in known:
            kind = TensorProto.FLOAT if network.dtype == "float32" else TensorProto.DOUBLE
            proto.graph.output.append(make_tensor_value_info(name, kind, None))
    inputs = {model.values.get(value.name): value.name for value in proto.graph.input}
    feed = {inputs[own]: array for own, array in zip(network.values, given, strict=True)}
    version: str = onnxruntime.__version__
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    try:
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options)
        wanted = session.run([*until] or None, feed)
    except Exception as error:  # whatever the runtime raises for what it does not support
        return Comparison(version, 0.0, f"cannot run it ({type(error).__name__})")
    if [a.shape for a in wanted] != [a.shape for a in found]:
        raise SymconvError(f"{path}: ONNX Runtime gives other shapes")
    apart = [
        np.abs(a.astype(float) - b).max(initial=0) / max(np.abs(b).max(initial=0), SMALL)
        for a, b in zip(found, wanted, strict=True)
    ]
    return Comparison(version, float(np.max(apart)))
