"""The page: a layer's pictures, derivation, theorems, module and check in one HTML file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from symconv.check.report import Report
from symconv.check.smallest import spelled
from symconv.derive.derivation import Derivation
from symconv.explain.code_blocks import Block
from symconv.explain.dependence import (
    Dependence,
    Result,
    Term,
    element_names,
    is_drawn_by_elements,
    sum_text,
)
from symconv.explain.documents import command_line
from symconv.explain.grids import (
    Grid,
    Kind,
    Layout,
    background_grid,
    background_layout,
    filter_grid,
    labels,
    laid,
    outer_axes,
    plane_choices,
    tensor_grids,
)
from symconv.explain.mathml import rows_mathml
from symconv.explain.miniature import miniature, what_differs
from symconv.explain.phase_pictures import Phase, phases
from symconv.explain.sections import (
    curve_data,
    curve_section,
    graph_section,
    layer_sections,
    receptive_data,
    receptive_section,
)
from symconv.explain.sliding import Place, Sliding, slidings
from symconv.layers.layer import Layer
from symconv.notation.contraction import Tensor
from symconv.notation.text import number_text
from symconv.prove.theorems import MEANINGS, Proof, Theorem
from symconv.templating import fill, template_text

Data = dict[str, Any]
HOW_TO_USE = (
    "Hover over an element, or reach it with the Tab and arrow keys. It is computed from the yellow "
    "elements; the blue ones are computed from it. A click or the Enter key pins it. The values of the "
    "inputs and of G can be changed."
)
WHAT_PHASES_ARE = (
    "Elements whose indices leave the same remainder when divided by the stride use the same elements "
    "of the filter; the other elements of the filter would meet inserted zeros. So no zero is "
    "multiplied: each phase is a correlation of its own with the highlighted part of the filter."
)
VALUES = (-3, 4)  # that elements have at first: whole numbers, the last one excluded

ROLES = {"X": ", the input", "F": ", the filter", "b": ", the bias", "O": ", the output"}


def page(
    layer: Layer,
    derivation: Derivation,
    proof: Proof,
    code: tuple[Block, ...],
    report: Report,
    version: str,
) -> str:
    """Return a self-contained page about a layer.

    Parameters
    ----------
    layer
        The layer.
    derivation, proof, code, report
        Its derivation, its proof, its generated module and what was checked of this module.
    version
        The version of symconv.
    """
    drawn = miniature(layer)
    by_elements = is_drawn_by_elements(drawn)
    dependence = Dependence(drawn)
    pictures = slidings(drawn) if by_elements else ()
    views = [_elements(dependence)] if by_elements else []
    sliding = [_picture(number, p, dependence) for number, p in enumerate(pictures)]
    contents = [("elements", "Elements")] * len(views)
    contents += [(f"picture-{number}", p.title) for number, p in enumerate(pictures)]
    curves, graphs, fields = curve_section(layer), graph_section(layer), receptive_section(layer)
    contents += [("curve", "Curve")] * len(curves)
    contents += [("graph", graph["heading"]) for graph in graphs]
    contents += [("receptive", "Receptive fields")] * len(fields)
    contents += [("derivation", "Derivation"), ("theorems", "Theorems")]
    contents += [("code", "Module"), ("check", "Check")]
    return fill(
        "html/page.html.j2",
        version=version,
        title=_title(layer),
        spelled=f"symconv.{spelled(layer)}",
        pytorch=_pytorch(layer),
        sizes=_sizes(layer),
        contents=contents,
        notes=_notes(derivation, what_differs(layer, drawn) if by_elements else ""),
        elements=views,
        pictures=sliding,
        curves=curves,
        graphs=graphs,
        fields=fields,
        layers=layer_sections(layer),
        remarks=[derivation.note] if derivation.note else [],
        steps=_steps(derivation),
        here=proof.here if proof.numbers else "",
        theorems=[_theorem(theorem) for theorem in proof.theorems],
        command=command_line("generate", layer),
        beside="; with --target c, in C" if any("C" in part.codes for part in code) else "",
        parts=code,
        summary=f"{report.subject}: {report.summary}.",
        results=[
            {
                "verdict": "passed" if result.passed else "failed",
                "mark": "passed" if result.passed else "FAILED",
                "name": result.name,
                "method": result.method,
                "detail": result.detail,
            }
            for result in report.results
        ],
        data=_script_data(
            (_data(dependence, pictures) if by_elements else _nothing())
            | {"curve": curve_data(layer), "fields": receptive_data(layer)}
        ),
        style=Markup(template_text("html/page.css")),
        script=Markup(template_text("html/page.js")),
    )


def _notes(derivation: Derivation, differs: str) -> list[str]:
    """Say what the pictures are of: of how many samples, and of which smaller layer."""
    several = "The layer and its module take any number of samples. The pictures show the fewest."
    return [note for note in (several if derivation.note else "", differs) if note]


def _pytorch(layer: Layer) -> list[str]:
    """Return the expression that makes the layer in PyTorch; none where no module is the same."""
    double = layer.dtype == "float64" and "weight" in layer.inputs
    dtype = ", dtype=torch.float64" if double else ""
    return [f"torch.nn.{layer.pytorch[:-1]}{dtype})"] if layer.pytorch else []


def _title(layer: Layer) -> str:
    shapes = (next(iter(layer.inputs.values())), layer.output_shape)
    return f"{type(layer).__name__}: {' to '.join(map(_shape, shapes))}"


def _shape(sizes: Sequence[int]) -> str:
    return "×".join(map(str, sizes)) or "one number"


def _sizes(layer: Layer) -> str:
    told = [
        f"{name} {_shape(shape)}" if tensor.name == name else f"{tensor.name} ({name}) {_shape(shape)}"
        for (name, shape), tensor in zip(layer.inputs.items(), layer.tensors.values(), strict=True)
    ]
    return f"Shapes: {', '.join(told)}; the output O {_shape(layer.output_shape)}; {layer.dtype}."


def _elements(dependence: Dependence) -> Data:
    layer = dependence.layer
    *inputs, cotangent = dependence.given
    output, *gradients = (result.tensor for result in dependence.results)
    groups = [("Forward", [*inputs, output]), ("Backward", [cotangent, *gradients])]
    kinds: dict[Tensor, Kind] = dict.fromkeys(dependence.given, "given")
    kinds |= {result.tensor: "result" for result in dependence.results}
    return {
        "words": HOW_TO_USE,
        "choices": [choice.label for choice in plane_choices(layer, _all_tensors(dependence))],
        "last": math.prod(output.sizes[outer_axes(output, layer) :]) - 1,
        "first": _symbols(dependence.output, 0, layer),
        "groups": [
            {
                "heading": heading,
                "tensors": [
                    {
                        "role": _role(tensor, layer),
                        "grids": [
                            _shown(grid, f"e-{number}-{at}-{grid.plane}")
                            for grid in tensor_grids(tensor, layer, kinds[tensor])
                        ],
                    }
                    for at, tensor in enumerate(tensors)
                ],
            }
            for number, (heading, tensors) in enumerate(groups)
        ],
    }


def _shown(grid: Grid, id_: str) -> Data:
    """Return a grid for the page: where it belongs, and its picture."""
    svg = Markup(fill("html/grid.html.j2", grid=grid, id=id_))
    return {"name": grid.name, "plane": grid.plane, "heading": grid.heading, "svg": svg}


def _role(tensor: Tensor, layer: Layer) -> str:
    if tensor == layer.cotangent:
        return " = ∂E/∂O, the upstream gradient"
    return ROLES.get(tensor.name, "")


def _symbols(result: Result, at: int, layer: Layer) -> str:
    """Write an element's formula: the text of the page without scripts."""
    names = {t.name: element_names(t) for t in (*layer.tensors.values(), layer.cotangent)}
    text = sum_text(result, at, lambda element: names[element[0]][element[1]])
    return f"{element_names(result.tensor)[at]} = {text}".replace("-", "−")


