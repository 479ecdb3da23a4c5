"""Is everything there that a config names: data, folders, disk, processors, the name? What `check --data` asks.

Unlike the static check this opens things, so it imports torch and takes seconds. Everything wrong is told at once.
"""

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from neurosearch.cli.data_words import DataWords, words_of
from neurosearch.cli.machine_health import existing
from neurosearch.cli.metric_readiness import metric_problems
from neurosearch.cli.outage import ServersAway, is_outage
from neurosearch.cli.storage_readiness import storage_problems
from neurosearch.config.base import ConfigError, Problem, undotted
from neurosearch.config.corners import corners
from neurosearch.config.load import StudyConfig
from neurosearch.config.problems import problem_of
from neurosearch.config.search_nodes import Resolved
from neurosearch.config.trial import TrialConfig
from neurosearch.search.errors import StudyError

if TYPE_CHECKING:
    from neurosearch.data.arrays import RawArrays

_SPARE_BYTES = 200 * 2**20  # databases, checkpoints and exported files of a small study
_ANSWER_SECONDS = 2.0
# Of the training section, what data and network must fit.
_MUST_FIT = ("loss", "posthoc_tau", "augmentation", "classifier", "decorrelation")


@dataclass(frozen=True)
class _Variant:
    """A corner whose data, model, and what of the training must fit them no earlier corner has."""

    corner: Resolved
    config: TrialConfig
    raw: "RawArrays"
    input_shape: tuple[int, ...]


@dataclass(frozen=True)
class _Found:
    """What keeps a config from being used.

    Attributes:
        problems: What must be mended.
        away: Servers that do not answer: what may be mended by waiting.
    """

    problems: list[Problem]
    away: list[Problem]

    def add(self, problem: Problem, error: Exception) -> None:
        """Adds a problem to those of its sort, by the error that told it."""
        (self.away if is_outage(error) else self.problems).append(problem)


@dataclass(frozen=True)
class Readiness:
    """What was found to be there.

    Attributes:
        notes: Remarks that stop nothing.
        data: What each data set holds, in words.
    """

    notes: tuple[str, ...]
    data: tuple[DataWords, ...]


def check_readiness(study: StudyConfig, *, is_resumed: bool = False, on_cluster: bool = False) -> Readiness:
    """Opens what the config names and returns what it holds, with remarks that stop nothing.

    Args:
        study: The study.
        is_resumed: Whether the name is to be that of a study which is there already.
        on_cluster: Whether trials run on a cluster, whose cores and GPUs are not those of this machine.

    Raises:
        ConfigError: With everything that is missing or cannot be used; `ServersAway` where all of that are servers that
            do not answer.
    """
    found = _Found([], [])
    remarks: list[str] = []
    variants = tuple(_variants(study, found))
    for problem, error in (*storage_problems(study), *(() if is_resumed else _new_problems(study))):
        found.add(problem, error)
    if not found.problems and not found.away:  # what cannot be opened cannot be compared
        _compare_data(study, found)
    found.problems.extend(_model_problems(study, variants, remarks))
    for variant in variants:
        found.problems.extend(metric_problems(study, variant.config, variant.raw))
    found.problems.extend(_folder_problems(study, variants))
    found.problems.extend(() if on_cluster else (*_gpu_problems(study), *_compiler_problems(study)))
    if found.problems:
        raise ConfigError(tuple(dict.fromkeys((*found.problems, *found.away))))
    if found.away:
        raise ServersAway(tuple(dict.fromkeys(found.away)))
    notes = [*remarks, *_left_out(variants), *_remarks(study, is_resumed, on_cluster)]
    data = (words_of(variant.config, variant.raw) for variant in variants)
    return Readiness(tuple(dict.fromkeys(notes)), tuple(dict.fromkeys(data)))


def existing_study(study: StudyConfig) -> StudyConfig | None:
    """Returns the study that has the name already; None if there is none.

    Raises:
        StudyError: The storage cannot be used.
    """
    from neurosearch.search.errors import NoStudy
    from neurosearch.search.folders import StudyFolder
    from neurosearch.search.stored import StoredStudy

    try:
        return StoredStudy(StudyFolder.of(study.study)).config
    except NoStudy:
        return None


def is_taken(study: StudyConfig) -> bool:
    """Tells whether a study with trials has the name already, so that a new one cannot be made."""
    from neurosearch.search.folders import StudyFolder
    from neurosearch.search.study import check_name_is_free

    try:
        check_name_is_free(StudyFolder.of(study.study), study)
    except StudyError:
        return True
    return False


