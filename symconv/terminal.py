"""What the shell prints: colour and tables on a terminal, plain lines in a pipe."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from symconv.check.report import Report
from symconv.derive.derivation import Derivation
from symconv.prove.theorems import Proof


def screen() -> Console:
    """Return the terminal, or the pipe, to print on."""
    return Console(highlight=False, soft_wrap=True, markup=False)


def write(screen: Console, text: str) -> None:
    """Print a text as it is."""
    screen.print(Text(text))


def title(screen: Console, text: str) -> None:
    """Print a heading."""
    screen.print(Text(f"\n── {text} ──", style="bold cyan"))


def print_derivation(screen: Console, derivation: Derivation) -> None:
    """Print a derivation, its steps' names and checks in colour."""
    for line in derivation.text().splitlines():
        style = (
            "bold"
            if line[:1].isdigit()
            else (
                "green" if line.startswith("  checked") else "red" if line.startswith("  CHECK") else ""
            )
        )
        screen.print(Text(line, style=style))


def print_proof(screen: Console, proof: Proof) -> None:
    """Print a proof, theorems bold and failures red."""
    for line in proof.text().splitlines():
        bad = " IS FALSE" in line or "is not proved" in line
        style = "red" if bad else "bold" if line.startswith("T") else ""
        screen.print(Text(line, style=style))


def print_report(screen: Console, report: Report) -> None:
    """Print a report: a table on a terminal, lines in a pipe."""
    table = Table(
        title=report.subject, title_justify="left", box=None, pad_edge=False, show_header=False
    )
    for _ in range(4):
        table.add_column()
    for result in report.results:
        passed = Text("passed", style="green") if result.passed else Text("FAILED", style="red")
        table.add_row(passed, result.name, result.method, result.detail)
    if screen.is_terminal:
        screen.print(table)
        return
    write(screen, report.text().rstrip("\n"))


def print_json(value: object) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """Show a bar on a terminal's stderr while something runs, and remove it afterwards."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn(what),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)
