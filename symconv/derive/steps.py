"""A derivation as data: named steps, each with its before, its after, its reason and its check."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Formula:
    """A formula as plain text and as LaTeX (the rows of an ``aligned`` environment)."""

    text: str
    latex: str


@dataclass(frozen=True)
class Check:
    """What a machine compared, and whether it agreed."""

    compared: str
    passed: bool


@dataclass(frozen=True)
class Step:
    """One step: ``before`` becomes ``after`` because of ``reason``, and ``check`` confirms it."""

    name: str
    before: Formula
    after: Formula
    reason: str
    check: Check