def _variants(study: StudyConfig, found: _Found) -> Iterator[_Variant]:
    """Yields what differs in data, model or what must fit them, with the data loaded; what cannot be is a problem."""
    from neurosearch.data.problems import DataError
    from neurosearch.search.folders import StudyFolder
    from neurosearch.search.travelled import bring_travelled

    folder = StudyFolder.of(study.study)
    loaded: dict[str, RawArrays | None] = {}
    seen: set[str] = set()
    for corner in corners(study.template):
        data_key = json.dumps(corner.sections["data"], sort_keys=True)
        training = corner.sections["training"]
        fitting = {name: training.get(name) for name in _MUST_FIT}
        fitting |= {"lone": training.get("batch_size") == 1, "zaps": training.get("zap_period_epochs", 0) > 0}
        key = json.dumps([corner.sections["data"], corner.sections["model"], fitting], sort_keys=True)
        if key in seen:
            continue
        seen.add(key)
        config = TrialConfig.model_validate({**corner.sections, "seed": study.study.seed})
        try:
            bring_travelled(config, folder)  # to a new head, say
            if data_key not in loaded:
                loaded[data_key] = _load(config)
        except DataError as error:
            loaded[data_key] = None
            for field, text in error.problems:
                found.add(problem_of(field, text, corner, study.template), error)
        raw = loaded[data_key]
        if raw is not None:
            yield _Variant(corner, config, raw, _input_shape(config, raw))


def _compare_data(study: StudyConfig, found: _Found) -> None:
    """Adds that the data is not what trials of this very study were trained on, if there is such a study."""
    from neurosearch.data.problems import DataError
    from neurosearch.search.folders import StudyFolder
    from neurosearch.search.sources import unchanged_sources
    from neurosearch.search.stored import StoredStudy

    try:
        stored = StoredStudy(StudyFolder.of(study.study))
    except StudyError:  # there is none, or it cannot be read: told elsewhere, where that matters
        return
    if not stored.frozen_trials() or stored.config.fingerprint() != study.fingerprint():
        return
    try:
        unchanged_sources(stored.folder)
    except DataError as error:
        for field, text in error.problems:
            found.add(Problem(study.template.source.place(undotted(field)), field, text), error)


def _load(config: TrialConfig) -> "RawArrays":
    from neurosearch.build.trial import data_source, prepare_settings
    from neurosearch.data.selection import survey_checked

    return survey_checked(prepare_settings(config.data), data_source(config.data))


def _input_shape(config: TrialConfig, raw: "RawArrays") -> tuple[int, ...]:
    from neurosearch.build.trial import prepare_settings
    from neurosearch.data.spec import PreprocessSpec

    resize = prepare_settings(config.data).resize
    return PreprocessSpec(raw.layout, "float32", raw.x_train.shape[1:], raw.scale, resize).input_shape


def _model_problems(study: StudyConfig, variants: tuple[_Variant, ...], remarks: list[str]) -> Iterator[Problem]:
    """Builds every distinct network without its numbers, and sees that it can be trained as the config wants it.

    Its family must have one within the size limit.

    What pretrained weights leave out goes to the remarks.
    """
    import torch

    from neurosearch.build.control import require_room
    from neurosearch.build.pretrained import load_pretrained
    from neurosearch.build.remedies import require_fit
    from neurosearch.build.trial import build_model

    source = study.template.source
    for variant in variants:
        num_outputs = variant.raw.num_outputs
        try:
            with torch.device("meta"):
                network = build_model(variant.config, variant.input_shape, num_outputs)
            found = load_pretrained(network, variant.config.model, variant.input_shape, num_outputs)
            require_fit(variant.config, network, variant.input_shape)
        except ValueError as error:
            field, text = _field_and_text(str(error))
            yield problem_of(field, text, variant.corner, study.template)
            continue
        if found is not None and not found.is_whole:
            remarks.append(f"model.weights: {found.words}")
        try:
            require_room(variant.config, study.study.size_limit, variant.input_shape, num_outputs)
        except ValueError as error:
            yield Problem(source.place(("size_limit",)), "size_limit", str(error))


def _field_and_text(message: str) -> tuple[str, str]:
    """Takes a leading field such as `model.kind: ` off a message; without one the model is the field."""
    field, colon, text = message.partition(": ")
    is_field = colon and field.split(".")[0] in ("model", "training") and " " not in field
    return (field, text) if is_field else ("model", message)


