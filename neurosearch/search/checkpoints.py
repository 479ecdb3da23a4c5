"""Whether a study's folder, where its trials keep their checkpoints and results, belongs to what its storage tells."""

from neurosearch.search.artifacts import artifacts_of
from neurosearch.search.errors import StudyError
from neurosearch.search.folders import ArtifactsPlace, StudyFolder
from neurosearch.search.stored import StoredStudy


def check_folder_is_free(folder: StudyFolder) -> None:
    """Checks that no other study left checkpoints where a new one will look for its own.

    Raises:
        StudyError: There are trials in the folder.
    """
    far = folder.artifacts
    if far is not None and artifacts_of(folder).kept(folder.trials):
        raise StudyError(
            f"{far.address}/{folder.name} holds trials of a study that {folder.place} knows nothing of; the new trials "
            "would go on from their checkpoints. Give this study another name or another storage.artifacts, or remove "
            "what is there."
        )
    if far is None and any(folder.trials.glob("*")):
        raise StudyError(
            f"{folder.trials} holds trials of a study that {folder.place} knows nothing of; the new trials would go on "
            "from their checkpoints. Give this study another name or another storage.folder, or remove that folder."
        )


def check_checkpoints(study: StoredStudy) -> None:
    """Checks that what the trials of a study left on the disk is still there.

    Raises:
        StudyError: It is gone, as a whole or for a trial that is to go on.
    """
    folder = study.folder
    if folder.artifacts is not None:
        _check_far(study, folder.artifacts)
        return
    begun = [trial for trial in study.trials() if trial.epochs]
    if begun and not folder.trials.is_dir():
        raise StudyError(_vanished(folder, f"{folder.trials}, where its trials keep their checkpoints"))
    for trial in begun:
        if trial.state == "running" and not folder.trial(trial.number).is_dir():
            what = f"{folder.trial(trial.number)}, where trial {trial.number} kept its checkpoints"
            raise StudyError(_vanished(folder, what))


def _check_far(study: StoredStudy, place: ArtifactsPlace) -> None:
    """A trial may have told an epoch whose checkpoint went with its node, so only the whole is asked for."""
    folder = study.folder
    kept = artifacts_of(folder).kept(folder.near)
    if any(trial.epochs for trial in study.trials()) and not kept:
        what = f"{place.address}/{folder.name}, where its trials keep their checkpoints"
        raise StudyError(_vanished(folder, what).replace("--folder", "--set storage.artifacts=ADDRESS"))


def _vanished(folder: StudyFolder, what: str) -> str:
    return (
        f"the study {folder.name!r} cannot go on: {what}, is gone. Bring it back, or name the folder it lies in with "
        f"--folder. If it is lost, start a study of another name that learns from this one: "
        f"search.warm_start: {{study: {folder.name}}}."
    )
