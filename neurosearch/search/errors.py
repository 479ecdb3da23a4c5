"""What a user of the search can get wrong."""


class StudyError(ValueError):
    """A study cannot be made, opened or gone on with as asked; nothing of it was changed."""


class SearchedAlready(StudyError):
    """A living process searches the study: one that has not heard of its end yet, say. Later the same may work."""


class StorageLost(StudyError):
    """A database cannot be used, or was away for too long; what it holds stays as it is."""


class RightLost(StorageLost):
    """Another process has the right to search: this one must leave everything of the study alone, at once."""


class RayNotStarted(StudyError):
    """Ray does not start on this machine now; later it may."""


class NoStudy(StudyError):
    """There is no study of a name where it was looked for.

    Attributes:
        found: What was looked for, where, and what is there instead.
    """

    def __init__(self, found: str, remedy: str) -> None:
        """Makes the error of both; who looked for the study on another way than a command may know another remedy."""
        self.found = found
        super().__init__(f"{found} {remedy}")