def _picture(number: int, picture: Sliding, dependence: Dependence) -> Data:
    layer = dependence.layer
    first = next(iter(sorted(picture.starts)))
    layout, places = background_layout(picture), Layout.of(picture.result.sizes[2:])
    window = [layout.at(place) for place in picture.window(first)]
    notes = {}
    if picture.filter:
        names = labels(picture.filter, 2)
        taps = _flat(picture.taps, picture.filter.sizes[2:])
        notes = {at: names[n] for at, n in zip(window, taps, strict=True)}
    result = tensor_grids(picture.result, layer, "result")[0]
    found = _phases(number, picture, dependence)
    return {
        "title": picture.title,
        "words": picture.words,
        "last": len(picture.starts) - 1,
        "first": _meeting(picture, first) + _rest(picture, layer),
        "background": _shown(background_grid(picture, 0).marked(window, notes), f"b-{number}"),
        "filters": [_shown(filter_grid(picture), f"f-{number}")] if picture.filter else [],
        "result": _shown(result.marked([places.at(first)]), f"r-{number}"),
        "computed": [{"words": WHAT_PHASES_ARE, "phases": found}] if found else [],
    }


def _meeting(picture: Sliding, place: Place) -> str:
    """Write what meets in a position: the text of a picture without scripts."""
    background, result = picture.background, picture.result
    at = int(np.ravel_multi_index(place, result.sizes[2:]))
    over = labels(background.tensor, 2)
    laid_on = labels(picture.filter, 2) if picture.filter else ()
    taps = _flat(picture.taps, picture.filter.sizes[2:]) if picture.filter else range(len(picture.taps))
    parts = [
        f"{laid_on[tap]}·{over[background.sources[landed]]}"
        if laid_on
        else over[background.sources[landed]]
        for tap, landed in zip(taps, picture.window(place), strict=True)
        if landed in background.sources
    ]
    words = " + ".join(parts) or "0"
    if not laid_on:
        does = "max({})" if background.outside == "−∞" else "average of {}"
        words = does.format(", ".join(parts))
    return f"{labels(result, 2)[at]} = {words}"


