"""How arguments are written in the shell: axes joined by ``x``, pairs by ``:``, shapes by ``,``."""

from __future__ import annotations

import dataclasses
import json
import re

from symconv.errors import SymconvError
from symconv.layers.arguments import WITH_BATCH
from symconv.layers.batch import with_samples
from symconv.layers.layer import Layer

NAMED = ("shapes", "extents")  # that are names with sizes
LISTS = ("outputs", "trainable")  # of names
DATA = ("layers", "weight")  # that are JSON
_NUMBER = re.compile(r"[+-]?[0-9]{1,12}")


def parse(option: str, text: str) -> object:
    """Read ``3``, ``3x3``, ``0:1x2:2``, ``1x3,1x4``, ``Nx3`` (any batch), or a word (returned as it is).

    Raises
    ------
    SymconvError
        If the text has a digit but does not have one of these forms.
    """
    if not re.search("[0-9]", text):
        return text
    bracketed = re.fullmatch(r"\s*[(\[]\s*(-?[0-9]+(?:\s*,\s*-?[0-9]+)*)\s*,?\s*[)\]]\s*", text)
    if bracketed:  # as Python writes a shape
        text = "x".join(part.strip() for part in bracketed[1].split(","))
    if "," in text:
        return tuple(parse(option, part) for part in text.split(","))
    if text.startswith("Nx"):
        rest = parse(option, text.removeprefix("Nx"))
        return (None, *rest) if isinstance(rest, tuple) else (None, rest)
    axes = [axis.split(":") for axis in text.split("x")]
    if not all(_NUMBER.fullmatch(number) for axis in axes for number in axis):
        raise SymconvError(
            f"{option} {text!r}: must be numbers, axes joined by 'x', pairs by ':', shapes by ',' "
            "(3x3, 0:1x2:2)"
        )
    entries = [tuple(map(int, axis)) for axis in axes]
    flat = [entry[0] if len(entry) == 1 else entry for entry in entries]
    return flat[0] if len(flat) == 1 and not isinstance(flat[0], tuple) else tuple(flat)


def read(argument: str, text: str) -> object:
    """Read an argument as :func:`spell` writes it.

    Raises
    ------
    SymconvError
        If the text does not have the form of this argument.
    """
    if argument in _of_type("str"):
        return text
    if argument == "constants":
        return tuple(_constant(part) for part in text.split(","))
    if argument in NAMED or (argument == "input_shapes" and "=" in text):
        return tuple(_named(argument, part) for part in text.split(","))
    if argument in LISTS:
        return tuple(text.split(","))
    if argument in _of_type("float"):
        return _real(argument, text)
    if argument in DATA:
        return _json(argument, text)
    if argument in WITH_BATCH and text == "N":
        return (None,)
    return parse(option_name(argument), text)


def _of_type(name: str) -> frozenset[str]:
    """Return the arguments of all kinds of layers that have a type."""
    kinds = Layer.kinds.values()
    found = (f.name for kind in kinds for f in dataclasses.fields(kind) if f.type == name)  # type: ignore[arg-type]  # every kind is a dataclass
    return frozenset(found)


def _named(argument: str, text: str) -> tuple[str, object]:
    name, sign, sizes = text.partition("=")
    if sign and not sizes and argument == "shapes":
        return name, ()  # a number
    if not sign or not _NUMBER.fullmatch(sizes.removeprefix("N").replace("x", "")):
        raise SymconvError(f"{option_name(argument)} {text!r}: must be a name, = and sizes (X=1x3x8x8)")
    found = parse(option_name(argument), sizes)
    return name, (found,) if argument == "shapes" and isinstance(found, int) else found


def _real(argument: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise SymconvError(f"{option_name(argument)} {text!r}: must be a number (1e-5)") from error


def _json(argument: str, text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SymconvError(
            f"{option_name(argument)}: must be JSON, as in [1, 2.5], or a .json file: {error}"
        ) from error


def _constant(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError as error:
        raise SymconvError(
            f"--constants {text!r}: must be a name, = and a number (a=0.5,b=2)"
        ) from error


def spell(argument: str, value: object) -> str:
    """Write an argument's value as :func:`read` reads it."""
    if argument in DATA:
        return json.dumps(with_samples(value, None), ensure_ascii=False)
    if argument == "constants" and isinstance(value, tuple):
        return ",".join(f"{name}={number!r}" for name, number in value)
    if argument in LISTS and isinstance(value, tuple):
        return ",".join(value)
    named = argument == "input_shapes" and isinstance(value, tuple) and isinstance(value[0][0], str)
    if (argument in NAMED or named) and isinstance(value, tuple):
        return ",".join(f"{name}={spell('', sizes)}" for name, sizes in value)
    if argument == "input_shapes" and isinstance(value, tuple):
        return ",".join(spell("input_shape", shape) for shape in value)
    if isinstance(value, tuple):
        return "x".join(
            ":".join(map(str, entry)) if isinstance(entry, tuple) else str(entry) for entry in value
        )
    return str(value)


def command_name(kind: str) -> str:
    """Return a layer's name in the shell: ``conv-transpose`` for ``ConvTranspose``."""
    return re.sub("(?<=[a-z])(?=[A-Z][a-z])", "-", kind).lower()


def option_name(argument: str) -> str:
    """Return an argument's name in the shell: ``kernel_size`` is ``--kernel-size``."""
    return "--" + argument.replace("_", "-")


def shell_options(layer: Layer) -> list[str]:
    """Return the words that name a layer in the shell, without arguments at their defaults."""
    words = [command_name(type(layer).__name__)]
    values = layer.arguments
    for field in dataclasses.fields(layer):  # type: ignore[arg-type]  # every layer is a dataclass
        value = values.get(field.name, field.default)  # what follows from others is left out
        if value == field.default:
            continue
        if isinstance(value, bool):
            words.append(option_name(field.name) if value else "--no-" + field.name.replace("_", "-"))
        else:
            words += [option_name(field.name), spell(field.name, value)]
    return words
