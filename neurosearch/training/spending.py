"""What a training has spent: multiply-adds, charged to the network as it was when they were spent."""

from neurosearch import names
from neurosearch.neurons import Units
from neurosearch.training.counts import PASSES_PER_STEP, SizeCounter


class Spending:
    """Keeps the account.

    Attributes:
        multiply_adds: Spent since the start of the training.
        num_examples: Trained on by this process.
    """

    def __init__(self, counter: SizeCounter) -> None:
        """Take who counts the multiply-adds of one forward pass."""
        self.multiply_adds = 0.0
        self.num_examples = 0
        self._num_charged = 0  # of the examples, how many are in `multiply_adds`
        self._counter = counter

    def charge(self, units: Units) -> None:
        """Charge the examples trained on since the last time to the network with these units."""
        self.charge_passes(units, PASSES_PER_STEP * (self.num_examples - self._num_charged))
        self._num_charged = self.num_examples

    def charge_passes(self, units: Units, num_forward: float) -> None:
        """Charge so many forward passes of one example through the network with these units."""
        self.multiply_adds += num_forward * self._counter.count(units)[names.MULTIPLY_ADDS]
