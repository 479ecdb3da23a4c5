"""Scores of a classifier on the validation part, from a confusion matrix that is summed on the device.

Shape letters: b batch, c classes.
"""

from collections.abc import Sequence
from statistics import fmean

import torch
from torch import Tensor
from torch.nn import functional as F

from neurosearch import names

_MANY_ABOVE = 100  # training examples of a class: many above 100, few below 20 (the long-tail literature's groups)
_FEW_BELOW = 20


class ClassificationTally:
    """Sums a confusion matrix and the cross-entropy over a validation pass.

    The validation loss is always the plain cross-entropy, whatever loss the training uses: trials with different losses
    can be compared by it.
    """

    def __init__(self, class_counts: Sequence[int], class_names: Sequence[str]) -> None:
        self._class_counts = tuple(class_counts)
        self._class_names = tuple(class_names)
        self._matrices: list[Tensor] = []
        self._losses: list[Tensor] = []

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Add logits `(b, c)` and labels `(b,)`."""
        num_classes = len(self._class_counts)
        cells = torch.add(outputs.argmax(dim=1), targets, alpha=num_classes)
        # minlength alone would make bincount wait for the largest value on a GPU; scatter does not.
        ones = torch.ones_like(cells, dtype=torch.float64)
        matrix = torch.zeros(num_classes * num_classes, dtype=torch.float64, device=cells.device)
        self._matrices.append(matrix.scatter_add_(0, cells, ones))
        outputs = outputs.float() if outputs.dtype == torch.bfloat16 else outputs
        loss = F.cross_entropy(outputs, targets, reduction="sum")
        self._losses.append(loss.double())

    def sums(self) -> Tensor:
        """Return the confusion matrix, rows true classes, flattened, and then the summed cross-entropy."""
        return torch.cat([torch.stack(self._matrices).sum(0), torch.stack(self._losses).sum().reshape(1)])

    def metrics(self, sums: Sequence[float]) -> dict[str, float]:
        """Turn fetched sums into metrics."""
        *cells, loss = sums
        num_classes = len(self._class_counts)
        rows = [cells[i : i + num_classes] for i in range(0, len(cells), num_classes)]
        scores = classification_scores(rows, self._class_counts, self._class_names)
        return scores | {names.VALIDATION_LOSS: loss / sum(cells)}


def classification_scores(
    matrix: Sequence[Sequence[float]], class_counts: Sequence[int], class_names: Sequence[str]
) -> dict[str, float]:
    """Return accuracy, balanced accuracy, the recall of each class and of groups of classes.

    Args:
        matrix: Confusion matrix `(c, c)`, rows true classes, columns predictions.
        class_counts: Training examples of each class; they say which classes are many, medium and few.
        class_names: Names for the per-class recalls.

    Returns:
        Shares in [0, 1]. A class without examples in `matrix`, and a group without classes, are absent.
    """
    recalls = {i: row[i] / sum(row) for i, row in enumerate(matrix) if sum(row) > 0}
    correct = sum(row[i] for i, row in enumerate(matrix))
    scores = {
        names.ACCURACY: correct / sum(map(sum, matrix)),
        names.BALANCED_ACCURACY: fmean(recalls.values()),
        names.WORST_CLASS_RECALL: min(recalls.values()),
    }
    for name, members in _groups(class_counts).items():
        present = [recalls[i] for i in members if i in recalls]
        if present:
            scores[name] = fmean(present)
    return scores | {names.RECALL_PREFIX + class_names[i]: recall for i, recall in recalls.items()}


def _groups(class_counts: Sequence[int]) -> dict[str, list[int]]:
    classes = list(enumerate(class_counts))
    return {
        names.MANY_RECALL: [i for i, n in classes if n > _MANY_ABOVE],
        names.MEDIUM_RECALL: [i for i, n in classes if _FEW_BELOW <= n <= _MANY_ABOVE],
        names.FEW_RECALL: [i for i, n in classes if n < _FEW_BELOW],
    }
