"""Contractions as NumPy's calls: copies, sums along axes, products of matrices, and any other."""

from __future__ import annotations

import string
from collections.abc import Collection, Sequence
from fractions import Fraction
from math import prod

from symconv.kernel.language import Do, at
from symconv.kernel.language import product as product_of
from symconv.notation.contraction import Access, Contraction, index
from symconv.notation.evaluate import points, value_at
from symconv.notation.polynomial import Number, Polynomial
from symconv.notation.ratio import Ratio
from symconv.targets.numpy.code import Code, new_axes, own_indices, syntax
from symconv.targets.numpy.products import Product, matrix_product, summed_indices
from symconv.targets.numpy.syntax import arguments_text, tuple_text
from symconv.targets.numpy.syntax import number_text as size_text
from symconv.targets.numpy.views import (
    Groups,
    Sizes,
    merges,
    sliced,
    view_text,
)

LOOK_UP = (
    "Where each filter element (rows, by channel) meets the flattened image at each position (columns)."
)


def write_contraction(code: Code, do: Do, contraction: Contraction) -> None:
    """Write the call that computes a contraction."""
    sizes = dict(contraction.extents)
    if not contraction.factors:
        _fill(code, contraction, sizes)
        return
    product = matrix_product(contraction)
    if product is not None:
        _matmul(code, do, contraction.target, product, sizes)
        return
    groups = shared_axes(code.axes(contraction.target, sizes), contraction.reads, sizes)
    if do.hint == "table" and _has_table(contraction, groups):
        _look_up(code, do, contraction, groups)
    elif len(contraction.reads) == 1:
        _move(code, do, contraction, groups)
    elif len(contraction.reads) == 2 and not summed_indices(contraction):
        _multiply(code, do, contraction, groups)
    else:
        _write_einsum(code, do, contraction, groups)


def shared_axes(axes: Groups, reads: Sequence[Access], sizes: Sizes) -> Groups:
    """Split the axes of what is written where an operand has only some of an axis's indices."""
    own = [set(own_indices(read, sizes)) for read in reads]
    if all(not set(axis) & each or set(axis) <= each for axis in axes for each in own):
        return axes
    return [[name] for axis in axes for name in axis]


def store(
    code: Code, do: Do, target: Access, sizes: Sizes, value: str, groups: Groups | None = None
) -> None:
    """Write a value into a view: assign it, add it, or keep the larger."""
    name = target.tensor.name
    if do.how == "assign" and name in code.fresh:
        if groups is not None and [list(group) for group in groups] != code.axes(target, sizes):
            code.add(syntax("assign", target=name, source=value))
            value = f"{name}.reshape({arguments_text(target.tensor.shape)})"
        code.add(syntax("assign", target=name, source=value))
        return
    axes = code.axes(target, sizes)
    view = code.bound(code.target(target, sizes, groups), "")
    wish = do.names[0] if do.names and axes else ""
    if do.how != "assign" and not code.fits(f"{view} += {value}"):
        wish = wish or f"{name}_part"
    if do.how == "add" and view.endswith(")"):  # a call cannot be added to
        wish = wish or f"{name}_part"
    if do.how == "max":
        into = code.bound(as_array(view, axes), wish)
        code.add(syntax("larger", target=into, source=value))
    elif do.how == "add":
        into = code.bound(view, wish)
        if value.startswith("-"):
            code.add(syntax("subtract", target=into, source=value[1:]))
        else:
            code.add(syntax("add", target=into, source=value))
    else:
        if not code.fits(syntax("store", target=whole(view), source=value)):
            view = code.bound(view, f"{name}_part")
        if not axes and view.endswith("]") and value in set(code.buffers) - code.fresh:
            value = f"{value}[()]"  # as an element, an object array would keep the array itself
        sign, rest = _in_place(view, value)
        if sign:
            code.add(f"{view} {sign}= {rest}")
        else:
            code.add(syntax("store", target=whole(view), source=value))


