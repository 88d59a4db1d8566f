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

from symconv import verbs
from symconv.errors import SymconvError
from symconv.layers.conv import Conv, ConvLayer
from symconv.layers.layer import Layer, rebuild
from symconv.layers.spelling import command_name, option_name, parse
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
from symconv.render.document import (
    certificates_document,
    latex_document,
    proof_document,
    text_document,
)
from symconv.render.explain import choice_text, explain
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


def main(arguments: list[str] | None = None) -> None:
    """Run a command; bad input is one line on stderr and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8")  # formulas need it, whatever the locale
    try:
        code = symconv.main(arguments, prog_name="symconv", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
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
    written = [unit.write(folder, force)]
    for name, text in (
        ("derivation.txt", text_document("derive", ARTICLE, derivation.text(), __version__)),
        ("derivation.tex", latex_document(derivation, __version__)),
        ("proof.txt", text_document("prove", ARTICLE, proof.text(), __version__)),
    ):
        verbs.write_text(folder / name, text, force)
        written.append(folder / name)
    if as_json:
        print_json({"written": list(map(str, written)), "passed": bool(proof.holds and report.passed)})
        return
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
    sys.exit(0 if proof.holds and report.passed else 1)


@symconv.group(epilog=f"\b\nExample:\n  symconv derive {_LAYER}")
def derive() -> None:
    """Derive a layer's gradients from the chain rule, step by step."""


