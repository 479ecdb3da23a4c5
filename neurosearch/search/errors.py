"""What a user of the search can get wrong."""


class StudyError(ValueError):
    """A study cannot be made, opened or gone on with as asked; nothing of it was changed."""
