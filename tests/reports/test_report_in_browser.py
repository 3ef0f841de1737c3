"""The report in a browser: nothing is loaded or complained about, nothing sticks out, dark and light can be read."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import dlc
from tests.common import ROOT
from tests.reports import browser
from tests.reports.browser import Page

pytestmark = pytest.mark.skipif(browser.find() is None, reason=browser.HOW)
DESKTOP, PHONE = (1200, 900), (390, 844)

OVERFLOW = """[...document.querySelectorAll('body *')].filter(e => {
  const r = e.getBoundingClientRect();
  return r.width && r.right > innerWidth + 1 && !e.closest('.scroll, .picture, pre, svg');
}).map(e => e.outerHTML.slice(0, 80))"""
TEXTS = """[...document.querySelectorAll('svg.network g.layer, svg.network g.closed, svg.network g.end')].filter(g => {
  const box = g.querySelector('rect').getBBox();
  return [...g.querySelectorAll('text')].some(t => {
    const b = t.getBBox();
    return b.x < box.x || b.x + b.width > box.x + box.width || b.y < box.y || b.y + b.height > box.y + box.height;
  });
}).map(g => g.textContent)"""
PAIRS = """[...document.querySelectorAll('svg.network g.layer')].filter(g => {
  const [a, b] = [...g.querySelectorAll('text.small')].map(t => t.getBBox());
  return a && b && a.y === b.y && a.x < b.x + b.width && b.x < a.x + a.width;
}).map(g => g.textContent)"""
CONTRAST = """(() => {
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(v => v / 255).map(
    v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ratio = (a, b) => (v => (v[1] + 0.05) / (v[0] + 0.05))([light(a), light(b)].sort((p, q) => p - q));
  const paper = getComputedStyle(document.body).backgroundColor;
  const least = (selector, name) => Math.min(...[...document.querySelectorAll(selector)].map(
    e => ratio(getComputedStyle(e)[name], paper)));
  return [paper, least('p, th, td, dt, dd, a, summary, figcaption', 'color'), least('svg text', 'fill'),
          least('.line', 'stroke')];
})()"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    path = browser.find()
    assert path is not None
    with browser.chromium(path, tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def graph_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a short run of a network with every form of graph, and pictures as inputs."""
    run = tmp_path_factory.mktemp("graph") / "run"
    spec = dlc.load(ROOT / "examples" / "graph" / "graph.yaml", ["train.epochs=2", "train.batch_size=128"])
    dlc.train(spec, run)
    return dlc.report(run)


@pytest.mark.few(1)
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page(page: Page, graph_report: Path, tmp_path: Path, size: tuple[int, int], scheme: str) -> None:
    page.show(graph_report, *size, scheme)
    assert page.complaints() == []
    assert page.ask("document.documentElement.scrollWidth") <= size[0]
    assert page.ask(OVERFLOW) == []
    assert page.ask(TEXTS) == [] and page.ask(PAIRS) == []
    assert page.ask("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert page.ask("document.images.length") >= 12
    assert (
        page.ask("Math.min(...[...document.querySelectorAll('svg.chart')].map(s => s.getBoundingClientRect().width))")
        > 250
    )
    paper, words, texts, lines = page.ask(CONTRAST)
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    assert min(words, texts) >= 4.5 and lines >= 3.0  # WCAG 2.2, 1.4.3 and 1.4.11
    pixels = page.screenshot(tmp_path / "page.png")
    assert len(zlib.decompress(idat(pixels))) > size[0] * 2000  # a whole page, not a blank window


def idat(data: bytes) -> bytes:
    """The packed pixels of a PNG file."""
    found, at = b"", 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        found += data[at + 8 : at + 8 + length] if data[at + 4 : at + 8] == b"IDAT" else b""
        at += 12 + length
    return found


def test_script_tells_the_value_under_the_pointer(page: Page, graph_report: Path) -> None:
    page.show(graph_report, *DESKTOP, "light")
    x, y = page.ask(
        "(r => [r.right - 20, r.top + r.height / 2])(document.querySelector('svg.chart').getBoundingClientRect())"
    )
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    assert page.ask("document.querySelector('.readout').textContent").startswith("epoch 2: train ")
    assert page.complaints() == []


def test_page_is_whole_without_its_script(page: Page, graph_report: Path) -> None:
    page.show(graph_report, *DESKTOP, "light")
    with_script = page.ask("document.querySelectorAll('svg, table, img, details').length")
    page.show(graph_report, *DESKTOP, "light", script=False)
    page.call("Emulation.setScriptExecutionDisabled", value=False)
    assert page.ask("document.querySelectorAll('svg, table, img, details').length") == with_script
    assert page.ask("document.querySelectorAll('.readout').length") == 0


def test_print_opens_what_is_closed(page: Page, graph_report: Path) -> None:
    page.show(graph_report, *DESKTOP, "dark")
    page.call("Emulation.setEmulatedMedia", media="print")
    assert page.ask("getComputedStyle(document.documentElement).getPropertyValue('--paper').trim()") == "#fff"
    page.ask("dispatchEvent(new Event('beforeprint'))")
    assert page.ask("[...document.querySelectorAll('details')].every(d => d.open)")
    page.call("Emulation.setEmulatedMedia", media="")