@symconv.group(
    invoke_without_command=True,
    epilog=f"\b\nExamples:\n  symconv prove {_LAYER}\n  symconv prove --theorems --certificate all.json\n"
    "  symconv prove --pitfalls",
)
@click.option("--theorems", "what", flag_value="theorems", help="Prove all theorems, for every size.")
@click.option("--engines", "what", flag_value="engines", help="Ask isl and z3 about them, too.")
@click.option("--pitfalls", "what", flag_value="pitfalls", help="Refute the known wrong rules.")
@click.option("--certificate", metavar="FILE", help="With --theorems: write their certificates to FILE.")
@click.option("--force", is_flag=True, help="Overwrite a file symconv did not generate.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@click.pass_context
def prove(
    context: click.Context, what: str | None, certificate: str | None, force: bool, as_json: bool
) -> None:
    """Prove what a layer's gradients are. Exit 0: all theorems hold, 1: one is false, 3: not proved.

    Certificates are checked by symconv/prove/checker.py, one short file that needs nothing else.
    """
    if context.invoked_subcommand is not None:
        if what or certificate or force or as_json:
            raise click.UsageError("options before a layer go with --theorems: give them after it")
        return
    if certificate is not None and what != "theorems":
        raise click.UsageError("--certificate: goes with --theorems, or behind a layer")
    if what == "theorems":
        sys.exit(_theorems(certificate, force, as_json))
    if what == "engines":
        sys.exit(_engines(as_json))
    if what == "pitfalls":
        sys.exit(_pitfalls(as_json))
    raise click.UsageError("name a layer, or one of --theorems, --engines, --pitfalls")


def _theorems(certificate: str | None, force: bool, as_json: bool) -> int:
    with progress("proving", len(CATALOGUE)) as advance:
        rows = survey(advance)
    if certificate is not None:
        every = [found for row in rows for found in row.certificates]
        verbs.write_text(Path(certificate), certificates_document(every, __version__), force)
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
        write(screen(), certificate if certificate is not None else table(rows))
    return 3 if any(row.failures for row in rows) else 0


def _engines(as_json: bool) -> int:
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


def _pitfalls(as_json: bool) -> int:
    found = list(refutations())
    if as_json:
        print_json([refutation.as_dict() for refutation in found])
    else:
        for refutation in found:
            write(screen(), refutation.text())
    return 0 if all(refutation.counterexample for refutation in found) else 3


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
        if config is not None or only_check or force or as_json:
            raise click.UsageError("options before a layer go with --config: give them after it")
        return
    if config is None:
        raise click.UsageError("name a layer, or a configuration with --config FILE")
    folder = Path(config).parent
    layers = verbs.read_config(config)
    differences, written = [], []
    with progress("generating", len(layers)) as advance:
        units = []
        for name, layer in layers.items():
            units.append(verbs.generate(layer, name))
            advance()
    for unit in units:
        if only_check:
            differences.append(verbs.difference(unit, folder))
        else:
            written.append(unit.write(folder, force))
    found = [d for d in differences if d] + [
        verbs.Difference(path, "stale", "") for path in verbs.stale_files(folder, layers)
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
        verbs.read_module(file)  # a file that cannot be checked is said before any is run
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


def _derive(
    layer: ConvLayer, view: str | None, form: str, output: str | None, force: bool, as_json: bool
) -> int:
    with progress("deriving"):
        derivation = verbs.derive(layer, view)
        text = latex_document(derivation, __version__) if form == "latex" else derivation.text()
    passed = all(step.check.passed for step in derivation.steps)
    if output is not None and as_json:
        raise click.UsageError("--json: prints its answer, and does not go with -o")
    if output is not None:
        document = text if form == "latex" else text_document("derive", layer, text, __version__)
        verbs.write_text(Path(output), document, force)
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


def _prove(
    layer: ConvLayer,
    form: str,
    output: str | None,
    certificate: str | None,
    force: bool,
    as_json: bool,
) -> int:
    if output is not None and as_json:
        raise click.UsageError("--json: prints its answer, and does not go with -o")
    with progress("proving"):
        proof = verbs.prove(layer)
    text = proof_document(proof, __version__) if form == "latex" else proof.text()
    if certificate is not None:
        written = certificates_document(proof.certificates, __version__)
        verbs.write_text(Path(certificate), written, force)
    if output is not None:
        document = text if form == "latex" else text_document("prove", layer, text, __version__)
        verbs.write_text(Path(output), document, force)
    if as_json:
        print_json({"layer": layer.as_dict(), **proof.as_dict()})
    elif form == "latex" and output is None:
        click.echo(text, nl=False)
    elif output is None and certificate is None:
        print_proof(screen(), proof)
    else:
        for path in filter(None, (output, certificate)):
            write(screen(), path)
    return {True: 0, False: 1, None: 3}[proof.holds]


def _generate(
    layer: ConvLayer, name: str, output: str | None, explained: bool, force: bool, as_json: bool
) -> int:
    if output is not None and output.endswith(".py"):
        raise click.UsageError(f"--output {output}: must be a folder, the file is named by --name")
    with progress("generating"):
        unit = verbs.generate(layer, name)
    path = unit.write(output, force) if output is not None else None
    if as_json:
        functions = (unit.plan.forward, *unit.plan.gradients)
        print_json(
            {
                "name": name,
                "path": path and str(path),
                "layer": layer.as_dict(),
                "source": unit.source,
                "plan": {f.name: choice_text(f) for f in functions},
            }
        )
    elif explained:
        write(screen(), explain(unit.plan))
    elif path is not None:
        write(screen(), str(path))
    else:
        click.echo(unit.source, nl=False)
    return 0


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
        _derive,
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
        _prove,
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
        _generate,
        [
            click.Option(["--name"], required=True, help="The module's name."),
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
    "out_channels": "N",
    "groups": "N",
    "kernel_size": "N[xN...]",
    "stride": "N[xN...]",
    "dilation": "N[xN...]",
    "output_padding": "N[xN...]",
    "padding": "N[xN...]|LO:HI[xLO:HI...]|WORD",
}


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
            default = "" if required else f" [default: {field.default}]"
            options.append(
                click.Option(
                    [name, field.name],
                    required=required,
                    help=text + default,
                    metavar=_METAVARS.get(field.name, "TEXT"),
                )
            )
    return options


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
            name: parse(option_name(name), value)
            if isinstance(value, str) and name not in ("dtype", "padding_mode")
            else value
            for name, value in given.items()
        }
        if isinstance(arguments["input_shape"], int):
            arguments["input_shape"] = (arguments["input_shape"],)
        sys.exit(action(rebuild({"layer": kind.__name__, **arguments}), **values))

    command = command_name(kind.__name__)
    example = f"symconv {verb} {command} --input-shape 1x3x16x16 --out-channels 4 --kernel-size 3"
    if verb == "generate":
        example += " --name layer1 -o ."
    summary = _plain((kind.__doc__ or kind.__name__).splitlines()[0])
    return click.Command(
        command,
        params=[*_layer_options(kind), *options],
        callback=run,
        help=f"{verb.capitalize()}: {summary}",
        short_help=summary,
        epilog=f"\b\nExample:\n  {example}",
    )


for _verb, (_group, _action, _options) in _VERBS.items():
    for _kind in Layer.kinds.values():
        _group.add_command(_command(_verb, _kind))
