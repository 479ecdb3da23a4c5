"""Which data the trials of a study were trained on, as its storage tells: the source may change or go meanwhile."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from neurosearch.config.base import Fields
from neurosearch.config.kinds import kinds

if TYPE_CHECKING:
    from neurosearch.data.known import Known

_ATTRIBUTE = "data/"  # of the study; what follows makes it another one for each


@dataclass(frozen=True)
class UsedData:
    """Data that trials were trained on.

    Attributes:
        section: The data section of their configs, as JSON.
        key: Name of the folder that it was prepared in.
        data_hash: sha256 of its content.
    """

    section: str
    key: str
    data_hash: str

    @classmethod
    def of(cls, fields: Fields, key: str, data_hash: str) -> "UsedData":
        """Returns the data of a section."""
        return cls(fields.model_dump_json(), key, data_hash)

    @property
    def attribute(self) -> str:
        """Name of the study's attribute that holds it."""
        return f"{_ATTRIBUTE}{self.key}/{sha256(self.section.encode()).hexdigest()[:8]}"

    def to_dict(self) -> dict[str, str]:
        """Returns plain values, fit for JSON."""
        return asdict(self)

    def fields(self) -> Fields:
        """Returns the section's fields, with what fields came in since at their defaults.

        Raises:
            KeyError: The kind is not installed any more.
            ValueError: The fields have changed.
        """
        return kinds("data")[json.loads(self.section)["kind"]].fields.model_validate_json(self.section)

    def is_of(self, fields: Fields) -> bool:
        """Tells whether it is the data of a section, in whichever version that was written down."""
        try:
            return self.section == fields.model_dump_json() or self.fields() == fields
        except (KeyError, ValidationError):
            return False


def used_data(attributes: Mapping[str, Any]) -> tuple[UsedData, ...]:
    """Returns what the attributes of a study tell."""
    return tuple(UsedData(**value) for name, value in attributes.items() if name.startswith(_ATTRIBUTE))


def of_section(used: Iterable[UsedData], fields: Fields) -> tuple[UsedData, ...]:
    """Returns what is known of the data of a section."""
    return tuple(each for each in used if each.is_of(fields))


def known(used: Iterable[UsedData]) -> "Known | None":
    """Returns how data of one section is told again; None where nothing is known."""
    from neurosearch.data.known import Known

    found = tuple(used)
    if not found:
        return None
    data_hash = found[0].data_hash
    return Known(tuple(each.key for each in found if each.data_hash == data_hash), data_hash)
