"""Studies as Python values, for notebooks and scripts: `import neurosearch as ns`, then `ns.run` and `ns.load`.

In: a config file, or the name of a study. Out: a `Study`, whose parts are the search room's own values and whose
figures and pages show themselves inline. What the commands do is done by the same functions.

`neurosearch` itself offers these names lazily: importing the package imports nothing of this.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from neurosearch.cli.delivery import deliver_trial
from neurosearch.cli.options import RUNS, Progress
from neurosearch.cli.report import NOTHING_FEASIBLE, OK, CommandError, Report, say
from neurosearch.cli.searching import search_study
from neurosearch.cli.studies import open_study, study_lines
from neurosearch.config.load import load_study
from neurosearch.search.candidates import Candidate
from neurosearch.search.folders import StudyFolder
from neurosearch.search.seams import TrialSummary
from neurosearch.search.stored import StoredStudy

Figure = Literal["front", "trajectories", "layers", "influence", "classes", "seeds", "course"]

_PAGE_HEIGHT = 900  # pixels of a report within a notebook; it scrolls


def run(
    config: str | Path,
    *,
    overrides: Sequence[str] = (),
    resume: bool = False,
    address: str | None = None,
    progress: str = "lines",
) -> "Study":
    """Searches, exports the best network within the size limit, and returns the study.

    Args:
        config: The study's YAML file.
        overrides: Fields to replace, as `--set` takes them, such as `("training.epochs=5",)`.
        resume: Whether to go on with the study of this name if there is one; otherwise it is refused.
        address: Address of a running Ray cluster; None: this machine.
        progress: What is printed meanwhile: `lines`, one for every trial, or `json`.

    Raises:
        ConfigError: The config is wrong, or something that it names cannot be used.
        CommandError: The name is taken, or the search could not go on.
        StudyError: The study cannot be made or gone on with.
    """
    study = load_study(Path(config), tuple(overrides))
    _say(search_study(study, resume=resume, address=address, progress=Progress(progress)))
    return Study(StoredStudy(StudyFolder.of(study.study)))


def load(name: str, *, folder: str | Path = RUNS, database: str | None = None) -> "Study":
    """Returns a study that was started before, also while another process searches it.

    Args:
        name: Its name.
        folder: The folder of all studies.
        database: Address of the database that holds it; None: the one that its config names, or its journal.

    Raises:
        CommandError: There is none of this name, or its storage cannot be used.
    """
    return Study(open_study(name, Path(folder), database))


class Study:
    """A study, as far as it is known at each look.

    Args:
        stored: The study in its storage.
    """

    def __init__(self, stored: StoredStudy) -> None:
        self._stored = stored

    @property
    def name(self) -> str:
        """Name of the study."""
        return self._stored.folder.name

    @property
    def folder(self) -> Path:
        """Folder of everything that the study leaves on the disk."""
        return self._stored.folder.path

    @property
    def config(self) -> Mapping[str, Any]:
        """The whole config as plain values."""
        return self._stored.config.to_mapping()

    @property
    def trials(self) -> tuple[TrialSummary, ...]:
        """All trials by number."""
        return self._stored.trials()

    @property
    def best(self) -> TrialSummary | None:
        """The best trial within the limits, as `neurosearch best` chooses it; None without one."""
        return self._stored.best()

    @property
    def front(self) -> "Front":
        """The networks that none dominates; shows itself as a figure."""
        return Front(self._stored)

    def figure(self, which: Figure) -> Any:
        """Returns one of the report's figures, as Plotly's own; in a cell of its own it shows itself.

        Args:
            which: `front`; `trajectories`: how networks grew and shrank while they trained, beside their scores;
                `layers`: the neurons of each layer of the chosen network; `influence`: which hyperparameters mattered;
                `classes`: scores of single classes beside the control's; `seeds`: the first objective on each fresh
                seed; `course`: what was reached by when.
        """
        from neurosearch.report import figures

        makers = {
            "front": figures.pareto_figure,
            "trajectories": figures.trajectory_figure,
            "layers": figures.layers_figure,
            "influence": figures.influence_figure,
            "classes": figures.classes_figure,
            "seeds": figures.seeds_figure,
            "course": figures.course_figure,
        }
        return makers[which](self._stored)

    def report(self) -> "Page":
        """Returns the report, whatever state the study is in; shows itself."""
        from neurosearch.report.page import build_report

        return Page(build_report(self._stored))

    def export(self, out: str | Path | None = None, *, trial: int | None = None) -> Path:
        """Writes a trial's network as pt2, ONNX and safetensors, and returns their folder.

        Args:
            out: Where the files go; None: the study's own folder.
            trial: Number of the trial; None: the best one.

        Raises:
            CommandError: There is no such network, or it cannot be exported.
        """
        chosen = self.best if trial is None else self._stored.trial(trial)
        if chosen is None:
            raise CommandError(f"no trial of {self.name!r} is feasible yet: none has ended within the size limit.")
        target = self._stored.folder.export if out is None else Path(out)
        return deliver_trial(self._stored, chosen, target).exported.folder

    def __repr__(self) -> str:
        return "\n".join(study_lines(self._stored))


class Front(Sequence[Candidate]):
    """The networks of a study that none dominates, best first by the first objective; shown as a figure.

    Args:
        stored: The study.
    """

    def __init__(self, stored: StoredStudy) -> None:
        self._stored = stored
        self._networks = stored.reached().front

    def __getitem__(self, index: Any) -> Any:
        return self._networks[index]

    def __len__(self) -> int:
        return len(self._networks)

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self._networks)

    def __repr__(self) -> str:
        return f"Front({list(self._networks)})"

    def _repr_mimebundle_(self, **arguments: Any) -> Any:
        """Shows the figure; called by Jupyter."""
        from neurosearch.report.figures import pareto_figure

        return pareto_figure(self._stored)._repr_mimebundle_(**arguments)


class Page:
    """The report as HTML.

    Args:
        text: The whole page.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def save(self, path: str | Path) -> Path:
        """Writes the page to a file, and returns that."""
        target = Path(path)
        target.write_text(self.text, encoding="utf-8")
        return target

    def __repr__(self) -> str:
        return f"<report of {len(self.text):,} characters; .save('report.html') writes it>"

    def _repr_html_(self) -> str:
        """Shows the page in a frame of its own, with its own styles and scripts; called by Jupyter."""
        frame = f'width="100%" height="{_PAGE_HEIGHT}" style="border: 0" title="report"'
        return f'<iframe {frame} srcdoc="{html.escape(self.text)}"></iframe>'


def _say(report: Report) -> None:
    for line in report.lines:
        say(line)
    if report.code not in (OK, NOTHING_FEASIBLE):
        raise CommandError(report.lines[0], code=report.code, next_commands=report.next)
