"""What is found about a layer: theorems with their grounds and refuted controls, printed."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from symconv.derive.derivation import WIDTH
from symconv.layers.layer import Layer
from symconv.prove.certificate import Data
from symconv.prove.claims import Counterexample
from symconv.prove.covers import numbers_text
from symconv.prove.instances import Proved

ANSWERS = {True: "holds", False: "IS FALSE", None: "is not proved"}


@dataclass(frozen=True)
class Control:
    """A false claim beside a theorem: what is wrong in it, and the numbers that refute it."""

    name: str
    counterexample: Counterexample | None

    @property
    def refuted(self) -> bool:
        """Whether a counterexample was found."""
        return self.counterexample is not None


@dataclass(frozen=True)
class Theorem:
    """A statement about the layer and what it rests on.

    ``holds`` is True, False (then ``counterexample`` has the numbers), or None: not proved.
    ``disagreement``: a certificate is accepted, and numbers refute what it says.
    ``rests_on`` are the theorems for every size that it is an instance of.
    ``grounds`` are pairs of a method and its evidence: a theorem for every size whose certificate is
    accepted, with the layer's numbers; and for few enough terms all of them, compared.
    """

    name: str
    statement: str
    holds: bool | None
    grounds: tuple[tuple[str, str], ...]
    counterexample: Counterexample | None
    controls: tuple[Control, ...]
    rests_on: tuple[Proved, ...] = ()
    disagreement: bool = False

    def as_dict(self) -> dict[str, object]:
        """Return the theorem as plain data."""
        return {
            "name": self.name,
            "statement": self.statement,
            "holds": self.holds,
            "method": self.method,
            "evidence": self.evidence,
            "counterexample": self.counterexample.as_text() if self.counterexample else None,
            "controls": [
                {
                    "name": control.name,
                    "refuted": control.refuted,
                    "counterexample": control.counterexample.as_text()
                    if control.counterexample
                    else None,
                }
                for control in self.controls
            ],
        }

    @property
    def method(self) -> str:
        """How it was decided."""
        return ", ".join(dict.fromkeys(method for method, _ in self.grounds)) or "none"

    @property
    def evidence(self) -> str:
        """What was found."""
        return "; ".join(text for _, text in self.grounds)


@dataclass(frozen=True)
class Proof:
    """All theorems about a layer.

    ``numbers`` are what the theorems' letters are here; H is behind the padding, unless that is zeros.
    """

    layer: Layer
    numbers: dict[str, int]
    theorems: tuple[Theorem, ...]

    @property
    def here(self) -> str:
        """Say what the theorems' letters are here."""
        mode = getattr(self.layer, "padding_mode", "zeros")
        padded = "" if mode == "zeros" else f"; H counts the cells behind the {mode} padding"
        return f"Here {numbers_text(self.numbers)}{padded}."

    @property
    def holds(self) -> bool | None:
        """True if every theorem holds, False if one is false, else None: one is not proved."""
        answers = [theorem.holds for theorem in self.theorems]
        return False if False in answers else None if None in answers else True

    @property
    def certificates(self) -> tuple[Data, ...]:
        """The certificates that the theorems rest on, each once."""
        every = [p.certificate for theorem in self.theorems for p in theorem.rests_on]
        return tuple({found["sha256"]: found for found in every if found}.values())

    def as_dict(self) -> dict[str, object]:
        """Return the proof as plain data."""
        return {
            "holds": self.holds,
            "numbers": self.numbers,
            "theorems": [theorem.as_dict() for theorem in self.theorems],
        }

    def text(self) -> str:
        """Return the proof for a terminal: each theorem, what it rests on, its refuted controls."""
        lines = _indented(self.here, 0) if self.numbers else []
        for theorem in self.theorems:
            lines += _indented(f"{theorem.name} {ANSWERS[theorem.holds]}: {theorem.statement}", 0)
            for method, evidence in theorem.grounds:
                lines += _indented(f"{method}: {evidence}", 4)
            if theorem.disagreement:
                lines += _indented("DISAGREEMENT: a certificate says what numbers refute", 4)
            if theorem.counterexample:
                lines += _indented(f"counterexample: {theorem.counterexample.as_text()}", 4)
            for control in theorem.controls:
                found = control.counterexample
                text = (
                    f"refuted: {found.as_text()}" if found else "not refuted at these or smaller sizes"
                )
                lines += _indented(f"false claim ({control.name}) {text}", 4)
        return "\n".join(lines) + "\n"

    def __str__(self) -> str:
        return self.text()


def _indented(text: str, columns: int) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=" " * columns, subsequent_indent=" " * (columns + 4)
    )
