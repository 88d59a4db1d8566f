"""The stages on the way from a layer to its module, as text."""

from __future__ import annotations

from collections.abc import Iterator

from symconv.kernel.kernel_text import kernel_text
from symconv.kernel.simplify import simplified
from symconv.lower.layer_plan import Function, Plan
from symconv.lower.network_plan import NetworkPlan
from symconv.notation.step_text import graph_text
from symconv.targets.numpy.choice import choice_text


def stage_text(plan: Plan | NetworkPlan, stage: str) -> str:
    """Return what each function of a module is at a stage: ``graph``, ``algorithm`` or ``kernel``."""
    parts = [f"{name}\n{_indented(_stage(f, stage))}" for name, f in _functions(plan)]
    if isinstance(plan, NetworkPlan) and stage == "kernel":
        known = [f.function.kernel for f in plan.functions]
        own = (plan.forward, plan.training, *plan.second)
        parts = [*(f"{k.name}\n{_indented(kernel_text(k, known))}" for k in own), *parts]
    return "\n\n".join(parts) + "\n"


def _functions(plan: Plan | NetworkPlan) -> Iterator[tuple[str, Function]]:
    if isinstance(plan, NetworkPlan):
        yield from ((f.name, f.function) for f in plan.functions)
    else:
        yield from ((f.name, f) for f in plan.functions)


def _stage(function: Function, stage: str) -> str:
    if stage == "graph":
        return graph_text(function.formula)
    if stage == "algorithm":
        return choice_text(function, timed=True)
    return kernel_text(simplified(function.kernel))


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
