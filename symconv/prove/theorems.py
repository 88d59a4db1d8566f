"""Theorems about a layer, with their grounds and refuted controls, printed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal, TypeAlias

from symconv.layers.layer import Layer
from symconv.notation.layout import WIDTH, wrapped
from symconv.notation.markup import html_table
from symconv.prove.certificate import Data
from symconv.prove.claims import Counterexample
from symconv.prove.covers import numbers_text
from symconv.prove.instances import Proved

# proved: for every size, or by a symbolic argument for these; compared: all terms, these sizes;
# tested: in floating point; refuted: by a counterexample; open: none of these
Status: TypeAlias = Literal["proved", "compared", "tested", "refuted", "open"]
STATUSES: tuple[Status, ...] = ("proved", "compared", "tested", "refuted", "open")
MEANINGS = {
    "proved": "proved",
    "compared": "compared term by term",
    "tested": "tested in floating point",
    "refuted": "refuted",
    "open": "open",
}


@dataclass(frozen=True)
class Control:
    """A false claim beside a theorem: what is wrong with it, and the values that refute it."""

    name: str
    counterexample: Counterexample | None

    @property
    def refuted(self) -> bool:
        """Whether a counterexample was found."""
        return self.counterexample is not None


@dataclass(frozen=True)
class Theorem:
    """A statement about the layer, and the evidence for it.

    ``status`` is ``"proved"``, ``"compared"`` (all terms, for these sizes), ``"tested"`` (in floating
    point), ``"refuted"`` (by the values in ``counterexample``) or ``"open"``.
    ``disagreement`` is True if a certificate is accepted although values refute its statement.
    ``rests_on`` are the theorems for every size that it is an instance of.
    ``grounds`` are pairs of a method and its evidence: a theorem for every size whose certificate is
    accepted and, if there are few enough terms, the comparison of all terms.
    """

    name: str
    statement: str
    status: Status
    grounds: tuple[tuple[str, str], ...]
    counterexample: Counterexample | None
    controls: tuple[Control, ...]
    rests_on: tuple[Proved, ...] = ()
    disagreement: bool = False

    @property
    def holds(self) -> bool | None:
        """True if the theorem is proved or compared, False if it is refuted, else None."""
        return {"proved": True, "compared": True, "refuted": False}.get(self.status)

    def as_dict(self) -> dict[str, object]:
        """Return the theorem as plain data."""
        return {
            "name": self.name,
            "statement": self.statement,
            "status": self.status,
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
        """How the status was decided."""
        return ", ".join(dict.fromkeys(method for method, _ in self.grounds)) or "none"

    @property
    def evidence(self) -> str:
        """The evidence of all methods, in one line."""
        return "; ".join(text for _, text in self.grounds)

    def sentence(self, width: int) -> list[str]:
        """Return the status and the statement, folded at a width."""
        return wrapped(f"{self.name} {MEANINGS[self.status]}: {self.statement}.", width, hanging=4)

    def evidence_lines(self, width: int, verbose: bool) -> list[str]:
        """Return the counterexample; with ``verbose``, also the evidence and the false claims."""
        found = []
        if self.disagreement:
            found += wrapped("DISAGREEMENT: a certificate says what numbers refute", width, 4)
        if self.counterexample:
            found += _indented(self.counterexample, width, 4)
        for method, evidence in self.grounds if verbose else ():
            found += wrapped(f"{method}: {evidence}", width, 4, hanging=4)
        for control in self.controls if verbose else ():
            if control.counterexample is None:
                text = "is not refuted at these or smaller sizes"
                found += wrapped(f"the false claim “{control.name}” {text}", width, 4, hanging=4)
                continue
            found += wrapped(f"refuted, as it must be: {control.name}", width, 4, hanging=4)
            found += _indented(control.counterexample, width, 8)
        return found


def _indented(counterexample: Counterexample, width: int, indent: int) -> list[str]:
    """Return a counterexample's lines; those that fit stay as they are, in columns."""
    found = []
    for line in counterexample.drawn():
        fits = indent + len(line) <= width
        found += [" " * indent + line] if fits else wrapped(line, width, indent, hanging=4)
    return found


@dataclass(frozen=True, repr=False)
class Proof:
    """All theorems about a layer. It is true if every theorem is proved or compared.

    ``numbers`` are the values of the theorems' letters for this layer. H includes the padding, unless
    the padding mode is zeros.
    """

    layer: Layer
    numbers: dict[str, int]
    theorems: tuple[Theorem, ...]

    @property
    def here(self) -> str:
        """The values of the theorems' letters for this layer, as a sentence."""
        mode = getattr(self.layer, "padding_mode", "zeros")
        padded = "" if mode == "zeros" else f"; H counts the elements behind the {mode} padding"
        return f"In the theorems' letters {numbers_text(self.numbers)}{padded}."

    def here_lines(self, width: int) -> list[str]:
        """Return the values of the theorems' letters for this layer, folded at a width."""
        return wrapped(self.here, width, hanging=4)

    @property
    def holds(self) -> bool | None:
        """True if every theorem is proved or compared, False if one is refuted, else None."""
        answers = [theorem.holds for theorem in self.theorems]
        return False if False in answers else None if None in answers else True

    def __bool__(self) -> bool:
        """Whether every theorem is proved or compared."""
        return self.holds is True

    @property
    def certificates(self) -> tuple[Data, ...]:
        """The certificates that the theorems rest on, each once."""
        every = [p.certificate for theorem in self.theorems for p in theorem.rests_on]
        return tuple({found["sha256"]: found for found in every if found}.values())

    @property
    def summary(self) -> str:
        """The number of theorems with each status, in one line."""
        counts = Counter(theorem.status for theorem in self.theorems)
        found = ", ".join(f"{counts[s]} {MEANINGS[s]}" for s in STATUSES if counts[s])
        return f"{len(self.theorems)} theorem{'s' * (len(self.theorems) != 1)}: {found}"

    def as_dict(self) -> dict[str, object]:
        """Return the proof as plain data."""
        return {
            "holds": self.holds,
            "numbers": self.numbers,
            "theorems": [theorem.as_dict() for theorem in self.theorems],
        }

    def text(self, width: int = WIDTH, verbose: bool = False) -> str:
        """Return a sentence for each theorem, with its status.

        With ``verbose``, also return the evidence, and the false claims with their counterexamples.
        """
        lines = self.here_lines(width) if self.numbers and verbose else []
        for theorem in self.theorems:
            lines += theorem.sentence(width) + theorem.evidence_lines(width, verbose)
        return "\n".join([*lines, f"{self.summary}."]) + "\n"

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        """Show a notebook the theorems, a row each."""
        rows = [(t.name, MEANINGS[t.status], t.statement) for t in self.theorems]
        heading = f"{type(self.layer).__name__}: {self.summary}"
        return html_table(heading, ("theorem", "status", "statement"), rows)

    def __repr__(self) -> str:
        return f"Proof({type(self.layer).__name__}: {self.summary})"
