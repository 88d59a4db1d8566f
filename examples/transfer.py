"""Give a network a new head, train it, and write a module that runs without symconv.

    pip download --no-deps occular-deskew && unzip occular_deskew-*.whl
    python examples/transfer.py occular_deskew/weights/orientation_orinet_fp32.onnx

OriNet (of the package occular-deskew) says how far a scanned page is turned. Here a new linear layer and
its last two convolutions learn to say it of photographs, and its other layers are kept. Pieces of the
left halves of scikit-learn's two photographs train, those of the right halves test. Files: turned.py
(with --target c also turned.c and turned.h), turned.npz and transfer.svg.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from sklearn.datasets import load_sample_images

import symconv
import symconv.onnx

SIZE, BATCH, PIECES, STEPS, RATE = 96, 16, 256, 150, 1e-3
FEATURES = "/head/head.1/Flatten_output_0"  # of the file: what its own head takes
HEAD = [("turns", {"layer": "Linear", "out_features": 4})]
TRAINED = ("conv7", "conv8", "turns")
LOSS = {"layer": "SoftmaxCrossEntropy"}

Images = NDArray[np.float32]
Labels = NDArray[np.int64]


def pieces(right: bool, count: int, rng: np.random.Generator) -> tuple[Images, Labels]:
    """Return square pieces (N, 3, SIZE, SIZE) of halves of the photographs, turned, and by how much."""
    photographs = load_sample_images().images
    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        height, width, _ = photograph.shape
        side = int(rng.integers(width // 3, width // 2))
        left = rng.integers(0, width // 2 - side) + (width // 2) * right
        top = rng.integers(0, height - side)
        places = np.linspace(0, side - 1, SIZE).astype(int)
        piece = photograph[top : top + side, left : left + side][places][:, places]
        piece = piece[:, ::-1] if rng.integers(2) else piece  # mirrored
        turns = int(rng.integers(4))
        images.append(np.rot90(piece, turns).transpose(2, 0, 1))
        labels.append(turns)
    return np.array(images, np.float32) / np.float32(255), np.array(labels)


def curves(losses: list[float]) -> Figure:
    """Draw the loss of every step."""
    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.subplots()
    axes.semilogy(range(1, len(losses) + 1), losses)
    axes.set(xlabel="step", ylabel="loss")
    return figure


def main() -> None:
    """Train the head, test it, and write the module without the loss."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="orientation_orinet_fp32.onnx")
    parser.add_argument("--target", choices=["numpy", "c"], default="numpy")
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    shape = (BATCH, 3, SIZE, SIZE)
    network, known = symconv.onnx.load(
        options.model, input_shape=shape, until=FEATURES, head=[*HEAD, LOSS], trainable=TRAINED
    )
    module = symconv.generate(network, "training", target=options.target).load()
    rng = np.random.default_rng(0)
    images, labels = pieces(right=False, count=PIECES, rng=rng)
    params = module.init(0) | known
    state: dict[str, NDArray[np.float32]] = {}
    losses: list[float] = []
    for _ in track(range(options.steps), "training", console=Console(stderr=True)):
        batch = rng.permutation(PIECES)[:BATCH]
        loss, gradients, *_ = module.loss_and_gradients(params, images[batch], labels[batch])
        params, state = module.adam_step(params, gradients, state, RATE)
        losses.append(float(loss))
    mpl.rcParams["svg.hashsalt"] = "symconv"  # the same names each time
    curves(losses).savefig("transfer.svg", metadata={"Date": None})

    final, _ = symconv.onnx.load(options.model, input_shape=shape, until=FEATURES, head=HEAD)
    unit = symconv.generate(final, "turned", target=options.target)
    unit.write(".", force=True)
    np.savez("turned.npz", allow_pickle=False, **params)
    tests, answers = pieces(right=True, count=4 * BATCH, rng=rng)
    turned = unit.load()
    right = [
        turned.forward(params, tests[at : at + BATCH]).argmax(1) == answers[at : at + BATCH]
        for at in range(0, len(tests), BATCH)
    ]
    print(f"loss: {losses[0]:.2f}, then {losses[-1]:.2f}")
    print(f"written: {unit.path('.')}, {Path('turned.npz')}, {Path('transfer.svg')}")
    print(f"{100 * np.mean(right):.1f} % of {len(tests)} pieces of the right halves")


if __name__ == "__main__":
    main()
