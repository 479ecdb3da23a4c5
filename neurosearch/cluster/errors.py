"""What goes wrong between here and a cluster."""


class ClusterError(ValueError):
    """A cluster cannot be used as asked; says why and how to mend it. Nothing was started there."""


class ClusterAway(ClusterError):
    """A cluster that answered answers no more; what was started there may go on."""
