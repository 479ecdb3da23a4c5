"""`import neurosearch as ns`: light to import, the same values as the commands show, and a notebook that runs."""

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_type

import pytest

import neurosearch as ns

if TYPE_CHECKING:
    from neurosearch.search.seams import TrialSummary

ROOT = Path(__file__).parents[1]


def test_the_import_stays_light_and_the_names_are_offered_all_the_same() -> None:
    code = (
        "import sys, neurosearch\n"
        "assert {'Study', 'load', 'run'} <= set(dir(neurosearch))\n"
        "heavy = {'torch', 'ray', 'optuna', 'mlflow', 'plotly', 'numpy', 'pydantic', 'typer'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert not [name for name in sys.modules if name.startswith('neurosearch.')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_public_name_is_that_of_a_room() -> None:
    rooms = {path.stem for path in (ROOT / "neurosearch").iterdir() if path.suffix in ("", ".py")}
    assert not rooms & {name for name in dir(ns) if not name.startswith("_") and name in vars(ns)["_LAZY"]}


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'neurosearch' has no attribute 'nothing'"):
        ns.nothing  # type: ignore[attr-defined]  # noqa: B018  # what is looked up is what is tested
    assert not hasattr(ns, "nothing")


if TYPE_CHECKING:  # `make check-types` reads this file: what is offered lazily has types all the same
    assert_type(ns.load("a").best, TrialSummary | None)
    assert_type(ns.run("a.yaml").export(), Path)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """Outputs of the example's cells, by their source, after it was run from top to bottom."""
    import nbformat
    from nbclient import NotebookClient

    folder = tmp_path_factory.mktemp("notebook")
    book = nbformat.read(ROOT / "examples" / "notebook.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    assert (folder / "report.html").stat().st_size > 10_000
    return {cell.source: cell.outputs for cell in book.cells if cell.cell_type == "code"}


def data_of(outputs: dict[str, list[Any]], source: str) -> dict[str, Any]:
    (shown,) = (each.data for each in outputs[source] if each.output_type in ("execute_result", "display_data"))
    return dict(shown)


@pytest.mark.ray
@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom_and_shows_its_figures(outputs: dict[str, list[Any]]) -> None:
    assert "study notebook in runs/notebook: complete" in data_of(outputs, "study")["text/plain"]
    for source in ("study.front", 'study.figure("trajectories")'):
        figure = data_of(outputs, source)["application/vnd.plotly.v1+json"]
        assert figure["data"], source
    (report,) = (source for source in outputs if source.startswith("report ="))
    assert data_of(outputs, report)["text/html"].startswith("<iframe ")
    assert "network.onnx" in data_of(outputs, "sorted(path.name for path in study.export().iterdir())")["text/plain"]
