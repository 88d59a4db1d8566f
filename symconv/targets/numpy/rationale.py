"""What a plan decided: each function's algorithm, and what a network's layers compute and need."""

from __future__ import annotations

import textwrap

from symconv.kernel.count import count
from symconv.kernel.simplify import simplified
from symconv.lower.any_batch import CHOSEN_FOR, LETTER
from symconv.lower.layer_plan import Function, Plan
from symconv.lower.network_plan import NetworkPlan
from symconv.notation.text import shape_text
from symconv.targets.numpy.choice import choice_text
from symconv.targets.numpy.legal import legalised
from symconv.targets.numpy.memory import BYTES, Needs, needs, scratch_of


def rationale(plan: Plan | NetworkPlan) -> str:
    """Return what ``symconv generate --explain`` prints: a paragraph a function.

    For a network a table comes first: what each layer computes, and what memory that takes.
    """
    if isinstance(plan, NetworkPlan):
        counted = f"Counted for {CHOSEN_FOR} samples.\n" if plan.layer.any_batch else ""
        text = "\n".join(f"{name}\n    {text}" for name, text in choices(plan).items())
        return f"{counted}{_table(needs(plan))}\n\n{text}"
    lines: list[str] = []
    for function in plan.functions:
        choice = choice_text(function, timed=True)
        lines += [function.name, f"    {choice}", f"    {_counts(function, plan)}"]
    samples = f" Counted for {CHOSEN_FOR} samples." if plan.layer.any_batch else ""
    return "\n".join([*lines, *textwrap.wrap(COUNTED + samples, 100)])


COUNTED = (
    "FLOPs: multiplications, additions, comparisons and operations of expressions, as computed. Moved: "
    "what the statements read and write. Scratch: what stays allocated between calls."
)


def _counts(function: Function, plan: Plan) -> str:
    """Say what a function computes, moves and needs."""
    size = BYTES[plan.layer.dtype]
    found = count(legalised(simplified(function.kernel)), {LETTER: CHOSEN_FOR})
    held = sum(scratch_of(function, function.name).values())
    return (
        f"{found.flops:,} FLOPs, {_bytes(size * found.moved)} moved in {found.statements:,} "
        f"statement{'s' * (found.statements != 1)}, {_bytes(size * held)} of scratch"
    )


HEAD = ("layer", "gives", "parameters", "FLOPs", "FLOPs back", "memory")


def _table(found: Needs) -> str:
    """Write what each layer computes and needs; the sums; and what stays allocated."""
    rows: list[tuple[str, ...]] = [
        (
            f"{row.name}: {row.kind}",
            shape_text(row.shape),
            f"{row.parameters:,}",
            f"{row.forward:,}",
            f"{row.backward:,}",
            _bytes(row.peak),
        )
        for row in found.rows
    ]
    counts = ((row.parameters, row.forward, row.backward) for row in found.rows)
    sums = [f"{sum(column):,}" for column in zip(*counts, strict=True)]
    rows.append(("together", "", *sums, _bytes(found.peak)))
    widths = [max(len(row[at]) for row in (HEAD, *rows)) for at in range(len(HEAD))]
    lines = [
        "  ".join(
            word.ljust(width) if at < 2 else word.rjust(width)
            for at, (word, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (HEAD, *rows)
    ]
    note = (
        "FLOPs: multiplications, additions and comparisons of a call of forward, and of the gradients. "
        "Memory: values, gradients by values, scratch and temporaries that are in use while a layer is "
        f"computed, parameters not counted; together with all gradients. {_bytes(found.kept)} stay "
        f"allocated between calls, {_bytes(found.gradients)} of gradients are returned."
    )
    return "\n".join([*lines, *textwrap.wrap(note, 100)])


def _bytes(count: int) -> str:
    """Write a number of bytes."""
    return f"{count / 1e6:.2f} MB" if count >= 10_000 else f"{count} B"


def choices(plan: Plan | NetworkPlan) -> dict[str, str]:
    """Return which algorithm each function uses, by the functions' names."""
    if isinstance(plan, NetworkPlan):
        return {f.name: choice_text(f.function, timed=True) for f in plan.functions}
    return {f.name: choice_text(f, timed=True) for f in plan.functions}
