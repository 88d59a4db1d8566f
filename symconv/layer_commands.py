"""A command for each verb and kind of layer: its options come from the layer's arguments."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any, cast

import click

from symconv.errors import SymconvError
from symconv.files import read_data
from symconv.layers.activations import NAMED
from symconv.layers.arguments import WITH_BATCH
from symconv.layers.conv import ConvTranspose
from symconv.layers.cross_entropy import SoftmaxCrossEntropy
from symconv.layers.layer import Layer, rebuild
from symconv.layers.spelling import DATA, command_name, option_name, read, spell

DOCUMENTS = (".toml", ".json")  # files that may have a network, or what is data
Action = Callable[..., int]


class Verb(click.Group):
    """A verb's group: commands in their own order, whole summaries, and hints for likely mistakes.

    The name of a TOML or JSON file is also a command, which applies the verb to the file's network.
    """

    network: Callable[[str], click.Command] | None = None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which they were added."""
        return list(self.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name; the name of a file stands for the network in it."""
        if self.network is not None and cmd_name.endswith(DOCUMENTS):
            return self.network(cmd_name)
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; for an unknown name, suggest what was probably meant."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            raise click.UsageError(f"{name}: is not a command here{_hint(name, list(self.commands))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write every command with its whole summary."""
        rows = [(name, command.get_short_help_str(1000)) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _hint(name: str, known: Sequence[str]) -> str:
    lower = name.lower().replace("_", "-")
    if lower.replace("-", "_") in NAMED:
        return f"; write: activation --function {lower.replace('-', '_')}"
    plain = re.sub(r"-?[123]d$", "", lower)
    near = [plain] if plain in known else difflib.get_close_matches(plain, known, 1)
    return f"; did you mean {near[0]}?" if near else "; --help lists the commands"


_METAVARS = {
    "input_shape": "NxCxH[xW[xD]]",
    "input_shapes": "NxCx...,NxCx...",
    "function": "NAME|EXPRESSION",
    "layers": "JSON|FILE",
    "formula": "TEXT",
    "shapes": "NAME=NxN...[,...]",
    "extents": "INDEX=N[,...]",
    "weight": "JSON|FILE",
    "constants": "NAME=NUMBER[,...]",
    "reduction": "mean|sum",
    "padding": "N[xN...]|LO:HI[xLO:HI...]",
    "padding_mode": "zeros|reflect|replicate|circular",
    "dtype": "float32|float64",
    "outputs": "NAME[,...]",
    "trainable": "NAME[,...]",
}


_BY_TYPE = {
    "int": "N",
    "float": "NUMBER",
    "PerAxis": "N[xN...]",
    "tuple[int, ...]": "N[xN...]",
    "Shape": "N[xN...]",
}


def _example(verb: str, kind: type[Layer]) -> str:
    """Return a command that works."""
    given = [word for pair in kind.example.items() for word in (option_name(pair[0]), spell(*pair))]
    named = ["--name", "layer1", "-o", "."] if verb == "generate" else []
    return shlex.join(["symconv", verb, command_name(kind.__name__), *given, *named])


def _layer_options(kind: type[Layer]) -> list[click.Parameter]:
    """Return an option for each argument of a layer, its help from the docstring."""
    options: list[click.Parameter] = []
    for field in dataclasses.fields(cast(Any, kind)):  # every kind is a dataclass
        name = option_name(field.name)
        text = _parameter_help(kind, field.name)
        if field.name in WITH_BATCH:
            text += " The batch may be N, any number of samples."
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
                    metavar=_metavar(kind, field),
                )
            )
    return options


def _metavar(kind: type[Layer], field: dataclasses.Field[Any]) -> str:
    """Return how an argument's value is written: as its type tells, if that is enough."""
    name = field.name
    text = _METAVARS.get(name) or _BY_TYPE.get(str(field.type).removesuffix(" | None"), "TEXT")
    if name == "padding" and kind is not ConvTranspose:
        return f"{text}|valid|full|same|same_lower"
    if name == "reduction" and kind is SoftmaxCrossEntropy:
        return f"{text}|none"
    return text


def _parameter_help(kind: type[Layer], name: str) -> str:
    """Return what a class's docstring says of an argument, on one line."""
    section = (inspect.getdoc(kind) or "").partition("Parameters\n")[2].partition("Raises\n")[0]
    found = re.search(rf"^(?:\w+, )*{name}(?:, \w+)*\n((?:    .*\n)+)", section, re.MULTILINE)
    return _plain(" ".join(found[1].split())) if found else ""


def _plain(text: str) -> str:
    """Drop a docstring's mark-up."""
    return re.sub(r":class:`(\w+)`", r"\1", text).replace("``", "")


def layer_command(
    verb: str, kind: type[Layer], action: Action, options: Sequence[click.Parameter]
) -> click.Command:
    """Return the command that applies a verb to one kind of layer."""
    names = [field.name for field in dataclasses.fields(cast(Any, kind))]

    def run(**values: Any) -> None:
        given = {name: value for name in names if (value := values.pop(name)) is not None}
        arguments = {
            name: _read(name, value) if isinstance(value, str) else value
            for name, value in given.items()
        }
        for name in ("input_shape", "shape", "normalized_shape"):
            if isinstance(arguments.get(name), int):
                arguments[name] = (arguments[name],)
        if isinstance(shapes := arguments.get("input_shapes"), tuple):
            axes = [(shape,) if isinstance(shape, int) else shape for shape in shapes]
            arguments["input_shapes"] = tuple(axes)
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


def network_command(
    verb: str, file: str, action: Action, options: Sequence[click.Parameter]
) -> click.Command:
    """Return the command that applies a verb to the network in a file."""

    def run(**values: Any) -> None:
        data = read_data(file)
        if not isinstance(data, dict):
            raise SymconvError(f"{file}: must contain a network's arguments: input_shape, layers")
        if isinstance(data.get("layer"), list):
            raise SymconvError(
                f"{file}: layer: the list of a network's layers is called layers: [[layers]]"
            )
        if "module" in data:
            raise SymconvError(f"{file}: is a configuration: symconv generate --config {file}")
        try:
            layer = rebuild({"layer": "Network", **data})
        except SymconvError as error:
            raise SymconvError(f"{file}: {error}") from error
        sys.exit(action(layer, **values))

    return click.Command(file, params=list(options), callback=run, help=f"{verb}: the network of {file}")


def _read(name: str, text: str) -> object:
    """Read an argument; of one that is data, the name of a file with it, too."""
    if name in DATA and text.endswith(DOCUMENTS):
        data = read_data(text)
        if isinstance(data, dict):
            hint = "; the file of a whole network is a command of its own: symconv generate FILE"
            raise SymconvError(f"{text}: must be a list{hint if name == 'layers' else ''}")
        return data
    return read(name, text)
