"""The verbs, for the shell."""

from __future__ import annotations

import dataclasses
import inspect
import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import click
from rich.text import Text

from symconv import actions, configuration, verbs
from symconv.errors import SymconvError
from symconv.files import read_module, write_texts
from symconv.layers.conv import Conv
from symconv.layers.filter import Filter
from symconv.layers.layer import Layer, rebuild
from symconv.layers.network import Network
from symconv.layers.spelling import command_name, option_name, read
from symconv.render.document import (
    latex_document,
    text_document,
)
from symconv.terminal import (
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


def main(arguments: list[str] | None = None) -> None:
    """Run a command; bad input is one line on stderr and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8")  # formulas need it, whatever the locale
    try:
        code = symconv.main(arguments, prog_name="symconv", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        context = error.ctx
        if context.parent is None:
            click.echo(error.format_message())
        else:
            text = f"a layer must be named; {context.command_path} --help lists them"
            click.echo(f"symconv: {text}", err=True)
        code = 2
    except (click.ClickException, SymconvError) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        click.echo(f"symconv: {' '.join(message.split())}", err=True)
        code = 2
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = 130
    except BrokenPipeError:  # the reader of a pipe has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    sys.exit(code if isinstance(code, int) else 0)


@click.group(epilog="Example: symconv demo")
@click.version_option(__version__)
def symconv() -> None:
    """Derive, prove, generate and check the gradients of convolutional layers."""


@symconv.command(epilog="Example: symconv demo")
@click.option("--force", is_flag=True, help="Overwrite files that symconv did not generate.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written, for programs.")
def demo(force: bool, as_json: bool) -> None:
    """Run all four verbs on a 2×2 filter and a 3×3 input; write the files to ./symconv-demo."""
    derivation = verbs.derive(ARTICLE)
    proof = verbs.prove(ARTICLE)
    unit = verbs.generate(ARTICLE, "article")
    report = verbs.check(unit)
    folder = Path("symconv-demo")
    written = {
        unit.path(folder): unit.source,
        folder / "derivation.txt": text_document("derive", ARTICLE, derivation.text(), __version__),
        folder / "derivation.tex": latex_document(derivation, __version__),
        folder / "proof.txt": text_document("prove", ARTICLE, proof.text(), __version__),
    }
    write_texts(written, force)
    passed = bool(proof.holds and report.passed)
    if as_json:
        print_json({"written": list(map(str, written)), "passed": passed})
        sys.exit(0 if passed else 1)
    out = screen()
    title(out, "derive: the gradients of O = X ⋆ F, from the chain rule")
    for number, step in enumerate(derivation.steps, 1):
        out.print(Text(f"{number}. {step.name}", style="bold"))
        write(out, "\n".join("    " + line for line in step.after.text.splitlines()))
    title(out, "prove: they are a correlation and a full convolution")
    print_proof(out, proof)
    title(out, "generate: a NumPy module of its own, article.py")
    source = unit.source[unit.source.index("def input_gradient") :]
    write(out, source[: source.index("\n\n\ndef")])
    title(out, "check: that very file, exactly and numerically")
    print_report(out, report)
    title(out, "written")
    for path in written:
        write(out, str(path))
    sys.exit(0 if passed else 1)


@symconv.group(epilog=f"\b\nExample:\n  symconv derive {_LAYER}")
def derive() -> None:
    """Derive a layer's gradients from the chain rule, step by step."""


@symconv.group(
    invoke_without_command=True,
    epilog=f"\b\nExamples:\n  symconv prove {_LAYER}\n"
    "  symconv prove --theorems --certificate all.json\n  symconv prove --pitfalls",
)
@click.option("--theorems", is_flag=True, help="Prove all, for every size.")
@click.option("--engines", is_flag=True, help="Ask isl and z3 about them, too.")
@click.option("--pitfalls", is_flag=True, help="Refute the known wrong rules.")
@click.option("--certificate", metavar="FILE", help="With --theorems: write their certificates to FILE.")
@click.option("--force", is_flag=True, help="Overwrite a file symconv did not generate.")
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
    """Prove what a layer's gradients are. Exit 0: all theorems hold, 1: one is false, 3: not proved.

    Certificates are checked by symconv/prove/checker.py, one short file that needs nothing else.
    """
    if context.invoked_subcommand is not None:
        if theorems or engines or pitfalls or certificate or force or as_json:
            raise click.UsageError("options before a layer go with --theorems: give them after it")
        return
    if theorems + engines + pitfalls != 1:
        raise click.UsageError("name a layer, or one of --theorems, --engines, --pitfalls")
    if certificate is not None and not theorems:
        raise click.UsageError("--certificate: goes with --theorems, or behind a layer")
    if force and certificate is None:
        raise click.UsageError("--force: goes with --certificate")
    if theorems:
        sys.exit(actions.theorems(certificate, force, as_json))
    sys.exit(actions.engines(as_json) if engines else actions.pitfalls(as_json))


@symconv.group(
    invoke_without_command=True,
    epilog=f"\b\nExamples:\n  symconv generate {_LAYER} --name layer1 -o .\n"
    "  symconv generate --config generated/symconv.toml --check",
)
@click.option("--config", "config", metavar="FILE", help="Generate every module that FILE lists.")
@click.option("--check", "only_check", is_flag=True, help="Write nothing: exit 1 if a file differs.")
@click.option("--force", is_flag=True, help="Overwrite files that symconv did not generate.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@click.pass_context
def generate(
    context: click.Context, config: str | None, only_check: bool, force: bool, as_json: bool
) -> None:
    """Generate a standalone NumPy module with forward and backward."""
    if context.invoked_subcommand is not None:
        if config is not None:
            raise click.UsageError("--config: names the modules to generate: no layer goes with it")
        if only_check or force or as_json:
            raise click.UsageError("options before a layer go with --config: give them after it")
        return
    if config is None:
        raise click.UsageError("name a layer, or a configuration with --config FILE")
    folder = Path(config).parent
    requests = configuration.read_config(config)
    differences: list[configuration.Difference | None] = []
    written: dict[Path, str] = {}
    with progress("generating", len(requests)) as advance:
        units = []
        for number, (name, request) in enumerate(requests.items(), 1):
            with configuration.said_of(config, number):
                units.append(request.generate(name))
            advance()
    for unit in units:
        if only_check:
            differences.append(configuration.difference(unit, folder))
        else:
            written[unit.path(folder)] = unit.source
    write_texts(written, force)
    found = [d for d in differences if d] + [
        configuration.Difference(path, "stale", "")
        for path in configuration.stale_files(folder, requests)
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
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def check(files: tuple[str, ...], as_json: bool) -> None:
    """Check generated files, exactly and numerically (which runs them). Exit code 1: one fails."""
    for file in files:
        read_module(file)  # a file that cannot be checked is said before any is run
    reports = []
    with progress("checking", len(files)) as advance:
        for file in files:
            reports.append(verbs.check(file))
            advance()
    if as_json:
        print_json([{"passed": r.passed, **dataclasses.asdict(r)} for r in reports])
    else:
        out = screen()
        for report in reports:
            print_report(out, report)
    sys.exit(0 if all(report.passed for report in reports) else 1)


@symconv.command(epilog="Example: symconv bench generated/res56.py")
@click.argument("files", nargs=-1, metavar="FILE...")
@click.option("-o", "--output", metavar="DIR", help="Write DIR/results.json and DIR/results.svg.")
@click.option("--growth", is_flag=True, help="Instead of files: families that differ in one size.")
@click.option("--seconds", default=4.0, help="For each file, forward and backward each. [default: 4]")
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
    """Time generated convolutions against what else is installed, on one core (which runs them).

    With --growth: time by batch, channels, image side and filter side; DIR/growth.json and .svg.
    """
    if growth == bool(files):
        raise click.UsageError("FILE...: name generated files, or give --growth and none")
    sys.exit(actions.bench(files, output, seconds, force, as_json))


_FORMAT = click.Option(
    ["--format", "form"],
    type=click.Choice(["text", "latex"]),
    default="text",
    help="latex: a document for pdflatex.",
)
_OUTPUT = click.Option(["-o", "--output"], metavar="FILE", help="Write to FILE instead of the screen.")
_JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print the answer as JSON.")
_FORCE = click.Option(["--force"], is_flag=True, help="Overwrite a file symconv did not generate.")
_VERBS: dict[str, tuple[click.Group, Callable[..., int], list[click.Parameter]]] = {
    "derive": (
        derive,
        actions.derive,
        [
            click.Option(
                ["--view"],
                type=click.Choice(["matrix", "index"]),
                help="matrix: one plane written out; index: sums, for any layer.",
            ),
            _FORMAT,
            _OUTPUT,
            _FORCE,
            _JSON,
        ],
    ),
    "prove": (
        prove,
        actions.prove,
        [
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
                help="2 adds derivatives of second order: jvp, double_backward.",
            ),
            click.Option(
                ["--accuracy"],
                type=click.Choice(["direct", "fast"]),
                default="direct",
                help="fast: Winograd's algorithms and Fourier transforms, too, which round more.",
            ),
            click.Option(["--tuning"], metavar="FILE", help="Choose as a NAME.tuning.json says."),
            click.Option(
                ["--tune"],
                is_flag=True,
                help="Time all algorithms here, choose the fastest, write NAME.tuning.json, too.",
            ),
            click.Option(["-o", "--output"], metavar="DIR", help="Write DIR/NAME.py; else print it."),
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


_METAVARS = {
    "input_shape": "NxCxH[xW[xD]]",
    "input_shapes": "NxCx...,NxCx...",
    "shape": "N[xN...]",
    "axis": "N",
    "function": "NAME|EXPRESSION",
    "layers": "JSON",
    "formula": "TEXT",
    "shapes": "NAME=NxN...[,...]",
    "extents": "INDEX=N[,...]",
    "weight": "JSON",
    "constants": "NAME=NUMBER[,...]",
    "out_features": "N",
    "out_channels": "N",
    "groups": "N",
    "eps": "NUMBER",
    "tolerance": "NUMBER",
    "momentum": "NUMBER",
    "reduction": "mean|sum",
    "normalized_shape": "N[xN...]",
    "kernel_size": "N[xN...]",
    "stride": "N[xN...]",
    "dilation": "N[xN...]",
    "output_padding": "N[xN...]",
    "padding": "N[xN...]|LO:HI[xLO:HI...]",
}


_SAMPLES = {
    "input_shape": "1x4x16x16",
    "input_shapes": "1x4x16x16,1x4x16x16",
    "out_channels": "4",
    "out_features": "10",
    "kernel_size": "3",
    "shape": "1x-1",
    "function": "relu",
    "formula": "'O[n,i] = X[n,i+k] * F[k]'",
    "shapes": "X=2x8,F=3",
    "weight": "'[[[[-1,0,1],[-2,0,2],[-1,0,1]]]]'",
    "layers": """'[{"layer": "Flatten"}, {"layer": "Linear", "out_features": 10}]'""",
}  # for the arguments that a layer must be given


def _example(verb: str, kind: type[Layer]) -> str:
    """Return a command that works."""
    samples = _SAMPLES | ({"input_shape": "1x1x16x16"} if kind is Filter else {})
    needed = ("input_shape",) if kind is Network else ()  # though it has a default, for layers that do
    words = [
        f"{option_name(field.name)} {samples[field.name]}"
        for field in dataclasses.fields(cast(Any, kind))  # every kind is a dataclass
        if field.default is dataclasses.MISSING or field.name in needed
    ]
    named = " --name layer1 -o ." if verb == "generate" else ""
    return " ".join(["symconv", verb, command_name(kind.__name__), *words]) + named


def _layer_options(kind: type[Layer]) -> list[click.Parameter]:
    """Return an option for each argument of a layer, its help from the docstring."""
    options: list[click.Parameter] = []
    for field in dataclasses.fields(cast(Any, kind)):  # every kind is a dataclass
        name = option_name(field.name)
        text = _parameter_help(kind, field.name)
        required = field.default is dataclasses.MISSING
        if isinstance(field.default, bool):
            both = f"{name}/--no-{field.name.replace('_', '-')}"
            options.append(
                click.Option(
                    [both, field.name],
                    default=None,
                    help=f"{text} [default: {'yes' if field.default else 'no'}]",
                )
            )
        else:
            shown = not required and field.default not in (None, (), "")
            default = f" [default: {field.default}]" if shown else ""
            options.append(
                click.Option(
                    [name, field.name],
                    required=required,
                    help=text + default,
                    metavar=_metavar(kind, field.name),
                )
            )
    return options


def _metavar(kind: type[Layer], name: str) -> str:
    """Return how an argument's value is written."""
    text = _METAVARS.get(name, "TEXT")
    return text + "|WORD" if name == "padding" and kind in (Conv, Filter) else text


def _parameter_help(kind: type[Layer], name: str) -> str:
    """Return what a class's docstring says of an argument, on one line."""
    section = (inspect.getdoc(kind) or "").partition("Parameters\n")[2].partition("Raises\n")[0]
    found = re.search(rf"^(?:\w+, )*{name}(?:, \w+)*\n((?:    .*\n)+)", section, re.MULTILINE)
    return _plain(" ".join(found[1].split())) if found else ""


def _plain(text: str) -> str:
    """Drop a docstring's mark-up."""
    return re.sub(r":class:`(\w+)`", r"\1", text).replace("``", "")


def _command(verb: str, kind: type[Layer]) -> click.Command:
    """Return the command that applies a verb to one kind of layer."""
    action, options = _VERBS[verb][1:]
    names = [field.name for field in dataclasses.fields(cast(Any, kind))]

    def run(**values: Any) -> None:
        given = {name: value for name in names if (value := values.pop(name)) is not None}
        arguments = {
            name: read(name, value) if isinstance(value, str) else value for name, value in given.items()
        }
        for name in ("input_shape", "shape", "normalized_shape"):
            if isinstance(arguments.get(name), int):
                arguments[name] = (arguments[name],)
        sys.exit(action(rebuild({"layer": kind.__name__, **arguments}), **values))

    command = command_name(kind.__name__)
    summary = _plain((kind.__doc__ or kind.__name__).splitlines()[0])
    return click.Command(
        command,
        params=[*_layer_options(kind), *options],
        callback=run,
        help=f"{verb.capitalize()}: {summary}",
        short_help=summary,
        epilog=f"\b\nExample:\n  {_example(verb, kind)}",
    )


for _verb, (_group, _action, _options) in _VERBS.items():
    for _kind in Layer.kinds.values():
        _group.add_command(_command(_verb, _kind))