def _phases(number: int, picture: Sliding, dependence: Dependence) -> list[Data]:
    layer = dependence.layer
    if (conv := layer.convolution) is None or picture.filter != layer.tensors["weight"]:
        return []
    if picture.key != ("output" if conv.transposed else "x"):
        return []
    kernel = Layout.of(picture.filter.sizes[2:])
    result = dependence.output if picture.key == "output" else dependence.gradients["x"]
    whole = tensor_grids(result.tensor, layer, "result")[0]
    places, found = Layout.of(result.tensor.sizes[2:]), []
    for at, phase in enumerate(phases(layer, result)):
        elements = whole.marked(places.at(place) for place in phase.elements)
        taps = filter_grid(picture).marked(kernel.at(laid(picture, tap)) for tap in phase.taps)
        found.append(
            {
                "heading": _phase_heading(phase),
                "result": _shown(elements, f"p-{number}-{at}-r"),
                "filter": _shown(taps, f"p-{number}-{at}-f"),
            }
        )
    return found


def _phase_heading(phase: Phase) -> str:
    many = len(phase.taps)
    return (
        f"phase {', '.join(map(str, phase.residues))}: {many} element{'s' * (many != 1)} of the filter"
    )


def _steps(derivation: Derivation) -> list[Data]:
    return [
        {
            "name": step.name,
            "before": Markup(rows_mathml(step.before.latex)),
            "after": Markup(rows_mathml(step.after.latex)),
            "reason": step.reason.rstrip("."),
            "verdict": "passed" if step.check.passed else "failed",
            "mark": "Checked" if step.check.passed else "CHECK FAILED",
            "compared": step.check.compared.rstrip("."),
        }
        for step in derivation.steps
    ]


def _theorem(theorem: Theorem) -> Data:
    refutations = [
        {"name": control.name, "text": "\n".join(control.counterexample.drawn())}
        for control in theorem.controls
        if control.counterexample
    ]
    return {
        "name": theorem.name,
        "statement": theorem.statement,
        "status": MEANINGS[theorem.status],
        "verdict": "passed" if theorem.holds else "failed" if theorem.holds is False else "open",
        "grounds": theorem.grounds,
        "controls": refutations,
    }


