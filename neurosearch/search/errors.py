"""What a user of the search can get wrong."""


class StudyError(ValueError):
    """A study cannot be made, opened or gone on with as asked; nothing of it was changed."""


class StorageLost(StudyError):
    """A database cannot be used, or was away for too long; what it holds stays as it is."""


class RightLost(StorageLost):
    """Another process has the right to search: this one must leave everything of the study alone, at once."""


class NoStudy(StudyError):
    """There is no study of a name where it was looked for."""
