"""What the shell's commands do: call a verb, print its value, return the exit code."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import click

from symconv import measuring, verbs
from symconv.bench.benchmark import Benchmark, document
from symconv.bench.calibrate import calibrate as measure_machine
from symconv.bench.growth import FAMILIES, Growth
from symconv.bench.row import processor
from symconv.check.report import Report
from symconv.errors import SymconvError
from symconv.explain.documents import (
    certificates_document,
    latex_document,
    proof_document,
    text_document,
)
from symconv.explain.example import worked
from symconv.explain.figures import figures
from symconv.explain.numbers import Given
from symconv.explain.paper import worked_document
from symconv.figure_files import FIGURES, write_figures
from symconv.files import (
    generated_files,
    machine_text,
    read_arrays,
    read_data,
    read_machine,
    read_tuning,
    write_files,
)
from symconv.layers.layer import Layer
from symconv.lower.network_plan import NetworkPlan
from symconv.notation.layout import WIDTH
from symconv.prove.catalogue import CATALOGUE
from symconv.prove.refutations import refutations
from symconv.prove.survey import (
    Opinion,
    disagreements,
    engines_table,
    missing_engines,
    opinions,
    survey,
    table,
)
from symconv.targets.numpy.cost import MIDDLING
from symconv.targets.numpy.memory import needs
from symconv.targets.numpy.rationale import choices, rationale
from symconv.targets.numpy.stages import stage_text
from symconv.terminal import (
    columns,
    print_derivation,
    print_json,
    print_proof,
    print_report,
    progress,
    screen,
    write,
)
from symconv.verb_arguments import check_seconds
from symconv.version import __version__


def derive(
    layer: Layer,
    view: str | None,
    full: bool,
    numbers: str | None,
    exercise: bool,
    solution: bool,
    form: str | None,
    output: str | None,
    force: bool,
    as_json: bool,
) -> int:
    """Derive a layer's gradients: print the steps, or write a document, or an example with numbers."""
    form = _format(form, output)
    if solution and not exercise:
        raise click.UsageError(
            "--solution: goes with --exercise; --numbers alone prints a worked example"
        )
    if numbers is not None or exercise:
        if as_json:
            raise click.UsageError("--json: does not go with --numbers, --exercise or --solution")
        return _worked(layer.few, numbers or "0", exercise, solution, form, output, force)
    with progress("deriving"):
        derivation = verbs.derive(layer, view, full)
        text = latex_document(derivation, __version__) if form == "latex" else derivation.text()
    passed = all(step.check.passed for step in derivation.steps)
    if output is not None and as_json:
        raise click.UsageError("--json: prints its answer, so it does not go with -o")
    if output is not None:
        document = text if form == "latex" else text_document("derive", layer, text, __version__)
        write_files({Path(output): document}, force)
    if as_json:
        steps = [dataclasses.asdict(step) for step in derivation.steps]
        print_json({"layer": layer.as_dict(), "view": derivation.view, "passed": passed, "steps": steps})
    elif output is not None:
        write(screen(), output)
    elif form == "latex":
        click.echo(text, nl=False)
    else:
        print_derivation(screen(), derivation)
    return 0 if passed else 1


def _worked(
    layer: Layer,
    numbers: str,
    exercise: bool,
    solution: bool,
    form: str,
    output: str | None,
    force: bool,
) -> int:
    """Print a worked example, an exercise, or an exercise and its solution; or write a document."""
    given = _numbers(numbers)

    parts = [worked(layer, given, blanks=True)] if exercise else []
    if solution or not exercise:
        parts.append(worked(layer, given))
    if form == "latex":
        document = worked_document(layer, [part.latex() for part in parts], __version__)
    else:
        width = columns(screen()) if output is None else WIDTH
        document = "\n".join(part.text(width) for part in parts)
    if output is None:
        click.echo(document, nl=False)
        return 0
    if form == "text":
        document = text_document("derive", layer, document, __version__)
    write_files({Path(output): document}, force)
    write(screen(), output)
    return 0


