from neurosearch.notebook import Study as Study
from neurosearch.notebook import load as load
from neurosearch.notebook import run as run

__version__: str
