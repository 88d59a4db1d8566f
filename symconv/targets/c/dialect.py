"""Expressions as C: the functions of ``math.h`` by their plain names, numbers of the file's own type."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from symconv.notation.expression_text import Dialect

LARGEST = 2**15 - 1  # integer that any ``int`` holds


def _cases(cases: Sequence[tuple[str, str]]) -> str:
    (value, condition), *others = cases
    rest = others[0][0] if len(others) == 1 else _cases(others)
    return f"({condition} ? {value} : {rest})"


def _power(base: str, exponent: str) -> str:
    return f"square({base})" if exponent == "2" else f"pow({base}, {exponent})"


def _attaining(element: str, largest: str) -> str:
    return f"({element} == {largest}) | is_nan({element})"  # without a branch


FORMATS: dict[str, Callable[..., str]] = {
    "attaining": _attaining,
    "first_attaining": lambda waiting, element, largest: (
        f"({waiting} != 0) & ({_attaining(element, largest)})"
    ),
    "still_waiting": lambda waiting, first: f"({waiting} != 0) & ({first} == 0)",
    "where_true": lambda condition, value: f"({condition} != 0 ? {value} : 0)",
}
DEFINED = ("real", "larger", "square", "sign", "is_nan")  # what a file defines for its functions
FUNCTIONS = {
    *("exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "asin", "acos", "atan"),
    *("asinh", "acosh", "atanh", "erf", "erfc", "log1p", "expm1", "Abs", "sign", *FORMATS),
}
KEYWORDS = {
    *("auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else"),
    *("enum", "extern", "float", "for", "goto", "if", "inline", "int", "long", "register"),
    *("restrict", "return", "short", "signed", "sizeof", "static", "struct", "switch", "typedef"),
    *("union", "unsigned", "void", "volatile", "while"),
}
CPP_KEYWORDS = {
    *("and", "bool", "catch", "class", "delete", "explicit", "export", "false", "friend", "mutable"),
    *("namespace", "new", "not", "operator", "or", "private", "protected", "public", "template", "this"),
    *("throw", "true", "try", "typename", "using", "virtual", "xor"),
}  # beside those of C
HEADERS = {
    *("assert", "complex", "ctype", "errno", "fenv", "inttypes", "iso646", "limits", "locale", "math"),
    *("setjmp", "signal", "stdarg", "stdbool", "stddef", "stdint", "stdio", "stdlib", "string"),
    *("tgmath", "time", "wchar", "wctype"),
}  # of the standard library, with float.h
WORDS = {
    *("size_t", "memset", "fabs", "pow", "INFINITY", "NAN", "NULL", "I", "workspace"),
    *(
        "vec",
        "tile",
        "clear",
        "outer",
        "inner",
        "store",
        "accumulate",
        "ROWS",
        "VECTORS",
        "LANES",
        "WIDTH",
        "SHARED",
        "PRAGMA",
        "GIVEN",
        "EACH_GIVEN",
        "check_given",
        "POINTERS",
        "UNROLLED",
        "INLINE",
        "IN_FLOAT",
    ),
    *(*KEYWORDS, *DEFINED, *FUNCTIONS),
}  # that no array and no index may be called
C99 = Dialect(
    " * ",
    {"Abs": "fabs", "pi": "(real)3.141592653589793", "-oo": "-INFINITY"},
    _cases,
    _power,
    decimals=True,
    both=" && ",
    either=" || ",
    formats=FORMATS,
    decimal="(real){}",
    largest=LARGEST,
)
