"""In which order an epoch takes the training examples, and how often those of each class (arXiv:1910.09217, section 3).

Everything is drawn on the CPU from the seed it is given, so the order is the same on every device and after a resume.

Shape letters: n examples, c classes.
"""

from dataclasses import dataclass
from typing import Literal, assert_never

import torch
from torch import Tensor

SamplingKind = Literal["instance", "square_root", "class_balanced", "progressive"]


@dataclass(frozen=True)
class Sampling:
    """How often the examples of each class come.

    Attributes:
        kind: `instance`: every example once, in random order. The others draw as many examples with replacement, those
            of class c with probability p_c proportional to n_c^q: `square_root` q = 1/2, `class_balanced` q = 0;
            `progressive`: from n_c to class-balanced, linearly over the epochs.
        epochs: Of the training, over which `progressive` goes.
    """

    kind: SamplingKind
    epochs: int

    def class_shares(self, counts: Tensor, epoch: int) -> Tensor:
        """Return the share of each class in an epoch, float64 `(c,)`; 0 for a class without examples.

        Progressive is p(t) = (1 - t / T) p_instance + (t / T) p_class_balanced (arXiv:1910.09217, eq. 3). The paper
        does not say where t begins and ends; as in its public code the first epoch has the shares of the data and the
        last one, of more than one, is class-balanced.

        Args:
            counts: Training examples of each class, `(c,)`.
            epoch: Counted from 0.
        """
        match self.kind:
            case "instance":
                return _shares(counts, 1.0)
            case "square_root":
                return _shares(counts, 0.5)
            case "class_balanced":
                return _shares(counts, 0.0)
            case "progressive":
                return torch.lerp(_shares(counts, 1.0), _shares(counts, 0.0), epoch / max(1, self.epochs - 1))
            case _:
                assert_never(self.kind)

    def order(self, labels: Tensor, num_classes: int, epoch: int, seed: int) -> Tensor:
        """Return the positions of an epoch's examples, int64 `(n,)` on the CPU.

        Args:
            labels: Of all training examples, `(n,)` on the CPU; only their number matters to `instance`.
            num_classes: c.
            epoch: Counted from 0.
            seed: Of this epoch's order.
        """
        generator = torch.Generator().manual_seed(seed)
        if self.kind == "instance":
            return torch.randperm(len(labels), generator=generator)
        counts = torch.bincount(labels, minlength=num_classes)
        # A class by its share and then one of its examples: unlike torch.multinomial over the examples, this has no
        # limit to their number, and rounds only in the shares.
        ends = self.class_shares(counts, epoch).cumsum(0)
        of_class, within = torch.rand(2, len(labels), dtype=torch.float64, generator=generator)
        drawn = torch.searchsorted(ends, of_class * ends[-1], right=True)  # (n,), classes
        first = counts.cumsum(0) - counts
        by_class = torch.argsort(labels, stable=True)
        return by_class[first[drawn] + (within * counts[drawn]).long()]


def _shares(counts: Tensor, power: float) -> Tensor:
    powers = torch.where(counts > 0, counts.double() ** power, 0.0)
    return powers / powers.sum()
