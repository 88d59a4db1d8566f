"""The page as a file: it needs nothing else, and has in it what is proved and drawn."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from symconv import (
    Activation,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Contraction,
    Conv,
    ConvTranspose,
    Linear,
    MaxPool,
    Softmax,
    SoftmaxCrossEntropy,
    SymconvError,
    derive,
    explain,
    generate,
    prove,
)
from symconv.check.report import Report
from symconv.derive.elements import gradient_elements, output_elements
from symconv.explain.code_blocks import blocks
from symconv.explain.dependence import is_drawn_by_elements
from symconv.explain.miniature import miniature
from symconv.explain.page import page
from symconv.layers import Layer
from symconv.targets.numpy.functions import formulas_by_function
from tests.effort import many
from tests.shell.command import run
from tests.strategies import layers, pools

ARTICLE = Conv((1, 1, 3, 3), 1, 2, bias=False)
KINDS = [
    ARTICLE,
    Conv((1, 4, 9, 9), 4, 3, stride=2, padding=((1, 0), (0, 1)), groups=2),
    Conv((8, 64, 56, 56), 64, 3, padding=1),
    Conv((1, 2, 5, 5), 2, 3, padding=1, padding_mode="reflect", flip=True),
    Conv((1, 1, 4, 4, 4), 1, 2),
    ConvTranspose((1, 2, 3, 3), 2, 3, stride=2, padding=1, output_padding=1),
    MaxPool((1, 2, 5, 5), 3, stride=2),
    AvgPool((1, 1, 6), 3, padding=1),
    Linear((2, 3), 4),
    Activation((2, 3), "gelu"),
    Softmax((2, 3)),
    BatchNorm((4, 3, 2, 2)),
    SoftmaxCrossEntropy((4, 3)),
    Add(((2, 3), (2, 3))),
    Concat(((2, 3), (2, 1)), axis=1),
    Contraction("O[n,i] = X[n,i+k]*F[k] - 2*X[n,i]", shapes=(("X", (2, 8)), ("F", (3,)))),
]


class Links(HTMLParser):
    """Collects what a page would fetch, and its identifiers."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag, what it would fetch and what it is called."""
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "data") and value:
                self.fetched.append(value)
            if name == "id" and value:
                self.ids.append(value)


def data_of(html: str) -> Any:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    return json.loads(text)


@pytest.mark.parametrize("layer", KINDS, ids=lambda layer: type(layer).__name__)
def test_a_page_stands_alone(layer: Layer) -> None:
    html = explain(layer).html()
    found = Links()
    found.feed(html)
    assert all(link.startswith("#") and link[1:] in found.ids for link in found.fetched)
    assert len(found.ids) == len(set(found.ids))
    assert "http" not in re.sub(r'xmlns="[^"]*"', "", html)
    assert "url(" not in html.replace("url(#", "")
    assert "math" in found.tags
    assert len(html.encode()) < (300_000 if layer == ARTICLE else 2_000_000)


def test_the_article_has_its_pictures_and_equations() -> None:
    html = explain(ARTICLE).html()
    for heading in (
        "O is the correlation of X with F",
        "For comparison: the convolution of X with F",
        "∂E/∂F is the correlation of X with G",
        "∂E/∂X is the full convolution of G with F",
    ):
        assert f">{heading}</h2>" in html
    assert "torch.nn.Conv2d(1, 1, 2, bias=False)" in html
    assert "O11 = F11·X11 + F12·X12 + F21·X21 + F22·X22" in html
    told = re.findall(r'<p class="formula" role="status">(.*?)</p>', html)
    assert told[0] == "O11 = F11·X11 + F12·X12 + F21·X21 + F22·X22"
    assert told[2:] == ["∂E/∂F11 = G11·X11 + G12·X12 + G21·X21 + G22·X22", "∂E/∂X11 = F11·G11"]


def read(html: str) -> dict[str, list[dict[tuple[str, ...], float]]]:
    """Return each result of a page's data: a coefficient for each product of elements' names."""
    data = data_of(html)
    found = {}
    for name, result in data["results"].items():
        found[name] = [
            {
                tuple(
                    sorted(
                        data["tensors"][data["order"][tensor]]["names"][at]
                        for tensor, at in zip(term[1][::2], term[1][1::2], strict=True)
                    )
                ): term[0]
                for term in terms
            }
            for terms in result["terms"]
        ]
    return found


