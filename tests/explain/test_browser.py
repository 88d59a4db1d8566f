"""The page in a browser: what is lit, the formulas, the slider, the keyboard, and axe-core's rules."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from symconv import (
    Activation,
    AvgPool,
    Conv,
    ConvTranspose,
    Linear,
    MaxPool,
    Network,
    derive,
    explain,
    prove,
)
from symconv.check.report import Report
from symconv.explain.dependence import Dependence, Result, element_names
from symconv.explain.miniature import miniature
from symconv.explain.page import page
from symconv.layers import Layer
from tests.conftest import BROWSER
from tests.effort import long, some

pytestmark = pytest.mark.needs("browser")

SCREENSHOTS = (
    Path(__file__).resolve().parents[2] / "screenshots"
)  # to be looked at; not in the repository
ARTICLE = Conv((1, 1, 3, 3), 1, 2, bias=False)
LAYERS: dict[str, Layer] = {
    "article": ARTICLE,
    "strided": Conv((1, 4, 9, 9), 4, 3, stride=2, padding=((1, 0), (0, 1)), groups=2),
    "transposed": ConvTranspose((1, 2, 3, 3), 2, 3, stride=2, padding=1, output_padding=1),
    "reflected": Conv((1, 1, 5, 5), 1, 3, padding=1, padding_mode="reflect", flip=True),
    "signal": Conv((1, 1, 8), 1, 3, dilation=2),
    "volume": Conv((1, 1, 4, 4, 4), 1, 2),
    "maximum": MaxPool((1, 2, 5, 5), 3, stride=2),
    "average": AvgPool((1, 1, 5, 5), 3, stride=2, padding=1),
    "linear": Linear((2, 3), 4),
    "gelu": Activation((2, 3), "gelu"),
    "network": Network(
        input_shape=(2, 1, 6, 6),
        layers=[
            {"layer": "Conv", "out_channels": 2, "kernel_size": 3, "stride": 2, "padding": 1},
            {"layer": "Activation", "function": "relu"},
            {"layer": "MaxPool", "kernel_size": 2},
            {"layer": "Flatten"},
            {"layer": "Linear", "out_features": 3},
            {"layer": "SoftmaxCrossEntropy"},
        ],
    ),
}
BY_ELEMENTS = [name for name, layer in LAYERS.items() if not isinstance(layer, Activation | Network)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


class Tab:
    """A tab with a page in it, and what went wrong there."""

    def __init__(self, browser: Any, html: str, folder: Path, **options: Any) -> None:
        file = folder / "page.html"
        file.write_text(html, "utf-8")
        self.view = browser.new_context(**options).new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.view.on("console", lambda message: self.errors.append(message.text))
        self.view.on("pageerror", lambda error: self.errors.append(str(error)))
        self.view.on("request", lambda request: self.requests.append(request.url))
        self.view.goto(file.as_uri())

    def text(self, selector: str) -> str:
        """Return the text of an element of the page."""
        return str(self.view.text_content(selector))

    def lit(self) -> set[tuple[str, int]]:
        """Return the elements that are highlighted as what another is made of."""
        script = "boxes => boxes.map(box => [box.dataset.tensor, Number(box.dataset.at)])"
        found = self.view.eval_on_selector_all("#elements .box.lit", script)
        return {(str(name), int(at)) for name, at in found}


def quick(layer: Layer) -> str:
    """Return a page whose derivation and proof are the article's: they are not looked at."""
    return page(layer, derive(ARTICLE), prove(ARTICLE), (), Report("layer", ()), "0")


def formula(result: Result, at: int, names: dict[str, tuple[str, ...]]) -> set[str]:
    return {"·".join(names[n][i] for n, i in term.elements) for term in result.terms[at]}


@pytest.mark.every
@pytest.mark.parametrize("name", list(some(BY_ELEMENTS, 99)))
def test_hovering_lights_what_an_element_is_made_of(name: str, browser: Any, tmp_path: Path) -> None:
    layer = LAYERS[name]
    tab = Tab(browser, quick(layer), tmp_path)
    compare(tab, layer)
    assert tab.errors == []
    assert len(tab.requests) == 1, tab.requests


def compare(tab: Tab, layer: Layer) -> None:
    """Hover over elements of every result, and read off what is lit and written."""
    drawn = miniature(layer)
    dependence = Dependence(drawn)
    names = {t.name: element_names(t) for t in (*drawn.tensors.values(), drawn.cotangent)}
    for result in dependence.results:
        boxes = tab.view.query_selector_all(
            f'#elements figure:not([hidden]) .box[data-tensor="{result.tensor.name}"]'
        )
        for box in random.Random(0).sample(boxes, min(len(boxes), 8)):
            box.hover()
            at = int(box.get_attribute("data-at"))
            terms = result.terms[at]
            wanted = {part for term in terms for part in term.elements}
            wanted |= {("X", term.selected[1]) for term in terms if term.selected}
            visible = tab.lit()
            assert visible == wanted, (result.tensor.name, at)
            said = tab.text("#symbols")
            assert said.startswith(f"{element_names(result.tensor)[at]} = ")
            for product in formula(result, at, names):
                assert product in said


