"""Train digits on the host, and write what a microcontroller needs to go on learning.

The host learns upright digits. The device sees them upside down: with 60 of these it learns to read
them, in C without a heap. `make` builds and runs it in an emulator of an Arm Cortex-M4.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import symconv

LAYERS: list[dict[str, object]] = [
    {"layer": "Conv", "out_channels": 8, "kernel_size": 3, "padding": 1},
    {"layer": "Activation", "function": "relu"},
    {"layer": "MaxPool", "kernel_size": 2},
    {"layer": "Flatten"},
    {"layer": "Linear", "out_features": 32},
    {"layer": "Activation", "function": "relu"},
    {"layer": "Linear", "out_features": 10},
    {"layer": "SoftmaxCrossEntropy"},
]
TRAINED, TUNED, TESTED = 1200, 60, 60


def main() -> None:
    """Train, and write ``build/reader.c``, its headers and ``data.h``."""
    folder = Path(__file__).parent / "build"
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)

    host = symconv.generate(symconv.Network(LAYERS, (None, 1, 8, 8)), "reader").load()
    params, state = host.init(0), dict[str, NDArray[np.float32]]()
    order = np.random.default_rng(0)
    for _ in range(30):
        for batch in order.permutation(TRAINED).reshape(-1, 50):
            _, gradients = host.loss_and_gradients(params, images[batch], labels[batch])
            params, state = host.adam_step(params, gradients, state)
    upright = host.forward(params, images[TRAINED:]).argmax(axis=1) == labels[TRAINED:]
    print(f"on the host: {upright.mean():.1%} of {len(upright)} upright digits")

    network = symconv.Network(LAYERS, (1, 1, 8, 8))
    symconv.generate(network, "reader", target="c", params=params).write(folder)
    seen = images[TRAINED:, :, ::-1, ::-1][: TUNED + TESTED]
    text = [f"enum {{ TUNED = {TUNED}, TESTED = {TESTED} }};"]
    text += [array("images", seen), array("digits", labels[TRAINED:][: TUNED + TESTED])]
    (folder / "data.h").write_text("\n".join(text) + "\n", "utf-8")


def array(name: str, values: NDArray[np.float32]) -> str:
    """Write an array in C."""
    numbers = ", ".join(float(value).hex() + "f" for value in values.flat)
    return f"static const float {name}[{values.size}] = {{{numbers}}};"


if __name__ == "__main__":
    main()
