"""The colours and the frame of figures, on a light page and on a dark one."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

#: Colours of what is drawn, each of a contrast of at least 3 to both pages (checked by a test).
BLUE, ORANGE, GREEN, VIOLET = "#3b7dd8", "#d2691e", "#2b9467", "#9a63d6"
ROSE, TEAL, BROWN, GREY = "#d4508f", "#1c8f9e", "#a2702a", "#7b8591"
#: From nothing to blue, on any ground.
BLUE_SHADES = ((0.0, "rgba(59,125,216,0)"), (1.0, "rgba(59,125,216,1)"))
#: Of the network that stands for the search, and of its control.
CONTENDER, CONTROL = ORANGE, GREY
_OTHERS = (BLUE, GREEN, VIOLET, ROSE, TEAL, BROWN)
#: In the order in which they are given out.
COLOURS = (CONTENDER, CONTROL, *_OTHERS)
_STATIC = "static"

#: The page's own colours: its ground, and text on it.
PAGE = {"light": ("#ffffff", "#1c2127"), "dark": ("#14181f", "#e6eaf0")}
_LINES = {"light": ("#48515c", "#e3e7ec"), "dark": ("#b9c2ce", "#2d343f")}  # text of axes, lines of the grid
#: Below the figure, however high that is.
LEGEND_BELOW = {"orientation": "h", "x": 0, "yref": "container", "y": 0, "yanchor": "bottom"}
_LONGEST = 28  # characters of a name in a figure
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def theme(mode: str, *, ground: str = "rgba(0,0,0,0)") -> dict[str, Any]:
    """Returns a template of Plotly's for a page of this mode.

    Args:
        mode: light or dark.
        ground: Colour behind a figure; none by default, as the page has its own.
    """
    (page, text), (quiet, grid) = PAGE[mode], _LINES[mode]
    axis = {
        "gridcolor": grid,
        "linecolor": grid,
        "zerolinecolor": grid,
        "tickfont": {"color": quiet, "size": 12},
        "title": {"font": {"color": quiet, "size": 13}, "standoff": 8},
        "automargin": True,
    }
    layout = {
        "font": {"family": _FONT, "color": text, "size": 13},
        "paper_bgcolor": ground,
        "plot_bgcolor": ground,
        "colorway": list(COLOURS),
        "xaxis": axis,
        "yaxis": axis,
        "hoverlabel": {"bgcolor": page, "bordercolor": quiet, "font": {"color": text, "size": 12}, "align": "left"},
        "legend": {**LEGEND_BELOW, "font": {"color": text, "size": 12}},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": quiet, "activecolor": text},
        "annotationdefaults": {"font": {"color": quiet, "size": 12}},
        "coloraxis": {"colorbar": {"outlinewidth": 0, "tickfont": {"color": quiet}}},
    }
    return {"layout": layout}


def framed(figure: go.Figure, height: int, **layout: Any) -> go.Figure:
    """Gives a figure its frame; returns the same one."""
    margin = {"l": 8, "r": 8, "t": 24, "b": 8}
    figure.update_layout(template=theme("light", ground="#ffffff"), height=height, margin=margin, **layout)
    return figure


def kind_colours(kinds: Iterable[str]) -> Mapping[str, str]:
    """Returns a colour for each kind of growth; networks that never change are grey."""
    changing = sorted(set(kinds) - {_STATIC})
    return {_STATIC: GREY, **{kind: _OTHERS[index % len(_OTHERS)] for index, kind in enumerate(changing)}}


def plain(text: str, longest: int = _LONGEST) -> str:
    """Returns a text of others for a figure: Plotly reads tags in texts, so what looks like one is escaped."""
    short = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return escape(short, quote=False)


def places(names: Sequence[str], longest: int = _LONGEST) -> dict[str, Any]:
    """Returns an axis of names, each of which stands at its number.

    The short texts only label it: names that begin alike would be one and the same place if they were its keys.
    """
    return {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": [plain(name, longest) for name in names],
        "zeroline": False,
    }


def rows_of(names: Sequence[str], longest: int = _LONGEST) -> dict[str, Any]:
    """Returns an upright axis of names, the first one above."""
    return {**places(names, longest), "range": [len(names) - 0.5, -0.5]}