def _numbers(text: str) -> Given:
    """Read a seed, or the name of a file with arrays."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    if not text.endswith((".toml", ".json")):
        raise click.UsageError(f"--numbers {text}: must be a seed, or a .toml or .json file of arrays")
    data = read_data(text)
    if not isinstance(data, dict):
        raise SymconvError(f"{text}: must contain arrays by name: x, weight, bias, grad_output")
    return data


def explain(
    layer: Layer, form: str | None, output: str | None, force: bool, opened: bool, as_json: bool
) -> int:
    """Write the page, the document or the figures that explain a layer; open the first if asked."""
    suffix = Path(output).suffix if output else ""
    form = form or {".tex": "latex"}.get(suffix, "html")
    passed = True
    with progress("explaining"):
        if form in FIGURES:
            written = write_figures(figures(layer.few), form, Path(output or "figures"), force)
        else:
            explanation = verbs.explain(layer)
            default = "explanation.html" if form == "html" else "explanation.tex"
            written = [explanation.write(output or default, force)]
            steps = all(step.check.passed for step in explanation.derivation.steps)
            proved = explanation.proof.holds is not False
            passed = bool(steps and proved and explanation.report.passed)
    if as_json:
        print_json({"written": list(map(str, written)), "passed": passed})
    else:
        write(screen(), "\n".join(map(str, written)))
    if opened:
        click.launch(str(written[0]))
    return 0 if passed else 1


def _format(form: str | None, output: str | None) -> str:
    """Return the format of a document: the one asked for, which its file's suffix must be of."""
    known = {".txt": "text", ".tex": "latex"}
    if output is None:
        return form or "text"
    suffix = Path(output).suffix
    if suffix not in known:
        raise click.UsageError(f"--output {output}: must end in .txt or .tex (a document for pdflatex)")
    if form not in (None, known[suffix]):
        raise click.UsageError(f"--format {form}: does not go with --output {output}")
    return known[suffix]


def check(files: Sequence[str], as_json: bool) -> int:
    """Check generated files and those in folders; say why a file cannot be checked."""
    reports: list[Report] = []
    refused: dict[str, str] = {}
    paths = [path for file in files for path in generated_files(file)]
    with progress("checking", len(paths)) as advance:
        for path in paths:
            try:
                reports.append(verbs.check(path))
            except SymconvError as error:
                refused[str(path)] = str(error)
            advance()
    if as_json:
        found = [{"passed": r.passed, **dataclasses.asdict(r)} for r in reports]
        print_json([*found, *({"subject": s, "error": text} for s, text in refused.items())])
    else:
        for report in reports:
            print_report(screen(), report)
    for text in refused.values():
        click.echo(f"symconv: {text}", err=True)
    return 2 if refused else 0 if all(reports) else 1


def prove(
    layer: Layer,
    verbose: bool,
    form: str | None,
    output: str | None,
    certificate: str | None,
    force: bool,
    as_json: bool,
) -> int:
    """Prove a layer's theorems: print them, or write a document, or their certificates."""
    if output is not None and as_json:
        raise click.UsageError("--json: prints its answer, so it does not go with -o")
    if output is not None and certificate is not None and Path(output) == Path(certificate):
        raise click.UsageError(f"--certificate {certificate}: is the file that -o names")
    form = _format(form, output)
    with progress("proving"):
        proof = verbs.prove(layer)
    text = proof_document(proof, __version__) if form == "latex" else proof.text(verbose=True)
    documents: dict[Path, str] = {}
    if output is not None:
        document = text if form == "latex" else text_document("prove", layer, text, __version__)
        documents[Path(output)] = document
    if certificate is not None:
        documents[Path(certificate)] = certificates_document(proof.certificates, __version__)
    write_files(documents, force)
    if as_json:
        print_json({"layer": layer.as_dict(), **proof.as_dict()})
    elif form == "latex" and output is None:
        click.echo(text, nl=False)
    else:
        if output is None:
            print_proof(screen(), proof, verbose)
        for path in documents:
            write(screen(), str(path))
    return {True: 0, False: 1, None: 3}[proof.holds]