def _all_tensors(dependence: Dependence) -> list[Tensor]:
    return [*dependence.given, *(result.tensor for result in dependence.results)]


def _data(dependence: Dependence, pictures: Iterable[Sliding]) -> Data:
    """Return what the page's script knows: the tensors, the terms of each result, the pictures."""
    layer = dependence.layer
    tensors, rng = _all_tensors(dependence), np.random.default_rng(0)
    results = {result.tensor for result in dependence.results}
    order = [tensor.name for tensor in tensors]
    return {
        "order": order,
        "output": dependence.output.tensor.name,
        "tensors": {
            tensor.name: {
                "names": element_names(tensor),
                "labels": labels(tensor, outer_axes(tensor, layer)),
                "headings": [grid.heading for grid in tensor_grids(tensor, layer, "given")],
                "planes": math.prod(tensor.sizes[: outer_axes(tensor, layer)]),
                "values": []
                if tensor in results
                else rng.integers(*VALUES, math.prod(tensor.sizes)).tolist(),
            }
            for tensor in tensors
        },
        "results": {
            result.tensor.name: {
                "maximum": result.maximum,
                "terms": [[_term(term, order) for term in terms] for terms in result.terms],
            }
            for result in dependence.results
        },
        "planes": [choice.shown for choice in plane_choices(layer, tensors)],
        "pictures": [_picture_data(picture, dependence) for picture in pictures],
    }


def _term(term: Term, order: list[str]) -> list[Any]:
    elements = [part for name, at in term.elements for part in (order.index(name), at)]
    found: list[Any] = [
        float(term.coefficient) if term.coefficient % 1 else int(term.coefficient),
        elements,
    ]
    if term.selected or term.coefficient % 1:
        found.append(list(term.selected) if term.selected else None)
    if term.coefficient % 1:
        found.append(number_text(term.coefficient).removeprefix("-"))
    return found


def _picture_data(picture: Sliding, dependence: Dependence) -> Data:
    layout, sizes = background_layout(picture), picture.result.sizes[2:]
    positions = sorted(picture.starts)
    drawn = [place for row in Layout.of(sizes).rows() for place in row]
    return {
        "result": picture.result.name,
        "filter": picture.filter.name if picture.filter else None,
        "taps": _flat(picture.taps, picture.filter.sizes[2:]) if picture.filter else [],
        "offsets": [layout.step(offset) for offset in picture.offsets],
        "starts": [layout.at(picture.starts[place]) for place in positions],
        "order": [drawn.index(place) for place in positions],
        "maximum": dependence.output.maximum,
        "rest": _rest(picture, dependence.layer),
    }


def _rest(picture: Sliding, layer: Layer) -> str:
    """Say what an element's sum has besides the products that are drawn."""
    if picture.filter is None:
        return ""
    others = " + the same for the other channels" if _is_summed(picture, layer) else ""
    return others + (" + b" if picture.key == "output" and "bias" in layer.inputs else "")


def _is_summed(picture: Sliding, layer: Layer) -> bool:
    """Whether an element of the result is a sum over channels, of which a picture shows one."""
    if (conv := layer.convolution) is None:
        return False
    first, second = layer.parameters["weight"][:2]
    if picture.key == "weight":
        return int(layer.input_shape[0]) > 1
    by_input = picture.key == "x"
    transposed = conv.roles.transposed
    return (second if by_input == transposed else first // conv.groups) > 1


def _flat(places: Iterable[Sequence[int]], sizes: Sequence[int]) -> list[int]:
    return [int(np.ravel_multi_index(tuple(place), tuple(sizes))) for place in places]


def _nothing() -> Data:
    return {"order": [], "output": "O", "tensors": {}, "results": {}, "planes": [{}], "pictures": []}


def _script_data(data: Data) -> Markup:
    """Write data so that no text in it can end the script element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))
