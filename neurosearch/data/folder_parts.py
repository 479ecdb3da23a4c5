"""What the folders below a folder of images are: classes, or parts that hold the classes.

A part is told by its name, whatever its case, and by what lies in it: folders and no image. So `train` beside `bus` and
`car` is a class of railway pictures as long as its images lie in it.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from neurosearch.data.listing import SUFFIXES
from neurosearch.data.problems import DataError, Problem, listed

FIELD = "data.path"
_Role = Literal["training", "validation", "test"]
_ROLES: Mapping[str, _Role] = {
    "train": "training",
    "training": "training",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class FolderParts:
    """Which folders hold the classes.

    Attributes:
        training: The one whose folders are the classes.
        test: The one with the test part; None where it is held out of the training part.
        notes: What is not used, in words.
    """

    training: Path
    test: Path | None
    notes: tuple[str, ...]


def find_parts(root: Path) -> FolderParts:
    """Return which folders hold the classes: a folder itself, or parts in it.

    Raises:
        DataError: The folder cannot be read, or it cannot be told what its folders are; says what to write.
    """
    names = folders_of(root)
    roles = {name: _ROLES[name.lower()] for name in names if name.lower() in _ROLES}
    parts = [name for name in roles if _holds(root / name, _is_folder) and not _holds(root / name, _is_image)]
    if not parts:
        return _classes_alone(root, names, roles)
    by_role = {wanted: [name for name, role in roles.items() if role == wanted] for wanted in _ROLES.values()}
    if not set(parts) & set(by_role["training"]):
        if len(roles) == len(names):  # else they may be classes, one of them trains
            _refuse_images_in(root, by_role["training"])
        raise _no_training_part(root, parts, [name for name in names if name not in parts])
    for same in (by_role["training"], by_role["test"]):
        if len(same) > 1:
            text = f"{root} has {' and '.join(same)}, which are one part by their names. Keep one, and move the other."
            raise DataError([Problem(FIELD, text)])
    return _parts(root, by_role, [name for name in names if name not in roles])


def folders_of(root: Path) -> list[str]:
    """Return the names of the folders in a folder in their order, but for hidden ones.

    Raises:
        DataError: It cannot be read.
    """
    return _names_in(root, _is_folder)


def images_right_in(folder: Path) -> list[str]:
    """Return the names of the images in a folder itself in their order, but for hidden ones.

    Raises:
        DataError: It cannot be read.
    """
    return _names_in(folder, _is_image)


def images_below(folder: Path, enter: Callable[[str], bool], others: Counter[str] | None = None) -> Iterator[str]:
    """Yield the images in a folder and in the folders below it that are to be entered; hidden ones are not.

    Args:
        folder: Where to begin.
        enter: Told of each folder below it; whether it is to be entered.
        others: Counts by their endings the files that are no images by their names, hidden ones apart.

    Raises:
        DataError: A folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise unreadable(Path(error.filename), error) from error

    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".") and enter(f"{place}{os.sep}{name}")]
        for name in names:
            if _names_an_image(name):
                yield f"{place}{os.sep}{name}"
            elif others is not None and not name.startswith("."):
                others[_ending(name)] += 1


def unreadable(folder: Path, error: OSError) -> DataError:
    """Return that a folder cannot be read."""
    text = f"{folder} cannot be read: {error.strerror}. Give the path of a folder with one folder for each class."
    return DataError([Problem(FIELD, text)])


def _classes_alone(root: Path, names: Sequence[str], roles: Mapping[str, _Role]) -> FolderParts:
    if names and len(roles) == len(names) and any(_holds(root / name, _is_image) for name in names):
        text = (
            f"{root} has {', '.join(names)}, which are parts by their names, but they hold images where folders with "
            "the images of one class each must be. Make these; or, if they are classes, give one another name."
        )
        raise DataError([Problem(FIELD, text)])
    below = folders_of(root / names[0]) if len(names) == 1 else []
    if below and not _holds(root / names[0], _is_image):
        text = f"{root} has one folder, and so one class. Did you mean {root / names[0]}, which has {listed(below)}?"
        raise DataError([Problem(FIELD, text)])
    for name in names:
        _refuse_parts_of_a_class(root / name)
    return FolderParts(root, None, ())