def generate(
    layer: Layer,
    name: str,
    order: int,
    accuracy: str,
    tuning: str | None,
    tune: bool,
    machine: str | None,
    target: str,
    params: str | None,
    output: str | None,
    explained: bool,
    show: str,
    force: bool,
    as_json: bool,
) -> int:
    """Generate a layer's module: print or write it, or explain the plan."""
    if output is not None and output.endswith((".py", ".c")):
        raise click.UsageError(f"--output {output}: must be a folder; --name names the file")
    if tune and (output is None or tuning is not None):
        raise click.UsageError(
            "--tune: writes its measurements beside the module: give --output, without --tuning"
        )
    measured = read_tuning(tuning) if tuning is not None else None
    constants = read_machine(machine) if machine is not None else MIDDLING
    if tune:
        with progress("tuning") as advance:
            measured = measuring.tune(layer, order, accuracy, advance=advance, target=target)
    with progress("generating"):
        unit = verbs.generate(
            layer,
            name,
            order=order,
            accuracy=accuracy,
            tuning=measured,
            machine=constants,
            target=target,
            params=read_arrays(params) if params is not None else None,
        )
    path = unit.write(output, force) if output is not None else None
    if as_json:
        print_json(
            {
                "name": name,
                "path": path and str(path),
                "layer": layer.as_dict(),
                "source": unit.source,
                "plan": choices(unit.plan),
                **(
                    {"needs": dataclasses.asdict(needs(unit.plan))}
                    if isinstance(unit.plan, NetworkPlan)
                    else {}
                ),
            }
        )
    elif explained:
        write(screen(), rationale(unit.plan))
    elif path is not None:
        write(screen(), str(path))
    else:
        click.echo(unit.source if show == "source" else stage_text(unit.plan, show), nl=False)
    return 0


def calibrate(output: str, seconds: float, force: bool) -> int:
    """Measure this machine's constants for the cost model and write them to a file."""
    with progress("calibrating"):
        machine = measure_machine(check_seconds(seconds))
    write_files({Path(output): machine_text(machine, processor(), __version__)}, force)
    write(screen(), output)
    return 0


def bench(files: Sequence[str], output: str | None, seconds: float, force: bool, as_json: bool) -> int:
    """Time files, or families of layers, against other libraries; print or write what was measured."""
    if output is not None and find_spec("matplotlib") is None:
        raise click.UsageError(
            "--output: needs matplotlib to draw a chart: pip install 'symconv[bench]'"
        )
    if files:
        with progress("timing", len(files)) as advance:
            found: Benchmark | Growth = measuring.bench(files, seconds, advance)
    else:
        with progress("timing", sum(map(len, FAMILIES.values()))) as advance:
            found = measuring.growth(seconds, advance)
    if output is not None:
        stem = Path(output) / ("results" if files else "growth")
        texts = {
            stem.with_suffix(".json"): document(found.as_dict(), __version__),
            stem.with_suffix(".svg"): found.chart(__version__),
        }
        write_files(texts, force)
    if as_json:
        print_json(found.as_dict())
    else:
        write(screen(), found.text())
    return 0


def theorems(certificate: str | None, force: bool, as_json: bool) -> int:
    """Prove every theorem of the catalogue; print a table, and write the certificates if asked."""
    with progress("proving", len(CATALOGUE)) as advance:
        rows = survey(advance)
    if certificate is not None:
        every = [found for row in rows for found in row.certificates]
        write_files({Path(certificate): certificates_document(every, __version__)}, force)
    if as_json:
        print_json(
            [
                {
                    "theorem": row.name,
                    "says": row.says,
                    "scope": row.scope,
                    "certificates": len(row.certificates),
                    "failures": row.failures,
                }
                for row in rows
            ]
        )
    else:
        write(screen(), table(rows))
        if certificate is not None:
            write(screen(), certificate)
    return 3 if any(row.failures for row in rows) else 0


def engines(as_json: bool) -> int:
    """Ask the checker and every installed engine about each theorem; exit with 1 if they disagree."""
    given: list[Opinion] = []
    with progress("asking", len(CATALOGUE)) as advance:
        for entry in CATALOGUE:
            given += opinions(entry)
            advance()
    if as_json:
        print_json([dataclasses.asdict(opinion) for opinion in given])
    else:
        write(screen(), engines_table(given))
        for package in missing_engines():
            write(screen(), f"{package} is not installed: pip install 'symconv[verify]'")
    return 1 if disagreements(given) else 3 if any(o.holds is None for o in given) else 0


def pitfalls(as_json: bool) -> int:
    """Refute every known wrong rule about a gradient."""
    found = list(refutations())
    if as_json:
        print_json([refutation.as_dict() for refutation in found])
    else:
        for refutation in found:
            write(screen(), refutation.text())
    return 0 if all(refutation.counterexample for refutation in found) else 3
