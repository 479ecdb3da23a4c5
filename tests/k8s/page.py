"""Tables of docs/kubernetes.md."""

from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/kubernetes.md"


def rows(first):
    """Return the rows of all tables whose first column has this name, as tuples of texts."""
    found, inside = [], False
    for line in PAGE.read_text("utf-8").splitlines():
        cells = tuple(cell.strip() for cell in line.strip("|").split("|"))
        if not line.startswith("|"):
            inside = False
        elif not inside:
            inside, wanted = True, cells[0] == first
        elif wanted and not cells[0].startswith("---"):
            found.append(cells)
    return found
