"""A claim about a layer is decided: by theorems that cover it, by its terms, or by a counterexample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from symconv.layers.layer import Layer
from symconv.notation.graph import Graph
from symconv.prove.claims import Claim, compare, refute
from symconv.prove.covers import Cover
from symconv.prove.theorems import Control, Status, Theorem


@dataclass(frozen=True)
class Decision:
    """What is to be decided about a layer: a claim, the theorems that cover it, false claims."""

    name: str
    claim: Claim
    covers: Callable[[Any, tuple[Graph, Graph]], Iterable[Cover]]
    controls: Sequence[tuple[str, Claim]] = field(default=())


def decide(decision: Decision, layer: Layer) -> Theorem:
    """Decide one claim by a certificate, and elementwise where that is cheap; both must agree."""
    found = list(decision.covers(layer, decision.claim.sides(layer)))
    grounds = [(cover.method, cover.text) for cover in found if not cover.holds]
    if found and not grounds:
        first, *others = found
        names = " and ".join(dict.fromkeys(cover.theorem.equation.name for cover in others))
        text = first.text + (f"; of the padding, {names}" if names else "")
        grounds = [(first.method, text)]
    covered = bool(found) and all(cover.holds for cover in found)
    same, text = compare(decision.claim, layer)
    if text:
        grounds.append(("elementwise", text))
    counterexample = None if same or (covered and same is None) else refute(decision.claim, layer)
    status: Status = "proved" if covered else "compared" if same else "open"
    return Theorem(
        decision.name,
        decision.claim.statement,
        "refuted" if counterexample or same is False else status,
        tuple(grounds),
        counterexample,
        tuple(c for wrong, false in decision.controls if (c := _control(wrong, false, layer))),
        tuple(cover.theorem for cover in found),
        covered and same is False,
    )


def _control(name: str, claim: Claim, layer: Layer) -> Control | None:
    """Refute a wrong rule; None where it is right, for these arguments."""
    left, right = claim.sides(layer)
    if left == right or compare(claim, layer)[0]:
        return None
    return Control(name, refute(claim, layer))
