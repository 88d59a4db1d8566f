"""The verbs, for the shell."""

from __future__ import annotations

import ast
import io
import signal
import sys
from pathlib import Path

import click

from symconv import actions, configuration, importing, verbs
from symconv.errors import SymconvError
from symconv.explain.documents import (
    latex_document,
    text_document,
)
from symconv.figure_files import FIGURES
from symconv.files import write_files
from symconv.layer_commands import Action, Verb, layer_command, network_command
from symconv.layers.conv import Conv
from symconv.layers.layer import Layer
from symconv.terminal import (
    print_derivation,
    print_json,
    print_proof,
    print_report,
    progress,
    screen,
    title,
    write,
)
from symconv.version import __version__

ARTICLE = Conv((1, 1, 3, 3), out_channels=1, kernel_size=2, bias=False)
_LAYER = "conv --input-shape 1x3x16x16 --out-channels 4 --kernel-size 3"


def main() -> None:
    """Run the command that the shell was given, and exit with its code."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end quietly when a pipe's reader has gone
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command and return its exit code; invalid input prints one line on stderr and returns 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8")  # formulas need it, whatever the locale
    try:
        code = symconv.main(arguments, prog_name="symconv", standalone_mode=False)
        sys.stdout.flush()
    except SystemExit as error:  # a command's own code
        code = error.code
    except click.exceptions.NoArgsIsHelpError as error:
        context = error.ctx
        if context.parent is None:
            click.echo(error.format_message())
        else:
            text = f"name a layer; {context.command_path} --help lists them"
            click.echo(f"symconv: {text}", err=True)
        code = 2
    except click.NoSuchOption as error:
        click.echo(f"symconv: {_option_hint(error.option_name) or error.format_message()}", err=True)
        code = 2
    except (click.ClickException, SymconvError) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        click.echo(f"symconv: {' '.join(message.split())}", err=True)
        code = 2
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = 130
    return code if isinstance(code, int) else 0


def _option_hint(option: str) -> str:
    """Say where an option belongs that was given behind a layer."""
    alone = {"--theorems": "prove", "--engines": "prove", "--pitfalls": "prove", "--config": "generate"}
    if option not in alone:
        return ""
    return f"{option}: goes without a layer: symconv {alone[option]} {option}"


@click.group(cls=Verb, epilog="Example: symconv demo")
@click.version_option(__version__)
def symconv() -> None:
    """Derive, explain, prove, generate and check the gradients of convolutional layers."""


@symconv.command(epilog="Example: symconv demo")
@click.option("--force", is_flag=True, help="Overwrite files that symconv did not generate.")
@click.option("--verbose", is_flag=True, help="Print every step, all evidence and every check.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@click.option("--open", "opened", is_flag=True, help="Open the page in a browser.")
def demo(force: bool, verbose: bool, as_json: bool, opened: bool) -> None:
    """Explain a 2×2 filter on a 3×3 input; write a page and the other files to ./symconv-demo."""
    explanation = verbs.explain(ARTICLE)
    derivation, proof = explanation.derivation, explanation.proof
    unit = verbs.generate(ARTICLE, "article")
    report = verbs.check(unit)
    folder = Path("symconv-demo")
    page = folder / "article.html"
    written = {
        page: explanation.html(),
        unit.path(folder): unit.source,
        folder / "derivation.txt": text_document("derive", ARTICLE, derivation.text(), __version__),
        folder / "derivation.tex": latex_document(derivation, __version__),
        folder / "proof.txt": text_document("prove", ARTICLE, proof.text(), __version__),
    }
    write_files(written, force)
    passed = bool(proof.holds and report.passed)
    if opened:
        click.launch(str(page))
    if as_json:
        print_json({"written": list(map(str, written)), "passed": passed})
        sys.exit(0 if passed else 1)
    out = screen()
    title(out, "explain: everything below and pictures, on a page for a browser")
    write(out, str(page))
    title(out, "derive: the gradients of O = X ⋆ F, from the chain rule")
    if verbose:
        print_derivation(out, derivation)
    else:
        for number, step in enumerate(derivation.steps, 1):
            if not step.name.startswith(("Write the input", "Rotate")):
                write(out, f"{number}. {step.name}")
                write(out, "\n".join("    " + line for line in step.after.text.splitlines()))
    title(out, "prove: they are a correlation and a full convolution, for these sizes and for all")
    print_proof(out, proof, verbose)
    title(out, "generate: a NumPy module of its own, article.py")
    write(out, _without_docstring(unit.source, "input_gradient"))
    title(out, "check: that very file, exactly and numerically")
    if verbose:
        print_report(out, report)
    else:
        write(out, f"{report.subject}: {report.summary}")
    title(out, "written")
    write(out, "\n".join(map(str, written)))
    sys.exit(0 if passed else 1)


def _without_docstring(source: str, function: str) -> str:
    """Return a function's text, without what it says of itself."""
    (found,) = (node for node in ast.parse(source).body if getattr(node, "name", "") == function)
    assert isinstance(found, ast.FunctionDef)  # a module's names are its functions
    lines, said = source.splitlines(), found.body[0]
    return "\n".join(
        lines[found.lineno - 1 : said.lineno - 1] + lines[said.end_lineno : found.end_lineno]
    )