def _folder_problems(study: StudyConfig, variants: tuple[_Variant, ...]) -> Iterator[Problem]:
    folder = Path(study.study.storage.folder)
    place = study.template.source.place(("storage", "folder"))
    there = existing(folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        yield Problem(place, "storage.folder", f"{there} cannot be written: {error.strerror}. Give another folder.")
        return
    needed = _SPARE_BYTES + sum(_bytes(variant.raw) for variant in {id(each.raw): each for each in variants}.values())
    free = shutil.disk_usage(there).free
    if free < needed:
        text = (
            f"{free / 2**20:,.0f} MiB are free at {there}, but the study needs about {needed / 2**20:,.0f} MiB. "
            "Make room, or give a folder on another disk."
        )
        yield Problem(place, "storage.folder", text)


def _bytes(raw: "RawArrays") -> int:
    """Returns about how many bytes prepared data takes while it is made.

    That is float32 for all, and validation and test as stored as well; where they stay as stored, that and a copy.
    """
    from neurosearch.data.writing import NORMALISED_BYTES

    if raw.x_train.itemsize == 1 and 4 * raw.x_train.size > NORMALISED_BYTES:
        return 2 * (raw.x_train.nbytes + raw.x_test.nbytes)
    return 4 * raw.x_train.size + (4 + raw.x_test.itemsize) * raw.x_test.size + raw.x_train.nbytes


def _left_out(variants: tuple[_Variant, ...]) -> Iterator[str]:
    from neurosearch.data.problems import listed

    yield from (note for variant in variants for note in variant.raw.notes)
    for broken in dict.fromkeys(variant.raw.broken for variant in variants if variant.raw.broken):
        yield f"broken images are left out, {len(broken)} of them: {listed(broken)}."


def _gpu_problems(study: StudyConfig) -> Iterator[Problem]:
    import torch

    asked = study.study.search.gpus_per_trial
    wanted = 1.0 if asked == "auto" else asked
    found = torch.cuda.device_count() if wanted and torch.cuda.is_available() else 0
    if wanted > found:
        place = study.template.source.place(("search", "gpus_per_trial"))
        text = f"one trial asks for {wanted:g} GPU, but {found or 'none'} can be used here. Lower it."
        yield Problem(place, "search.gpus_per_trial", text)


def _compiler_problems(study: StudyConfig) -> Iterator[Problem]:
    import torch

    from neurosearch.training.compiler import missing_compiler

    is_on_gpu = study.study.search.gpus_per_trial != 0 and torch.cuda.is_available()
    corner, why = compiling_corner(study), missing_compiler()
    if corner is not None and why is not None and not is_on_gpu:
        yield problem_of("training.compile", f"{why}, or set compile: false.", corner, study.template)


def compiling_corner(study: StudyConfig) -> Resolved | None:
    """Returns the first corner of the space whose trials compile their steps; None if none do."""
    seed = study.study.seed
    return next(
        (
            corner
            for corner in corners(study.template)
            if TrialConfig.model_validate({**corner.sections, "seed": seed}).training.compile
        ),
        None,
    )


def _new_problems(study: StudyConfig) -> Iterator[tuple[Problem, StudyError]]:
    """Yields what keeps a new study from being made: its name, or an earlier study that it is to learn from."""
    from neurosearch.search.folders import StudyFolder
    from neurosearch.search.warm_start import earlier_trials

    yield from _name_problems(study)
    try:
        earlier_trials(StudyFolder.of(study.study), study)
    except StudyError as error:
        field = "search.warm_start"
        text = str(error).removeprefix(field).removeprefix(":").strip()
        yield Problem(study.template.source.place(("search", "warm_start")), field, text), error


def _name_problems(study: StudyConfig) -> Iterator[tuple[Problem, StudyError]]:
    """Yields that the storage cannot be used, or that the name is that of a study with another space."""
    from neurosearch.search.folders import StudyFolder
    from neurosearch.search.study import check_name_is_free

    try:
        stored = existing_study(study)
    except StudyError as error:
        field = "database" if study.study.storage.database else "folder"
        yield Problem(study.template.source.place(("storage", field)), f"storage.{field}", str(error)), error
        return
    if stored is not None and stored.fingerprint() != study.fingerprint():
        try:
            check_name_is_free(StudyFolder.of(study.study), study)
        except StudyError as error:
            yield Problem(study.template.source.place(("name",)), "name", str(error)), error


def _remarks(study: StudyConfig, is_resumed: bool, on_cluster: bool) -> Iterable[str]:
    from neurosearch.search.folders import StudyFolder

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = study.study.search.cpus_per_trial * study.study.search.concurrency
    if wanted > cores and not on_cluster:
        yield f"trials that run at once ask for {wanted:g} cores and share the {cores} of this machine; each is slower."
    if not is_resumed and is_taken(study):
        resume = StudyFolder.of(study.study).command("resume")
        yield f"a study of this name and space is there; `{resume}` goes on with it."
    uri = study.study.tracking.uri
    if study.study.tracking.enabled and uri is not None and not _answers(uri):
        yield (
            f"the tracking server {uri} does not answer. The search runs all the same; when the server is back, "
            f"`{StudyFolder.of(study.study).command('sync')}` writes what it missed."
        )
    elif study.study.tracking.enabled and uri is not None and (refused := _refusal(uri)) is not None:
        yield f"MLflow will hear nothing before that is mended: {refused}"


def _refusal(uri: str) -> str | None:
    from neurosearch.tracking.login import refusal
    from neurosearch.tracking.store import StoreError

    try:
        return refusal(uri) if uri.startswith(("http://", "https://")) else None
    except StoreError as error:
        return str(error)


def _answers(uri: str) -> bool:
    address = urlsplit(uri)
    if address.scheme not in ("http", "https") or address.hostname is None:
        return True  # a database or a folder: MLflow makes it
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        with socket.create_connection((address.hostname, port), timeout=_ANSWER_SECONDS):
            return True
    except OSError:
        return False
