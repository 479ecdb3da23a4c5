"""Can the storages that a config names be used: the database written, the bucket written with the keys?"""

from collections.abc import Callable, Iterator

from neurosearch.config.base import Problem
from neurosearch.config.load import StudyConfig
from neurosearch.search.errors import StudyError


def storage_problems(study: StudyConfig) -> Iterator[tuple[Problem, StudyError]]:
    """Yields what keeps a study from being written, and why; a small file is kept in the bucket, found and removed."""
    from neurosearch.search.artifacts import artifacts_of
    from neurosearch.search.folders import StudyFolder
    from neurosearch.search.storage import check_rights

    folder = StudyFolder.of(study.study)
    checks: dict[str, Callable[[], None]] = {
        "database": lambda: check_rights(folder),
        "artifacts": lambda: artifacts_of(folder).check(),
    }
    for field, check in checks.items():
        try:
            check()
        except StudyError as error:
            yield Problem(study.template.source.place(("storage", field)), f"storage.{field}", str(error)), error
