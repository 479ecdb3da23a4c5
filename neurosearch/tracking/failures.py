"""What MLflow answers when it does not take something, and what that means."""

from neurosearch.tracking.entries import masked
from neurosearch.tracking.store import StoreError

# What MLflow answers when it will never take this entry, however often it is tried.
_FINAL_ERRORS = frozenset({"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE", "BAD_REQUEST"})


class RunDeletedError(StoreError):
    """Somebody deleted a run that is to be added to."""


def is_final(error: Exception) -> bool:
    """Whether trying again is useless: the entry itself is refused, not the moment."""
    return isinstance(error, RunDeletedError) or getattr(error, "error_code", None) in _FINAL_ERRORS


def in_words(error: Exception) -> str:
    """Returns an error as one line, shortened and without secrets."""
    text = " ".join(masked(str(error) or type(error).__name__).split())
    return text if len(text) <= 300 else f"{text[:297]}..."
