"""What every config section is made of: frozen fields, bounded numbers, problems told in words."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Path = tuple[str | int, ...]
MAXIMUM_LAYERS = 32  # hidden layers of a network


class Fields(BaseModel):
    """A frozen section of the config; an unknown key is an error.

    Sequences are tuples: a frozen model that held a list could still be changed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


# A bool is an int to Python, and pydantic reads `true` as 1 and "1" as 1; a number must be written as one.
Number = Annotated[float, Field(strict=True)]
Count = Annotated[int, Field(ge=1, le=10**12, strict=True)]
Index = Annotated[int, Field(ge=0, lt=2**32, strict=True)]  # numpy's generators take no larger seed
Share = Annotated[Number, Field(ge=0.0, le=1.0)]
PositiveFloat = Annotated[Number, Field(gt=0.0)]
NonNegativeFloat = Annotated[Number, Field(ge=0.0)]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a config.

    Attributes:
        where: `file:line`, or the command-line option that said it.
        field: Dotted path of the field, as the user wrote it.
        text: What is wrong and how to mend it.
    """

    where: str
    field: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.field}: {self.text}" if self.field else f"{self.where}: {self.text}"


class ConfigError(ValueError):
    """The config is wrong; carries every problem found, in the order of the file."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


def spelt_out(value: object) -> object:
    """Returns a section for its short form, the name of its kind alone."""
    return {"kind": value} if isinstance(value, str) else value


def undotted(text: str) -> Path:
    """Reads a path that `dotted` wrote."""
    path: list[str | int] = []
    for part in text.split("."):
        name, *indices = part.split("[")
        path += [name, *(int(index.removesuffix("]")) for index in indices)]
    return tuple(path)


def dotted(path: Path) -> str:
    """Writes a path as users do: `growth.options[1].period_epochs`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def nearest(name: Any, names: Iterable[str]) -> str:
    """Returns ` Did you mean ...?` with the known name that is nearest to a wrong one; nothing if none is near."""
    close = get_close_matches(str(name), list(names), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
