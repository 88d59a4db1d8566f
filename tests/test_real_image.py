"""A photograph through generated filters, compared with SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal
from sklearn.datasets import load_sample_image

from symconv import Conv, generate

SOBEL = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]], "float32")
RINGS = np.cos(np.hypot(*np.mgrid[-3:4, -3:4])).astype("float32")


@pytest.mark.parametrize("kernel", [SOBEL, RINGS], ids=["sobel3", "rings7"])
@pytest.mark.parametrize("flip", [False, True])
def test_china(kernel: NDArray[np.float32], flip: bool) -> None:
    image = load_sample_image("china.jpg").mean(axis=2).astype("float32") / 255
    layer = Conv((1, 1, *image.shape), 1, len(kernel), padding="same", flip=flip, bias=False)
    module = generate(layer, "china").load()
    found = module.forward(image[None, None], kernel[None, None])[0, 0]
    method = signal.convolve2d if flip else signal.correlate2d
    want = method(image.astype("float64"), kernel.astype("float64"), mode="same")
    assert np.abs(found - want).max() <= 1e-5 * np.abs(want).max()
    gradient = module.input_gradient(found[None, None], kernel[None, None])[0, 0]
    back = signal.correlate2d if flip else signal.convolve2d
    want = back(found.astype("float64"), kernel.astype("float64"), mode="same")
    assert np.abs(gradient - want).max() <= 1e-5 * np.abs(want).max()
