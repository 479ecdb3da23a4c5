"""The two ways in which this room says no."""


class ExportError(ValueError):
    """A network could not be exported, or a file does not give what the network gives."""


class PredictError(ValueError):
    """Inputs or a network file cannot be used for prediction."""
