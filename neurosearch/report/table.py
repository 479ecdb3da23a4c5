"""Tables: what figures are drawn from, and what needs no figure."""

from collections.abc import Sequence
from dataclasses import dataclass

from neurosearch.report.markup import Html, element


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: What it shows.
        columns: Titles.
        rows: Cells as they are to be read; of each row, the first one is its heading.
        marked: Rows that stand out.
        breaks: Whether long words, such as hashes, break on a narrow page.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marked: frozenset[int] = frozenset()
    breaks: bool = False

    def html(self) -> Html:
        """Returns it, in a frame of its own that scrolls where the page is too narrow for it."""
        numeric = [self._is_numeric(column) for column in range(len(self.columns))]
        head = element(
            "tr",
            (
                element("th", title, scope="col", class_="number" if is_number else None)
                for title, is_number in zip(self.columns, numeric, strict=True)
            ),
        )
        body = (self._row(row, numeric, index in self.marked) for index, row in enumerate(self.rows))
        caption = element("caption", element("span", self.caption))
        look = "breaks" if self.breaks else None
        table = element("table", caption, element("thead", head), element("tbody", body), class_=look)
        return element("div", table, class_="scroll", role="region", aria_label=self.caption, tabindex="0")

    def _row(self, row: Sequence[str], numeric: Sequence[bool], is_marked: bool) -> Html:
        first, *others = row
        cells = (
            element("td", text, class_="number" if is_number else None)
            for text, is_number in zip(others, numeric[1:], strict=True)
        )
        heading = element("th", first, scope="row", class_="number" if numeric[0] else None)
        return element("tr", heading, cells, class_="marked" if is_marked else None)

    def _is_numeric(self, column: int) -> bool:
        """Tells whether a column holds numbers, which are read from the right."""
        texts = [row[column] for row in self.rows if row[column] not in ("", "-")]
        return bool(texts) and all(text[0] in "<+-.0123456789" and text[-1] in ".0123456789%" for text in texts)