def _refuse_parts_of_a_class(folder: Path) -> None:
    """Refuse a class that holds parts, whose test images would be trained on."""
    if _holds(folder, _is_image):
        return
    parts = [name for name in folders_of(folder) if name.lower() in _ROLES]
    if len({_ROLES[name.lower()] for name in parts}) > 1:
        text = (
            f"{folder} has {', '.join(parts)}, which are parts by their names, but parts hold the classes and not the "
            f"other way round. Move the images to {folder.parent / parts[0] / folder.name} and so on; or, if these are "
            "no parts, give them other names."
        )
        raise DataError([Problem(FIELD, text)])


def _refuse_images_in(root: Path, training: Sequence[str]) -> None:
    """Refuse a training part that holds images itself, for which it is not taken for one beside the other parts."""
    for name in training:
        if images := images_right_in(root / name):
            text = (
                f"{root / name} is the training part by its name, but holds images where folders with the images of "
                f"one class each must be: {listed(images)}. Move them away, or into such folders."
            )
            raise DataError([Problem(FIELD, text)])


def _no_training_part(root: Path, parts: Sequence[str], others: Sequence[str]) -> DataError:
    if others:
        text = (
            f"{root} has {', '.join(parts)}, by name and content a part, beside {listed(others)}. If these are the "
            f"classes that are trained on, put them into {root / 'train'}; if {parts[0]} is a class, give it another "
            "name."
        )
    else:
        text = f"{root} has {', '.join(parts)} and no part to train on. Name the folder of that part train."
    return DataError([Problem(FIELD, text)])


def _parts(root: Path, by_role: Mapping[_Role, Sequence[str]], others: Sequence[str]) -> FolderParts:
    [training], testing, validation = by_role["training"], by_role["test"], by_role["validation"]
    filled = [name for name in others if any(images_below(root / name, _each_once(root)))]
    if filled and not testing and not validation:
        text = (
            f"{root} has {training}, by name and content the training part, beside {listed(filled)} with images. If "
            f"all are classes, put them into a folder train, as {root / 'train' / training}; if {training} is the "
            "training part, move the others away."
        )
        raise DataError([Problem(FIELD, text)])
    if testing and _holds(root / testing[0], _is_image):
        text = (
            f"{root / testing[0]} holds images where folders with the images of one class each must be. Make these; or "
            f"move it away, and data.test_share of {training} becomes the test part."
        )
        raise DataError([Problem(FIELD, text)])
    test = testing[0] if testing else None
    notes = [_unused_validation(root, name, training, test) for name in validation]
    if filled:
        notes.append(f"in {root} these are no parts by their names, and are not used: {listed(filled)}.")
    if training != "train" or test not in (None, "test"):
        tested = "" if test is None else f", {test} as the test part"
        notes.insert(0, f"in {root} {training} is taken as the training part{tested}.")
    return FolderParts(root / training, None if test is None else root / test, tuple(notes))


def _unused_validation(root: Path, name: str, training: str, test: str | None) -> str:
    held_out = f"{root / name} is not used: what validates is held out of {training} (data.validation_share)"
    if test is not None:
        return f"{held_out}. Move its images there to use them, too."
    return (
        f"{held_out}, and so is what tests (data.test_share). To test on {name}, name it test; to train and validate "
        f"on it, too, move its images into {training}."
    )


def _each_once(root: Path) -> Callable[[str], bool]:
    seen = {os.path.realpath(root)}

    def enter(folder: str) -> bool:
        whole = os.path.realpath(folder)
        return whole not in seen and not seen.add(whole)  # type: ignore[func-returns-value]

    return enter


def _names_in(folder: Path, wanted: Callable[["os.DirEntry[str]"], bool]) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if wanted(entry))
    except OSError as error:
        raise unreadable(folder, error) from error


def _holds(folder: Path, wanted: Callable[["os.DirEntry[str]"], bool]) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(map(wanted, entries))
    except OSError as error:
        raise unreadable(folder, error) from error


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    return not entry.name.startswith(".") and _is_dir(entry)


def _is_image(entry: "os.DirEntry[str]") -> bool:
    return _names_an_image(entry.name) and not _is_dir(entry)


def _is_dir(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _names_an_image(name: str) -> bool:
    return not name.startswith(".") and _ending(name) in SUFFIXES


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (a million of them)