def _in_place(view: str, value: str) -> tuple[str, str]:
    """Return the sign and the other operand, if a value is the view itself with one operation."""
    for sign in ("*", "/", "&"):
        start = f"{view} {sign} "
        rest = value.removeprefix(start)
        if value.startswith(start) and " " not in rest:
            return sign, rest
    return "", ""


def as_array(view: str, axes: Sequence[object]) -> str:
    """Write a view to write into, as an array even if it is one element."""
    return f"{view[:-1]}, ...]" if view.endswith("]") and not axes else view


def whole(view: str) -> str:
    """Write the elements of a view, to be assigned."""
    subscript = view.endswith("]") and not view.endswith('"]')  # which is an array of a dict
    return view if subscript else f"{view}[...]"


def _factor(part: Polynomial) -> str:
    """Write a factor of a product: a number or a letter, or a sum in brackets."""
    text = size_text(at(part, {}))
    return f"({text})" if " " in text else text


def _fill(code: Code, contraction: Contraction, sizes: Sizes) -> None:
    number = number_of(contraction.coefficient)
    name = contraction.target.tensor.name
    buffer = code.buffer(contraction.target)
    if buffer.kind == "complex" and name not in code.allocated:
        code.allocated.add(name)
        shape = tuple_text(buffer.tensor.shape)
        code.add(syntax("assign", target=name, source=f"np.zeros({shape}, complex)"))
        return
    code.add(syntax("store", target=whole(code.target(contraction.target, sizes)), source=number))


def _matmul(code: Code, do: Do, target: Access, product: Product, sizes: Sizes) -> None:
    contraction = do.meaning
    assert isinstance(contraction, Contraction)
    names = dict(zip(contraction.reads, (*do.names[1:], "", ""), strict=False))
    outer = [[name] for name in product.outer]
    rows = [list(product.rows)] if product.rows else []
    columns = [list(product.columns)] if product.columns else []
    summed = [list(product.summed)]
    operands: list[tuple[str, str]] = []
    for access, groups in (
        (product.first, [*outer, *rows, *summed]),
        (product.second, [*outer, *summed, *columns]),
    ):
        own = set(own_indices(access, sizes))
        while groups and not set(groups[0]) & own:  # NumPy adds axes in front itself
            groups = groups[1:]
        text = view_text(access, sizes, groups)
        assert text is not None
        operands.append((code.bound(text, names.get(access, "")), f"{access.tensor.name}_matrix"))
    (first, first_name), (second, second_name) = operands
    name = target.tensor.name
    groups = [*outer, *rows, *columns]
    shape = target.tensor.shape
    alike = groups == code.axes(target, sizes) and len(groups) == len(shape)
    after = "" if alike else f".reshape({arguments_text(shape)})"
    into = ""
    if name not in code.fresh:
        view = view_text(target, sizes, groups)
        assert view is not None
        into = code.bound(view, do.names[0] if do.names else "")

    def line() -> str:
        if into:
            return syntax("matmul_into", first=first, second=second, target=into)
        value = syntax("matmul", first=first, second=second) + after
        return syntax("assign", target=name, source=value)

    if not code.fits(line()):
        second = code.bound(second, second_name)
    if not code.fits(line()):
        first = code.bound(first, first_name)
    if into and not code.fits(line()):
        into = code.bound(into, f"{name}_matrix")
    code.add(line())


def _multiply(code: Code, do: Do, contraction: Contraction, groups: Groups) -> None:
    """Write a product of elements."""
    sizes = dict(contraction.extents)
    reads = sorted(contraction.reads, key=lambda read: not own_indices(read, sizes))  # numbers last
    first, second = (code.read(read, sizes, groups) for read in reads)
    target = contraction.target
    plain = do.how == "assign" and contraction.coefficient == 1
    if plain and target.tensor.name not in code.fresh:
        view = as_array(code.target(target, sizes, groups), groups)

        def line() -> str:
            return syntax("multiply", first=first, second=second, target=view)

        if not code.fits(line()):
            first = code.bound(first, f"{reads[0].tensor.name}_part")
        if not code.fits(line()):
            second = code.bound(second, f"{reads[1].tensor.name}_part")
        if not code.fits(line()):
            view = code.bound(view, f"{target.tensor.name}_part")
        code.add(line())
        return
    value = scaled(f"{first} * {second}", contraction.coefficient)
    store(code, do, target, sizes, value, groups)