@hypothesis.given(st.one_of(layers(), pools()))
@hypothesis.settings(max_examples=many(100))
def test_formulas_in_a_page_are_sympys(layer: Layer) -> None:
    hypothesis.assume(miniature(layer) == layer and is_drawn_by_elements(layer))
    hypothesis.assume("max" not in str(layer.graph))
    report = Report("layer", ())
    html = page(layer, derive(layer, "index"), prove(ARTICLE), (), report, "0")
    found = read(html)
    wanted = {"O": output_elements(layer)}
    wanted |= {f"∂E/∂{layer.symbols[n]}": gradient_elements(layer, n) for n in layer.differentiable}
    for name, expressions in wanted.items():
        for terms, expression in zip(found[name], expressions, strict=True):
            products = expression.as_coefficients_dict().items()
            polynomial = {
                tuple(sorted(map(str, product.as_ordered_factors()))): float(coefficient)
                for product, coefficient in products
                if coefficient
            }
            assert polynomial == pytest.approx(terms)


def test_text_cannot_leave_its_place() -> None:
    report = Report("</script><script>alert(1)</script>", ())
    html = page(ARTICLE, derive(ARTICLE), prove(ARTICLE), blocks("'</pre><b>'\n", {}), report, "0")
    assert "<script>alert" not in html
    assert "<b>" not in html


def test_a_large_layer_is_drawn_and_checked_small() -> None:
    explanation = explain(Conv((8, 64, 56, 56), 64, 3, padding=1))
    html = explanation.html()
    assert "The pictures show a smaller layer, of input 1×2×4×4." in html
    assert "the module of the smaller layer that is drawn: all" in html
    assert "8×64×56×56" in html


def test_pages_are_the_same_every_time() -> None:
    assert explain(ARTICLE).html() == explain(ARTICLE).html()


def test_it_is_written_and_shown(tmp_path: Path) -> None:
    explanation = explain(ARTICLE)
    assert explanation.write(tmp_path / "a.html").read_text("utf-8") == explanation.html()
    explanation.write(tmp_path / "a.html")
    with pytest.raises(SymconvError, match=r"must end in .html"):
        explanation.write(tmp_path / "a.txt")
    (tmp_path / "mine.html").write_text("mine")
    with pytest.raises(SymconvError, match="was not generated by symconv"):
        explanation.write(tmp_path / "mine.html")
    shown = explanation._repr_html_()
    assert shown.startswith("<iframe")
    assert shown.count("<") == 2
    assert len(repr(explanation)) < 100


def test_the_shell_writes_a_page(tmp_path: Path) -> None:
    words = ["conv", "--input-shape", "1x1x3x3", "--out-channels", "1", "--kernel-size", "2"]
    assert run("explain", *words, "-o", "p.html", cwd=tmp_path) == "p.html\n"
    assert "<!DOCTYPE html>" in (tmp_path / "p.html").read_text("utf-8")


def test_code_is_split_at_its_functions() -> None:
    unit = generate(ARTICLE, "article")
    found = {b.name: b for b in blocks(unit.source, formulas_by_function(unit.plan))}
    assert list(found) == [
        "constants",
        "forward",
        "input_gradient",
        "weight_gradient",
        "backward",
        "release",
        "helpers",
    ]
    assert found["forward"].formulas == (
        "O[n, o, y, x] = Σ_{c,i,j} X[n, c, y + i, x + j] · F[o, c, i, j]",
    )
    plain = re.sub("<[^>]*>", "", "".join(block.codes["Python"] + "\n" for block in found.values()))
    assert len(plain.split()) > 0.9 * len(unit.source.split())


def test_functions_in_c_stand_beside_those_in_python() -> None:
    source = generate(ARTICLE, "article", target="c").source
    module = generate(ARTICLE, "article").source
    found = {b.name: b.codes for b in blocks(module, {}, source, "article_")}
    for name in ("forward", "input_gradient", "weight_gradient", "backward"):
        assert list(found[name]) == ["Python", "C"]
        plain = re.sub("<[^>]*>", "", found[name]["C"])
        assert plain.startswith("//")
        assert f"void article_{name}(" in plain
        assert plain.endswith("\n}")
        assert plain.count("\n}") == 1
    assert list(found["release"]) == ["Python"]
    assert "void layer_forward" in re.sub("<[^>]*>", "", explain(ARTICLE).html())
    assert "layer_forward" not in explain(Linear((None, 3), 2)).html()