@long
def test_a_hundred_random_layers(browser: Any, tmp_path: Path) -> None:
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

    from tests.strategies import layers, pools

    @given(st.one_of(layers(), pools()))
    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    def search(layer: Any) -> None:
        tab = Tab(browser, quick(layer), tmp_path)
        compare(tab, layer)
        assert tab.errors == []
        tab.view.context.close()

    search()


@long
def test_a_term_that_is_lost_would_be_seen(browser: Any, tmp_path: Path) -> None:
    html = quick(ARTICLE).replace("[1,[1,0,0,0]],", "", 1)  # F11·X11 in O11
    assert html != quick(ARTICLE)
    with pytest.raises(AssertionError):
        compare(Tab(browser, html, tmp_path), ARTICLE)


def test_the_sliders_step_through_positions(browser: Any, tmp_path: Path) -> None:
    tab = Tab(browser, quick(ARTICLE), tmp_path)
    assert tab.text("#symbols") == "O11 = F11·X11 + F12·X12 + F21·X21 + F22·X22"
    tab.view.focus("#position")
    tab.view.keyboard.press("ArrowRight")
    assert tab.text("#symbols") == "O12 = F11·X12 + F12·X13 + F21·X22 + F22·X23"
    tab.view.focus("#picture-3 .step")
    for _ in range(4):
        tab.view.keyboard.press("ArrowRight")
    said = tab.text("#picture-3 .formula")
    assert said.startswith("∂E/∂X22 = F11·G22 + F12·G21 + F21·G12 + F22·G11 = ")
    notes = tab.view.eval_on_selector_all(
        "#picture-3 .note", "all => all.map(n => n.textContent).filter(t => t)"
    )
    assert notes == ["F22", "F21", "F12", "F11"]
    tab.view.click("#picture-3 .play")
    tab.view.wait_for_function("document.querySelector('#picture-3 .step').value === '5'")
    assert tab.text("#picture-3 .play") == "Stop"
    assert tab.errors == []


def test_the_keyboard_reaches_every_element(browser: Any, tmp_path: Path) -> None:
    tab = Tab(browser, quick(ARTICLE), tmp_path)
    tab.view.focus('#elements .box[data-tensor="∂E/∂X"]')
    assert tab.text("#symbols") == "∂E/∂X11 = F11·G11"
    for key in ("ArrowRight", "ArrowDown"):
        tab.view.keyboard.press(key)
    assert tab.text("#symbols").startswith("∂E/∂X22 = ")
    tab.view.keyboard.press("Enter")
    tab.view.hover('#elements .box[data-tensor="O"]')
    assert tab.text("#symbols").startswith("∂E/∂X22 = ")
    tab.view.keyboard.press("Escape")
    tab.view.hover('#elements .box[data-tensor="G"]')
    assert tab.text("#symbols").startswith("G11 = ")


@long
def test_numbers_can_be_changed(browser: Any, tmp_path: Path) -> None:
    tab = Tab(browser, quick(ARTICLE), tmp_path)
    for tensor, value in {"X": "7", "F": "0.5"}.items():
        for at in range(9 if tensor == "X" else 4):
            tab.view.click(f'#elements .box[data-tensor="{tensor}"][data-at="{at}"]')
            tab.view.fill("#number", value)
            tab.view.keyboard.press("Escape")
    values = tab.view.eval_on_selector_all(
        '#elements .box[data-tensor="O"] .value', "all => all.map(v => v.textContent)"
    )
    assert values == ["14"] * 4
    assert tab.errors == []


@long
def test_it_reads_without_scripts(browser: Any, tmp_path: Path) -> None:
    tab = Tab(browser, explain(ARTICLE).html(), tmp_path, java_script_enabled=False)
    assert tab.view.is_visible("text=O11 = F11·X11 + F12·X12 + F21·X21 + F22·X22")
    assert not tab.view.is_visible("#play")
    assert tab.view.is_visible("#derivation math")


@long
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(name: str, scheme: str, browser: Any, tmp_path: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    tab = Tab(browser, explain(LAYERS[name]).html(), tmp_path, color_scheme=scheme)
    found = Axe().run(tab.view)
    assert found.violations_count == 0, found.generate_report()


@long
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_is_wider_than_the_screen(name: str, width: int, browser: Any, tmp_path: Path) -> None:
    tab = Tab(browser, explain(LAYERS[name]).html(), tmp_path, viewport={"width": width, "height": 900})
    assert tab.view.evaluate("document.documentElement.scrollWidth") <= width
    SCREENSHOTS.mkdir(exist_ok=True)
    tab.view.screenshot(path=SCREENSHOTS / f"{name}-{width}.png", full_page=True)
    tab.view.emulate_media(media="print")
    assert not tab.view.is_visible("nav")