def _move(code: Code, do: Do, contraction: Contraction, groups: Groups) -> None:
    """Write a copy, or a sum or a maximum along axes, of one tensor."""
    sizes = dict(contraction.extents)
    (read,) = contraction.reads
    factor = contraction.coefficient
    if not summed_indices(contraction):
        groups = _named_axes(code, read, contraction.target, sizes) or _without_copies(
            read, groups, sizes
        )
        source = code.read(read, sizes, groups)
        source = _shortened(code, source, contraction)
        if not _scale(code, do, contraction.target, source, factor, sizes, groups):
            own = source in code.buffers and code.buffers[source].role == "scratch"
            if contraction.target.tensor.name in code.fresh and groups and not own:
                source = syntax("contiguous", source=source)  # as products read it fastest
            store(code, do, contraction.target, sizes, scaled(source, factor), groups)
        return
    base, kept, axes = _along(code, read, contraction)
    wanted = [name for group in groups for name in group]
    name = contraction.target.tensor.name
    into = code.target(contraction.target, sizes)
    plain = kept == wanted and into == name and do.how == "assign" and factor == 1
    plain = plain and all(len(group) == 1 for group in groups)
    if plain and name not in code.fresh:
        macro = "maximum_into" if contraction.reduce == "max" else "sum_into"
        code.add(syntax(macro, source=base, axes=axes, target=name))
        return
    macro = "maximum_of" if contraction.reduce == "max" else "sum_of"
    value = syntax(macro, source=base, axes=axes)
    order = [kept.index(each) for each in wanted if each in kept]
    if order != sorted(order):
        value += f".transpose({', '.join(map(str, order))})"
    value += _spread(kept, groups, sizes)
    store(code, do, contraction.target, sizes, scaled(value, factor), groups)


def _shortened(code: Code, source: str, contraction: Contraction) -> str:
    """Give what is read a name where a line would be too long: first of its outermost part."""
    into = code.target(contraction.target, dict(contraction.extents))
    fresh = contraction.target.tensor.name in code.fresh
    line = "{} += " + ("np.ascontiguousarray({})" if fresh else "{}")
    name = f"{contraction.reads[0].tensor.name}_part"
    if not code.fits(line.format(into, source)):
        source = code.begun(source, name)
    return source if code.fits(line.format(into, source)) else code.bound(source, name)


def _scale(
    code: Code,
    do: Do,
    target: Access,
    source: str,
    number: Number | Ratio,
    sizes: Sizes,
    groups: Groups,
) -> bool:
    """Write a multiple of an array straight into its place, if it has one; else return False."""
    if isinstance(number, Ratio):
        return False
    factor = Fraction(number)
    exact = Fraction(float(factor)) == factor
    reciprocal = abs(factor.numerator) == 1
    if do.how != "assign" or abs(factor) == 1 or not (exact or reciprocal):
        return False
    view = as_array(code.target(target, sizes, groups), groups)
    if target.tensor.name in code.fresh or view == source:
        return False
    if exact and not (reciprocal and factor.denominator > 1):
        code.add(syntax("multiply", first=source, second=number_of(factor), target=view))
    else:
        second = str(factor.denominator * factor.numerator)
        code.add(syntax("divide", first=source, second=second, target=view))
    return True


