"""The report in a real browser."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neurosearch.report.page import build_report
from neurosearch.search.stored import StoredStudy
from tests.browser import Browser, programs

# Contrast of every text that is shown, after WCAG 2: of HTML against the nearest ground, of SVG against the figure's.
# Names of trials that are hidden are greyed on purpose (inactive parts are exempt), as are texts nobody sees.
CONTRASTS = """
const parse = (text) => {
  const part = (text.match(/[\\d.]+/g) || []).map(Number);
  return part.length < 3 ? null : part;
};
const light = ([r, g, b]) => [r, g, b].map((each) => each / 255)
  .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4))
  .reduce((sum, each, index) => sum + each * [0.2126, 0.7152, 0.0722][index], 0);
const ratio = (one, other) => {
  const [a, b] = [light(one), light(other)].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
};
const ground = (element) => {
  for (let each = element; each; each = each.parentElement) {
    const colour = parse(getComputedStyle(each).backgroundColor);
    if (colour && (colour.length === 3 || colour[3] > 0)) return colour;
  }
  return [255, 255, 255];
};
const faded = (element) => {
  for (let each = element; each; each = each.parentElement) if (Number(getComputedStyle(each).opacity) < 1) return true;
  return false;
};
const found = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  const box = element.getBoundingClientRect();
  if (!own || !box.width || !box.height || faded(element) || ["SCRIPT", "STYLE"].includes(element.tagName)) continue;
  const style = getComputedStyle(element);
  const colour = parse(element.namespaceURI.endsWith("svg") ? style.fill : style.color);
  if (colour) found.push([ratio(colour, ground(element)), element.textContent.slice(0, 40), String(element.className)]);
}
return found.sort((one, other) => one[0] - other[0]);
"""


FIGURES = ("front", "trajectories", "layers", "influence", "classes", "confusion", "seeds", "course")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if programs() is None:
        pytest.skip("no browser on this machine; Debian's packages are called chromium and chromium-driver")
    opened = Browser()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def page(whole: StoredStudy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(build_report(whole), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def shown(browser: Browser, page: Path) -> Browser:
    """A browser that shows the report on a wide light page."""
    browser.open(page)
    browser.wait_for_figures()
    return browser


def test_every_figure_is_drawn_and_the_console_is_silent(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.wait_for_figures()
    drawn = browser.run(
        "return [...document.querySelectorAll('.plot')].map((each) => "
        "[each.id, each.querySelectorAll('.trace, .heatmaplayer image, .bars').length])"
    )
    assert [name for name, _ in drawn] == [f"plot-{each}" for each in FIGURES]
    assert all(count > 0 for _, count in drawn), drawn
    assert browser.errors() == []


def test_the_page_asks_for_nothing(shown: Browser) -> None:
    assert shown.run("return performance.getEntriesByType('resource').map((each) => each.name)") == []


def test_what_a_script_in_the_page_would_fetch_is_refused(shown: Browser) -> None:
    blocked = shown.driver.execute_async_script(
        "document.addEventListener('securitypolicyviolation', (event) => arguments[0](event.effectiveDirective));"
        "fetch('https://example.org').catch(() => {});"
    )
    assert blocked == "connect-src"
    assert any("Content Security Policy" in each for each in shown.errors())


def test_a_click_on_a_trial_s_name_shows_it(shown: Browser) -> None:
    visible = "return document.getElementById('plot-trajectories').data.filter((each) => each.visible === true).length"
    before = shown.run(visible)
    entries = shown.driver.find_elements("css selector", "#plot-trajectories .legendtoggle")
    shown.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", entries[2])
    entries[2].click()
    shown.wait(f"document.getElementById('plot-trajectories').data.filter((e) => e.visible === true).length > {before}")


def test_the_reader_chooses_whose_confusions_are_seen(shown: Browser) -> None:
    visible = "document.getElementById('plot-confusion').data.map((each) => each.visible).join()"
    assert shown.run(f"return {visible}") == "true,false"
    choice = shown.driver.find_elements("css selector", "#figure-confusion input")[1]
    shown.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", choice)
    choice.click()
    shown.wait(f"{visible} === 'false,true'")


def test_the_data_behind_a_figure_opens_from_the_keyboard(shown: Browser) -> None:
    summary = shown.driver.find_element("css selector", "#figure-front summary")
    table = shown.driver.find_element("css selector", "#figure-front table")
    assert not table.is_displayed()
    summary.send_keys("\n")
    assert table.is_displayed()
    summary.send_keys("\n")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_texts_stand_out_from_their_ground(browser: Browser, page: Path, dark: bool) -> None:
    browser.open(page, dark=dark)
    browser.wait_for_figures()
    browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    contrasts: list[Any] = browser.run(CONTRASTS)
    assert len(contrasts) > 300
    assert contrasts[0][0] >= 4.5, contrasts[:5]


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_page_scrolls_sideways(browser: Browser, page: Path, width: int) -> None:
    browser.open(page, width=width)
    browser.wait_for_figures()
    browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    sizes = browser.run("return [...document.querySelectorAll('.plot svg.main-svg')].map((each) => each.clientWidth)")
    assert max(sizes) <= width


def test_figures_follow_the_device_into_the_dark(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.wait_for_figures()
    ticks = "getComputedStyle(document.querySelector('#plot-front .xtick text')).fill"
    ground = "return getComputedStyle(document.body).backgroundColor"
    before = browser.run(f"return {ticks}")
    assert browser.run(ground) == "rgb(255, 255, 255)"
    browser.prefer("dark")
    browser.wait(f"{ticks} !== '{before}'")
    assert browser.run(ground) == "rgb(20, 24, 31)"


def test_on_paper_it_is_light_and_has_no_navigation(browser: Browser, page: Path) -> None:
    browser.open(page, dark=True)
    browser.wait_for_figures()
    browser.prefer("dark", media="print")
    assert browser.run("return getComputedStyle(document.querySelector('nav')).display") == "none"
    assert browser.run("return getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    browser.run("window.dispatchEvent(new Event('beforeprint'))")
    widest = "Math.max(...[...document.querySelectorAll('.plot .main-svg')].map((each) => each.clientWidth))"
    browser.wait(f"{widest} <= 640")
    browser.run("window.dispatchEvent(new Event('afterprint'))")
    browser.wait(f"{widest} > 640")
    printed = browser.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")


def test_everything_has_a_name_for_those_who_hear_the_page(shown: Browser) -> None:
    tree = shown.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    named = {"image", "figure", "table", "region", "navigation", "radio", "heading", "link"}
    for node in tree:
        role = node.get("role", {}).get("value")
        if role in named and not node.get("ignored"):
            assert node.get("name", {}).get("value"), node
    roles = [node.get("role", {}).get("value") for node in tree]
    assert roles.count("image") == len(FIGURES)
    assert roles.count("main") == 1
