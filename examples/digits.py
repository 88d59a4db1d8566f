"""Train a small convolutional network on 1 797 scans of digits, by generated NumPy code alone.

    python examples/digits.py            # five initialisations, about ten seconds; writes digits.svg

The scans are scikit-learn's (E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, 1998):
8×8 pixels, from 0 to 16. A quarter of them, stratified by digit, is for the test alone: learning rate,
weight decay and epochs were chosen on a part of the others. The last line is the median accuracy.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import symconv

BATCH, EPOCHS, SEEDS = 32, 20, 5
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.05, 0.9, 5e-4
RELU = {"layer": "Activation", "function": "relu"}
NETWORK = symconv.Network(
    (
        {"layer": "Conv", "out_channels": 16, "kernel_size": 3, "padding": 1},
        RELU,
        {"layer": "Conv", "out_channels": 32, "kernel_size": 3, "padding": 1},
        RELU,
        {"layer": "MaxPool", "kernel_size": 2},
        {"layer": "Flatten"},
        {"layer": "Linear", "out_features": 64},
        RELU,
        {"layer": "Linear", "out_features": 10},
        {"layer": "SoftmaxCrossEntropy"},
    ),
    input_shape=(None, 1, 8, 8),  # any number of images
)

Images = NDArray[np.float32]
Labels = NDArray[np.int64]
Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Digits:
    """Images (N, 1, 8, 8) from 0 to 1 and their digits, to train with and to test with."""

    images: Images
    labels: Labels
    test_images: Images
    test_labels: Labels


@dataclass
class Run:
    """What one initialisation led to: a loss and a test accuracy for each epoch, and seconds."""

    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    seconds: float = 0.0


def load() -> Digits:
    """Return the scans, a stratified quarter of them for the test."""
    data = load_digits()
    images = (data.images[:, None] / 16).astype(np.float32)
    labels = data.target.astype(np.int64)
    images, test_images, labels, test_labels = train_test_split(
        images, labels, test_size=0.25, stratify=labels, random_state=0
    )
    return Digits(images, labels, test_images, test_labels)


def train(module: ModuleType, digits: Digits, seed: int, epochs: int, progress: Progress) -> Run:
    """Train from one initialisation: shuffled batches, a learning rate that falls as a cosine."""
    rng = np.random.default_rng(seed)
    params: Arrays = module.init(seed)
    state: Arrays = {}
    steps = -(-len(digits.images) // BATCH)  # the last batch is smaller
    task = progress.add_task(f"initialisation {seed}", total=epochs * steps)
    run, start = Run(), time.perf_counter()
    for epoch in range(epochs):
        order = rng.permutation(len(digits.images))
        losses = []
        for step in range(steps):
            batch = order[step * BATCH : (step + 1) * BATCH]
            loss, gradients = module.loss_and_gradients(
                params, digits.images[batch], digits.labels[batch]
            )
            done = (epoch * steps + step) / (epochs * steps)
            rate = LEARNING_RATE * (1 + np.cos(np.pi * done)) / 2
            params, state = module.sgd_step(params, gradients, state, rate, MOMENTUM, WEIGHT_DECAY)
            losses.append(loss)
            progress.advance(task)
        predicted = module.forward(params, digits.test_images).argmax(axis=1)
        run.losses.append(statistics.fmean(losses))
        run.accuracies.append(float(np.mean(predicted == digits.test_labels)))
    run.seconds = time.perf_counter() - start
    return run


def curves(runs: list[Run]) -> Figure:
    """Draw the losses and the test accuracies, a line for each initialisation."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = range(1, len(runs[0].losses) + 1)
    for run in runs:
        left.semilogy(epochs, run.losses)
        right.plot(epochs, [100 * accuracy for accuracy in run.accuracies])
    left.set(xlabel="epoch", ylabel="training loss")
    right.set(xlabel="epoch", ylabel="test accuracy (%)", ylim=(90, 100))
    return figure


def compare_with_pytorch(module: ModuleType, digits: Digits) -> tuple[float, float]:
    """Return by how much PyTorch's loss differs at first, and, relatively, any parameter's gradient."""
    import torch
    from torch.nn import functional

    images, labels = digits.images[:BATCH], digits.labels[:BATCH]
    params = module.init(0)
    loss, gradients = module.loss_and_gradients(params, images, labels)
    p = {name: torch.tensor(array, requires_grad=True) for name, array in params.items()}
    value = torch.tensor(images)
    for name in ("conv1", "conv2"):
        value = functional.relu(
            functional.conv2d(value, p[f"{name}.weight"], p[f"{name}.bias"], padding=1)
        )
    value = functional.max_pool2d(value, 2).flatten(1)
    value = functional.relu(functional.linear(value, p["linear1.weight"], p["linear1.bias"]))
    value = functional.linear(value, p["linear2.weight"], p["linear2.bias"])
    wanted = functional.cross_entropy(value, torch.tensor(labels))
    torch.autograd.backward(wanted)
    errors = []
    for name, gradient in gradients.items():
        theirs = np.asarray(p[name].grad)
        errors.append(float(np.abs(gradient - theirs).max() / np.abs(theirs).max()))
    return abs(loss - wanted.item()), max(errors)


def main() -> None:
    """Train, draw, compare, and print the median accuracy."""
    parser = argparse.ArgumentParser(description="Train on scans of digits by generated code alone.")
    parser.add_argument("-o", "--output", default="digits.svg", help="the curves (default: digits.svg)")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"initialisations (default: {SEEDS})")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"of each (default: {EPOCHS})")
    arguments = parser.parse_args()
    output = Path(arguments.output)
    digits = load()
    module = symconv.generate(NETWORK, "digits").load()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        runs = [
            train(module, digits, seed, arguments.epochs, progress) for seed in range(arguments.seeds)
        ]
    mpl.rcParams["svg.hashsalt"] = "symconv"  # the same file for the same curves
    curves(runs).savefig(output, metadata={"Date": None})
    print(f"curves: {output}")
    if importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed: not compared")
    else:
        loss, gradient = compare_with_pytorch(module, digits)
        print(f"PyTorch's initial loss differs by {loss:.0e}, its gradients by {gradient:.0e} at most")
        if loss > 1e-6 or gradient > 1e-4:
            sys.exit("symconv and PyTorch disagree")
    for seed, run in enumerate(runs):
        print(f"initialisation {seed}: {100 * run.accuracies[-1]:.2f} % in {run.seconds:.1f} s")
    print(f"{100 * statistics.median(run.accuracies[-1] for run in runs):.2f} %")


if __name__ == "__main__":
    main()