def _along(code: Code, read: Access, contraction: Contraction) -> tuple[str, list[str], str]:
    """Return an operand, the indices that are kept of it, and the axes that are summed over."""
    sizes = dict(contraction.extents)
    summed = summed_indices(contraction)
    view = sliced(read, sizes)
    order = list(view.order) if view else own_indices(read, sizes)
    alone = [axis for axis in view.axes if len(axis) > 1] if view else []
    groups = [[name] for name in order]
    if view and all(set(axis) <= set(summed) for axis in alone):
        groups = [list(axis) for axis in view.axes]
    axes = [place for place, group in enumerate(groups) if group[0] in summed]
    text = str(axes[0]) if len(axes) == 1 else tuple_text(axes)
    kept = [name for name in order if name not in summed]
    return code.read(read, sizes, groups), kept, text


def _named_axes(code: Code, read: Access, target: Access, sizes: Sizes) -> list[list[str]] | None:
    """Return the axes of what is read, if there is a name for what is written with these."""
    one, other = sliced(read, sizes), sliced(target, sizes)
    if one is None or other is None or one.order != other.order:
        return None
    axes = [list(axis) for axis in one.axes]
    if not all(merges(other, axis, sizes) for axis in axes):
        return None
    return axes if code.is_bound(view_text(target, sizes, axes)) else None


def _without_copies(read: Access, groups: Groups, sizes: Sizes) -> Groups:
    """Split the axes of what is written where a view of what is read cannot merge its own."""
    view = sliced(read, sizes)
    if view is None or all(merges(view, [n for n in g if n in view.strides], sizes) for g in groups):
        return groups
    return [[name] for group in groups for name in group]


def _outside_table(read: Access, groups: Groups) -> list[str]:
    """Return the index that a table has no rows for: that of the samples, if it is an axis alone."""
    alone = len(groups) > 2 and read.subscripts[0] == index(groups[0][0])
    return [groups[0][0]] if alone else []


def _has_table(contraction: Contraction, groups: Groups) -> bool:
    """Whether a copy can be a look-up: there is an axis to look up along, and every size is known."""
    (read,) = contraction.reads
    inside = {name for group in groups for name in group} - set(_outside_table(read, groups))
    known = dict(contraction.extents)
    return len(groups) > 1 and all(isinstance(known[name], int) for name in inside)


def _look_up(code: Code, do: Do, contraction: Contraction, groups: Groups) -> None:
    """Write a copy as a look-up: a constant table says where each element is."""
    sizes = dict(contraction.extents)
    (read,) = contraction.reads
    lead = _outside_table(read, groups)
    start = len(lead)
    inner = read.tensor.shape[start:]
    place = Polynomial.lift(0)
    for subscript, size in zip(read.subscripts[start:], inner, strict=True):
        place = place * size + subscript
    rows = [name for group in groups[start:-1] for name in group]
    table = [
        [value_at(place, row | column) for column in points({n: int(sizes[n]) for n in groups[-1]})]
        for row in points({name: int(sizes[name]) for name in rows})
    ]
    name = code.constant("windows", table, LOOK_UP)
    counts = [sizes[n] for n in lead]
    flat = read.tensor.name
    if len(inner) > 1:
        flat += f".reshape({arguments_text([*counts, prod(map(int, inner))])})"
    text = syntax("take", source=flat, table=name)
    if len(groups) - start != 2:
        shape = [product_of([sizes[n] for n in group]) for group in groups]
        text += f".reshape({arguments_text(shape)})"
    store(code, do, contraction.target, sizes, text)


def _write_einsum(code: Code, do: Do, contraction: Contraction, groups: Groups) -> None:
    """Write an einsum, straight into its place if it has one."""
    sizes = dict(contraction.extents)
    target = contraction.target
    text = _einsum(code, contraction, groups)
    into = as_array(code.target(target, sizes, groups), groups)
    name = do.names[0] if do.names else ""
    read = {n for each in contraction.reads for n in own_indices(each, sizes)}
    spread = any(name not in read for group in groups for name in group)
    fresh = target.tensor.name in code.fresh
    if do.how == "assign" and not fresh and not spread and text.endswith(")"):
        into = code.bound(into, name)
        line = f"{text[:-1]}, out={into})"
        if contraction.coefficient == 1 and ".reshape(" not in text[-40:] and code.fits(line):
            code.add(line)
            return
    store(code, do, target, sizes, text, groups)


