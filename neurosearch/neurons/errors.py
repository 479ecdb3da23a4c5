"""The one exception of this room."""


class SurgeryError(ValueError):
    """A change of a network's neurons was refused; model and optimizer are bit for bit as before.

    The message names what was asked, the module or tensor that stands in the way, and how to mend it.
    """
