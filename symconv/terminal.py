"""What the shell prints: colour on a terminal, plain lines in a pipe."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from symconv.check.report import Report
from symconv.derive.derivation import Derivation
from symconv.notation.layout import NARROWEST, UNFOLDED, WIDEST, WIDTH
from symconv.prove.theorems import Proof

PATIENCE = 0.5  # seconds before a bar is shown


def screen() -> Console:
    """Return the terminal, or the pipe, to print on."""
    return Console(highlight=False, soft_wrap=True, markup=False)


def write(screen: Console, text: str) -> None:
    """Print a text as it is."""
    screen.print(Text(text))


def title(screen: Console, text: str) -> None:
    """Print a heading."""
    screen.print(Text(f"── {text} ──", style="bold cyan"))


def columns(screen: Console) -> int:
    """Return how wide texts are: as the terminal, within reason; in a pipe always the same."""
    return min(max(screen.width, NARROWEST), WIDEST) if screen.is_terminal else WIDTH


def print_derivation(screen: Console, derivation: Derivation) -> None:
    """Print a derivation, its steps' names and checks in colour."""
    for line in derivation.text(columns(screen)).splitlines():
        style = (
            "bold"
            if line[:1].isdigit()
            else (
                "green" if line.startswith("  checked") else "red" if line.startswith("  CHECK") else ""
            )
        )
        screen.print(Text(line, style=style))


def print_proof(screen: Console, proof: Proof, verbose: bool = False) -> None:
    """Print a proof: statements bold, or red where a theorem does not hold."""
    width = columns(screen)
    if verbose and proof.numbers:
        write(screen, "\n".join(proof.here_lines(width)))
    for theorem in proof.theorems:
        style = "bold" if theorem.holds else "bold red"
        screen.print(Text("\n".join(theorem.sentence(width)), style=style))
        rest = theorem.evidence_lines(width, verbose)
        if rest:
            write(screen, "\n".join(rest))
    write(screen, f"{proof.summary}.")


def print_report(screen: Console, report: Report) -> None:
    """Print a report: what passed green, what failed red."""
    width = columns(screen) if screen.is_terminal else UNFOLDED
    for line in report.text(width).splitlines():
        text = Text(line)
        text.highlight_words(["FAILED"], style="bold red")
        text.highlight_words(["passed"], style="green")
        screen.print(text)


def print_json(value: object) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """Show a bar on a terminal's stderr while something runs, after a moment; remove it afterwards."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn(what),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = bar.add_task(what, total=total)
    shown = Timer(PATIENCE, bar.start)
    shown.start()
    try:
        yield lambda: bar.advance(task)
    finally:
        shown.cancel()
        shown.join()
        bar.stop()
