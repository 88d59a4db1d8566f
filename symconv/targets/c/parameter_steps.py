"""A network's first parameters, and their steps by gradients, in C: a line for each parameter."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod

from symconv.layers.network import Network
from symconv.lower.network_plan import NetworkPlan
from symconv.targets.c.nests import text_lines
from symconv.targets.c.network_calls import field
from symconv.targets.c.routine import Routine
from symconv.targets.c.wording import number_text

INIT = (
    "First values: weights are normal with variance 2 / fan-in, the number of products in a sum (K. He",
    "et al., Delving Deep into Rectifiers, 2015); biases are 0, and the scales of normalisations are 1.",
    "The same seed gives the same values, which differ from those of the Python module.",
)
SGD = (
    "A step of stochastic gradient descent: v = momentum · v + gradient + weight_decay · parameter,",
    "and the parameter becomes parameter - learning_rate · v. v is 0 before the first step.",
)
ADAM = (
    "A step of Adam (D. Kingma, J. Ba, 2015); number counts the steps from 1. mean and square are 0",
    "before the first one. weight_decay · parameter is added to a gradient.",
)


def init_routine(plan: NetworkPlan, name: str) -> list[tuple[tuple[str, ...], Routine]]:
    """Return the function of first values, with what it does; none without parameters or statistics."""
    if not plan.layer.trained and not plan.layer.running:
        return []
    parameters: dict[str, int | str] = {}
    structs = {"p": ("arrays", plan.layer.trained), "s": ("statistics", plan.layer.running)}
    lines = []
    for letter, (kind, shapes) in structs.items():
        if not shapes:
            continue
        parameters[letter] = f"const struct {name}_{kind} *{letter}"
        for own in shapes:
            first = plan.initial[own]
            count, to = prod(first.shape), f"{letter}->{field(own)}"
            if first.fan_in:
                deviation = number_text(Fraction((2 / first.fan_in) ** 0.5))
                lines.append(f"normal({count}, {to}, {deviation}, &seed);")
            else:
                lines.append(f"filled({count}, {to}, {number_text(Fraction(first.number))});")
    parameters["seed"] = "unsigned long long seed"
    if "&seed" not in "".join(lines):
        lines.insert(0, "(void)seed;")
    said = (*INIT, *(["Parameters that are not trained are not written."] if plan.layer.frozen else []))
    return [(said, Routine(f"{name}_init", parameters, {}, 0, tuple(text_lines(lines, 1))))]


def step_routines(network: Network, name: str) -> list[tuple[tuple[str, ...], Routine]]:
    """Return the functions that change parameters, each with what it does; none without parameters."""
    if not network.trained:
        return []
    sgd = ["learning_rate", "momentum", "weight_decay"]
    adam = ["learning_rate", "beta1", "beta2", "eps", "weight_decay"]
    corrected = (
        "const real rate = learning_rate / (1 - pow(beta1, (real)number));",
        "const real scale = 1 / (1 - pow(beta2, (real)number));",
    )
    given = ["rate", "scale", "beta1", "beta2", "eps", "weight_decay"]
    return [
        (SGD, _routine(network, name, "sgd", ("p", "g", "v"), sgd, sgd)),
        (ADAM, _routine(network, name, "adam", ("p", "g", "mean", "square"), adam, given, corrected)),
    ]


def _routine(
    network: Network,
    name: str,
    kind: str,
    structs: Sequence[str],
    numbers: Sequence[str],
    passed: Sequence[str],
    before: Sequence[str] = (),
) -> Routine:
    parameters: dict[str, int | str] = {s: f"const struct {name}_arrays *{s}" for s in structs}
    if before:
        parameters["number"] = "size_t number"
    parameters |= {number: f"{{real}} {number}" for number in numbers}
    lines = [*before]
    for own, shape in network.trained.items():
        arrays = [f"{struct}->{field(own)}" for struct in structs]
        lines.append(f"{kind}({', '.join([str(prod(shape)), *arrays, *passed])});")
    return Routine(f"{name}_{kind}_step", parameters, {}, 0, tuple(text_lines(lines, 1)))
