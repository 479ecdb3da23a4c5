"""The report as one HTML file: no network, no file beside it, readable wherever there is a browser."""

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.resources import files

from plotly.offline import get_plotlyjs

from neurosearch import __version__
from neurosearch.report.classes import classes_section
from neurosearch.report.cost import cost_section
from neurosearch.report.exhibit import Section
from neurosearch.report.front import front_section
from neurosearch.report.influence import influence_section
from neurosearch.report.markup import Html, data_block, element
from neurosearch.report.material import Material, material_of
from neurosearch.report.numbers import plural
from neurosearch.report.reproduce import reproduce_section
from neurosearch.report.seeds import seeds_section
from neurosearch.report.style import PAGE, theme
from neurosearch.report.trajectories import trajectories_section
from neurosearch.report.verdict import verdict_section
from neurosearch.search.stored import StoredStudy

_SECTIONS: Sequence[Callable[[Material], Section]] = (
    verdict_section,
    front_section,
    trajectories_section,
    influence_section,
    classes_section,
    seeds_section,
    cost_section,
    reproduce_section,
)


def build_report(study: StoredStudy) -> str:
    """Returns the page.

    Args:
        study: In whatever state it is: what cannot be told yet is named.

    Raises:
        StudyError: The study's storage cannot be read.
    """
    material = material_of(study)
    sections = [make(material) for make in _SECTIONS]
    main = element("main", [section.html() for section in sections], id="main")
    name = material.folder.name
    body = element(
        "body",
        element("a", "To the answer", href="#answer", class_="skip"),
        _header(material),
        _navigation(sections),
        main,
        _footer(),
        data_block({mode: theme(mode) for mode in PAGE}, "themes"),
        _scripts(),
    )
    page = element("html", _head(name), body, lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _head(name: str) -> Html:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy()),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{name}: neurosearch report"),
        element("link", rel="icon", href="data:,"),
        element("style", Html(_file("page.css"))),
    )


def _header(material: Material) -> Html:
    started = [each.started for each in material.trials]
    ended = [each.ended for each in material.trials if each.ended is not None]
    times = f", {_time(min(started))} to {_time(max(ended))}" if ended else ""
    state = f"{plural(len(material.trials), 'trial')}, {material.state}{times}"
    return element(
        "header",
        element("p", "neurosearch report", class_="eyebrow"),
        element("h1", material.folder.name),
        element("p", state, class_="meta"),
    )


def _navigation(sections: Sequence[Section]) -> Html:
    links = (element("li", element("a", section.title, href=f"#{section.key}")) for section in sections)
    return element("nav", element("ol", links), aria_label="Sections")


def _footer() -> Html:
    made = _time(datetime.now(UTC).timestamp())
    return element("footer", element("p", f"Made by neurosearch {__version__} on {made}."))


def _scripts() -> Iterator[Html]:
    """Yields the page's scripts, the figures' library first; at the end of the page, so that its text comes first."""
    yield from (element("script", Html(text)) for text in _script_texts())


def _script_texts() -> tuple[str, str]:
    return get_plotlyjs(), _file("page.js")


def _policy() -> str:
    """Returns what the page may do: run its own scripts, and reach nothing outside itself.

    Plotly sets styles as it draws; its picture of a figure, for download, is a blob that becomes an image.
    """
    hashes = (hashlib.sha256(text.encode()).digest() for text in _script_texts())
    scripts = " ".join(f"'sha256-{base64.b64encode(each).decode()}'" for each in hashes)
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
        "form-action 'none'"
    )


def _file(name: str) -> str:
    return files("neurosearch.report").joinpath(name).read_text(encoding="utf-8")


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