@symconv.group(cls=Verb, epilog=f"\b\nExample:\n  symconv derive {_LAYER}")
def derive() -> None:
    """Derive a layer's gradients from the chain rule, step by step."""


@symconv.group(cls=Verb, epilog=f"\b\nExample:\n  symconv explain {_LAYER} -o page.html")
def explain() -> None:
    """Explain a layer on a page: pictures, derivation, theorems, generated module, check."""


@symconv.group(
    cls=Verb,
    invoke_without_command=True,
    epilog=f"\b\nExamples:\n  symconv prove {_LAYER}\n"
    "  symconv prove --theorems --certificate all.json\n  symconv prove --pitfalls",
)
@click.option("--theorems", is_flag=True, help="Prove all theorems for every size.")
@click.option("--engines", is_flag=True, help="Check all theorems with isl and z3 as well.")
@click.option("--pitfalls", is_flag=True, help="Refute known wrong rules about gradients.")
@click.option("--certificate", metavar="FILE", help="With --theorems: write the certificates to FILE.")
@click.option("--force", is_flag=True, help="Overwrite a file that symconv did not generate.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@click.pass_context
def prove(
    context: click.Context,
    theorems: bool,
    engines: bool,
    pitfalls: bool,
    certificate: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Prove theorems about a layer's gradients.

    Exit code 0: all theorems hold; 1: a theorem is refuted; 3: a theorem is not proved.

    Certificates are checked by symconv/prove/checker.py, one short file that needs nothing else.
    """
    if context.invoked_subcommand is not None:
        if theorems or engines or pitfalls or certificate or force or as_json:
            raise click.UsageError(
                "options before a layer belong to --theorems: write them after the layer"
            )
        return
    if theorems + engines + pitfalls != 1:
        raise click.UsageError("name a layer, or one of --theorems, --engines, --pitfalls")
    if certificate is not None and not theorems:
        raise click.UsageError("--certificate: goes with --theorems, or after a layer")
    if force and certificate is None:
        raise click.UsageError("--force: goes with --certificate")
    if theorems:
        sys.exit(actions.theorems(certificate, force, as_json))
    sys.exit(actions.engines(as_json) if engines else actions.pitfalls(as_json))


@symconv.group(
    cls=Verb,
    invoke_without_command=True,
    epilog=f"\b\nExamples:\n  symconv generate {_LAYER} --name layer1 -o .\n"
    "  symconv generate --config generated/symconv.toml --check",
)
@click.option("--config", "config", metavar="FILE", help="Generate every module that FILE lists.")
@click.option(
    "--check", "only_check", is_flag=True, help="Write nothing; exit with 1 if a file differs."
)
@click.option("--force", is_flag=True, help="Overwrite files that symconv did not generate.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@click.pass_context
def generate(
    context: click.Context, config: str | None, only_check: bool, force: bool, as_json: bool
) -> None:
    """Generate a standalone module with forward and backward, in NumPy or C."""
    if context.invoked_subcommand is not None:
        if config is not None:
            raise click.UsageError("--config: lists the modules to generate, so it takes no layer")
        if only_check or force or as_json:
            raise click.UsageError(
                "options before a layer belong to --config: write them after the layer"
            )
        return
    if config is None:
        raise click.UsageError("name a layer, or a configuration with --config FILE")
    folder = Path(config).parent
    requests = configuration.read_config(config)
    found: list[configuration.Difference] = []
    written: dict[Path, str] = {}
    with progress("generating", len(requests)) as advance:
        units = []
        for number, (name, request) in enumerate(requests.items(), 1):
            with configuration.said_of(config, number):
                units.append(request.generate(name))
            advance()
    for unit in units:
        if only_check:
            found += configuration.differences(unit, folder)
        else:
            written |= unit.texts(folder)
    write_files(written, force)
    found += [
        configuration.Difference(path, "stale", "") for path in configuration.stale_files(folder, units)
    ]
    if as_json:
        print_json(
            {
                "written": list(map(str, written)),
                "differences": [{"path": str(d.path), "kind": d.kind, "diff": d.diff} for d in found],
            }
        )
    else:
        out = screen()
        for d in found:
            why = ", no module is listed under this name" if d.kind == "stale" else ""
            write(out, f"{d.path}: {d.kind}{why}\n{d.diff}".rstrip("\n"))
        summary = "no file differs" if only_check and not found else f"written: {len(written)}"
        if written or not found:
            write(out, summary)
    sys.exit(1 if found and only_check else 0)


@symconv.command(epilog="Example: symconv check symconv-demo/article.py")
@click.argument("files", nargs=-1, required=True, metavar="FILE|FOLDER...")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def check(files: tuple[str, ...], as_json: bool) -> None:
    """Check generated files, or all in a folder: their contract, exactly and numerically (runs them).

    Exit code 0: all pass; 1: a file fails; 2: a file cannot be checked (the others still are).

    Check your own functions in Python: symconv.check(layer, forward=..., backward=...).
    """
    sys.exit(actions.check(files, as_json))


@symconv.command(epilog="Example: symconv calibrate -o machine.json")
@click.option("-o", "--output", metavar="FILE", default="machine.json", help="Where to write them.")
@click.option("--seconds", type=float, default=4.0, help="How long it takes, roughly.")
@click.option("--force", is_flag=True, help="Replace a file that symconv did not generate.")
def calibrate(output: str, seconds: float, force: bool) -> None:
    """Measure this machine's constants for the choice of algorithms."""
    sys.exit(actions.calibrate(output, seconds, force))


@symconv.command(epilog="Example: symconv bench generated/res56.py")
@click.argument("files", nargs=-1, metavar="FILE...")
@click.option("-o", "--output", metavar="DIR", help="Write DIR/results.json and DIR/results.svg.")
@click.option(
    "--growth", is_flag=True, help="Time families of layers that differ in one size, not files."
)
@click.option(
    "--seconds", default=4.0, help="Seconds for each file, for forward and backward each. [default: 4]"
)
@click.option("--force", is_flag=True, help="Overwrite files that symconv did not generate.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def bench(
    files: tuple[str, ...],
    output: str | None,
    growth: bool,
    seconds: float,
    force: bool,
    as_json: bool,
) -> None:
    """Time generated convolutions against other installed libraries, on one core (runs them).

    With --growth: vary the batch, channels, input size or kernel size; write DIR/growth.json and .svg.
    """
    if growth == bool(files):
        raise click.UsageError("FILE...: name generated files, or give --growth without files")
    sys.exit(actions.bench(files, output, seconds, force, as_json))


symconv.add_command(importing.import_)

_FORMAT = click.Option(
    ["--format", "form"],
    type=click.Choice(["text", "latex"]),
    help="latex: a document for pdflatex. By default, the suffix of -o decides.",
)
_OUTPUT = click.Option(["-o", "--output"], metavar="FILE", help="Write to FILE (.txt or .tex).")
_JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print the answer as JSON.")
_FORCE = click.Option(["--force"], is_flag=True, help="Overwrite a file that symconv did not generate.")
_OPEN = click.Option(["--open", "opened"], is_flag=True, help="Open the page in a browser.")
_VERBS: dict[str, tuple[click.Group, Action, list[click.Parameter]]] = {
    "derive": (
        derive,
        actions.derive,
        [
            click.Option(
                ["--view"],
                type=click.Choice(["matrix", "index"]),
                help="matrix: one plane as matrices; index: sums over indices, for any layer.",
            ),
            click.Option(["--full"], is_flag=True, help="Print every element, term and phase."),
            click.Option(
                ["--numbers"],
                metavar="SEED|FILE",
                help="Print an example with random numbers, or with the arrays of a TOML or JSON file.",
            ),
            click.Option(["--exercise"], is_flag=True, help="Print the example with blanks to fill in."),
            click.Option(["--solution"], is_flag=True, help="With --exercise: also print its solution."),
            _FORMAT,
            _OUTPUT,
            _FORCE,
            _JSON,
        ],
    ),
    "explain": (
        explain,
        actions.explain,
        [
            click.Option(
                ["--format", "form"],
                type=click.Choice(["html", "latex", *FIGURES]),
                help="html, latex: one file; other formats: one for each figure (svg: also animated).",
            ),
            click.Option(
                ["-o", "--output"],
                metavar="FILE|DIR",
                help="Write to FILE (.html, .tex), or figures to DIR. [default: explanation.html]",
            ),
            _OPEN,
            _FORCE,
            _JSON,
        ],
    ),
    "prove": (
        prove,
        actions.prove,
        [
            click.Option(
                ["--verbose"], is_flag=True, help="Also print the evidence and the refuted claims."
            ),
            _FORMAT,
            _OUTPUT,
            click.Option(["--certificate"], metavar="FILE", help="Write the certificates to FILE."),
            _FORCE,
            _JSON,
        ],
    ),
    "generate": (
        generate,
        actions.generate,
        [
            click.Option(["--name"], required=True, help="The module's name."),
            click.Option(
                ["--order"],
                type=click.IntRange(1, 2),
                default=1,
                help="2 adds second-order derivatives: jvp and double_backward.",
            ),
            click.Option(
                ["--accuracy"],
                type=click.Choice(["direct", "fast"]),
                default="direct",
                help="fast: also use Winograd's algorithms and Fourier transforms, which round more.",
            ),
            click.Option(
                ["--tuning"],
                metavar="FILE",
                help="Choose algorithms by the times in FILE, a NAME.tuning.json.",
            ),
            click.Option(
                ["--tune"],
                is_flag=True,
                help="Time all algorithms here, choose the fastest, and write NAME.tuning.json.",
            ),
            click.Option(
                ["--machine"],
                metavar="FILE",
                help="Choose algorithms by the machine's constants in FILE, which calibrate writes.",
            ),
            click.Option(
                ["--target"],
                type=click.Choice(["numpy", "c"]),
                default="numpy",
                help="c: a file in C99 with a header, and a Python module that compiles and calls it.",
            ),
            click.Option(
                ["--params"],
                metavar="FILE",
                help="In C also write NAME_weights.h: the parameters in FILE, an .npz, as constants.",
            ),
            click.Option(
                ["-o", "--output"],
                metavar="DIR",
                help="Write DIR/NAME.py (in C also NAME.c and NAME.h) instead of printing it.",
            ),
            click.Option(
                ["--show"],
                type=click.Choice(["graph", "algorithm", "kernel", "source"]),
                default="source",
                help="Print a stage on the way to the module instead.",
            ),
            click.Option(
                ["--explain", "explained"],
                is_flag=True,
                help="Print which algorithm was chosen for each function, and why.",
            ),
            _FORCE,
            _JSON,
        ],
    ),
}


def _add_commands(verb: str, group: click.Group, action: Action, options: list[click.Parameter]) -> None:
    """Give a verb a command for each kind of layer, and for a file with a network."""
    assert isinstance(group, Verb)  # each verb is declared as one
    for kind in Layer.kinds.values():
        group.add_command(layer_command(verb, kind, action, options))
    group.network = lambda file: network_command(verb, file, action, options)


for _verb, (_group, _action, _options) in _VERBS.items():
    _add_commands(_verb, _group, _action, _options)
