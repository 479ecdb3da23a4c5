"""What sections of a report are made of: figures with their data, and what cannot be shown yet."""

import json
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.io import to_json

from neurosearch.report.markup import Content, Html, data_block, element
from neurosearch.report.style import framed
from neurosearch.report.table import Table


@dataclass(frozen=True)
class Exhibit:
    """A figure with the data behind it.

    Attributes:
        key: Names it in the page.
        title: What it shows.
        summary: What is to be seen, for those who do not see it, too.
        figure: The figure.
        table: Its data.
        views: Names of its traces where one of them is seen at a time, and the reader chooses which.
    """

    key: str
    title: str
    summary: str
    figure: go.Figure
    table: Table
    views: tuple[str, ...] = ()

    def html(self) -> Html:
        """Returns it; a script of the page draws the figure when it is needed."""
        caption = element("figcaption", element("strong", self.title), " ", self.summary, id=f"caption-{self.key}")
        place = element(
            "div",
            class_="plot",
            id=f"plot-{self.key}",
            role="img",
            aria_labelledby=f"caption-{self.key}",
            style=f"height: {self.figure.layout.height}px",
            data_spec=f"spec-{self.key}",
        )
        block = data_block(self._spec(), f"spec-{self.key}")
        data = element("details", element("summary", "Data of this figure"), self.table.html())
        content = (caption, self._choice(), place, block, data)
        return element("figure", content, id=f"figure-{self.key}", aria_labelledby=f"caption-{self.key}")

    def _choice(self) -> Html | None:
        """Returns the buttons by which the reader chooses a view; None where there is nothing to choose."""
        if len(self.views) < 2:
            return None
        buttons = (
            element(
                "label",
                element("input", type="radio", name=f"view-{self.key}", value=str(index), checked=index == 0),
                name,
            )
            for index, name in enumerate(self.views)
        )
        return element("fieldset", element("legend", "Show"), buttons, class_="views")

    def _spec(self) -> Any:
        """Returns the figure as plain values; the page gives it the template of its mode."""
        spec = json.loads(to_json(self.figure, validate=False))
        spec["layout"].pop("template", None)
        return spec


@dataclass(frozen=True)
class Missing:
    """What a section cannot show yet.

    Attributes:
        why: What is missing, and what would bring it.
    """

    why: str

    def html(self) -> Html:
        """Returns it as a note."""
        return element("p", self.why, class_="missing")

    @property
    def figure(self) -> go.Figure:
        """The words where a figure would be."""
        figure = go.Figure()
        figure.add_annotation(text=self.why, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper")
        figure.update_xaxes(visible=False)
        figure.update_yaxes(visible=False)
        return framed(figure, 160)


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        key: Names it in the page.
        title: Its heading.
        content: What stands below.
    """

    key: str
    title: str
    content: Content

    def html(self) -> Html:
        """Returns it under its heading."""
        heading = element("h2", self.title, id=f"heading-{self.key}")
        return element("section", heading, self.content, id=self.key, aria_labelledby=f"heading-{self.key}")