def _einsum(code: Code, contraction: Contraction, groups: Groups) -> str:
    """Write any sum of products."""
    sizes = dict(contraction.extents)
    wanted = [name for group in groups for name in group]
    used = dict.fromkeys(n for read in contraction.reads for n in own_indices(read, sizes))
    letters = dict(zip(used, _letters(list(used)), strict=True))
    words, operands = [], []
    for read in contraction.reads:
        view = sliced(read, sizes)
        order = list(view.order) if view else own_indices(read, sizes)
        operands.append(code.read(read, sizes, [[name] for name in order]))
        words.append("".join(letters[name] for name in order))
    result = "".join(letters[name] for name in wanted if name in letters)
    how = ", optimize=True" if _has_products(words, result) else ""
    target = code.target(contraction.target, sizes, groups)

    def written() -> str:
        given = ", ".join(operands) + how
        return syntax("einsum", subscripts=f"{','.join(words)}->{result}", operands=given)

    for place, read in enumerate(contraction.reads):
        if not code.fits(f"{target} += {written()}[:, None, None]"):
            operands[place] = code.bound(operands[place], f"{read.tensor.name}_part")
    text = written()
    text += _spread(letters, groups, sizes)
    return scaled(text, contraction.coefficient)


def _spread(names: Collection[str], groups: Groups, sizes: Sizes) -> str:
    """Write how an array of some indices gets the axes of what is written, new ones of length 1."""
    present = [bool(set(group) & set(names)) for group in groups]
    if not any(len(group) > 1 for group, here in zip(groups, present, strict=True) if here):
        return new_axes(present)
    pairs = zip(groups, present, strict=True)
    shape = [product_of([sizes[name] for name in group]) if here else 1 for group, here in pairs]
    return f".reshape({arguments_text(shape[present.index(True) :])})"


def _has_products(words: Sequence[str], kept: str) -> bool:
    """Whether there is a product of matrices in an einsum, which it leaves to BLAS only if asked.

    (Asked for a number that others are multiplied with, it does not take numbers of another kind.)
    """
    if len(words) < 2 or not kept or not _connected([*words, kept]):
        return False
    if len(words) > 2:
        return True
    one, other = map(set, words)
    return bool((one & other) - set(kept)) and not one & other & set(kept)


def _connected(words: Sequence[str]) -> bool:
    """Whether one gets from each word to every other over letters that words share."""
    reached, *rest = words
    while rest:
        near = next((word for word in rest if set(word) & set(reached)), None)
        if near is None:
            return False
        rest.remove(near)
        reached += near
    return True


def _letters(names: Sequence[str]) -> list[str]:
    """Return a letter for each index: its name, if that is one."""
    own = {name for name in names if len(name) == 1}
    free = iter(x for x in string.ascii_letters if x not in own)
    return [name if len(name) == 1 else next(free) for name in names]


def number_of(number: Number | Ratio) -> str:
    """Write a number."""
    if isinstance(number, Ratio):
        return f"{_factor(number.numerator)} / {_factor(number.denominator)}"
    return str(number.numerator) if number.denominator == 1 else repr(float(number))


def scaled(source: str, number: Number | Ratio) -> str:
    """Write a number times an array."""
    if isinstance(number, Ratio):
        above, below = (_factor(part) for part in (number.numerator, number.denominator))
        return f"{source}{'' if above == '1' else f' * {above}'} / {below}"
    factor = Fraction(number)
    if abs(factor) == 1:
        return source if factor == 1 else f"-{source}"
    if abs(factor.numerator) == 1:
        return f"{source} / {factor.denominator * factor.numerator}"
    if factor.denominator == 1:
        return f"{source} * {factor.numerator}"
    if Fraction(float(factor)) == factor:
        return f"{source} * {float(factor)!r}"
    return f"{source} * {factor.numerator} / {factor.denominator}"
