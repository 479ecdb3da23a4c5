"""Scores of a classifier on the validation part, from a confusion matrix that is summed on the device.

Shape letters: b batch, c classes.
"""

from collections.abc import Sequence
from statistics import fmean

import torch
from torch import Tensor

from neurosearch import names

_MANY_ABOVE = 100  # training examples of a class: many above 100, few below 20 (the long-tail literature's groups)
_FEW_BELOW = 20
_NUM_BINS = 15  # of confidence, equally wide: expected calibration error as arXiv:1706.04599, eq. 3, has it


class ClassificationTally:
    """Sums a confusion matrix, the cross-entropy and how confidence misses accuracy over a validation pass.

    The validation loss is always the plain cross-entropy, whatever loss the training uses: trials with different losses
    can be compared by it.
    """

    def __init__(self, class_counts: Sequence[int], class_names: Sequence[str], shifts: Tensor | None) -> None:
        """Takes the classes.

        Args:
            class_counts: Training examples of each class.
            class_names: Their names.
            shifts: What is subtracted from the logits before they are scored, `(c,)` on their device; None for nothing.
        """
        self._class_counts = tuple(class_counts)
        self._class_names = tuple(class_names)
        self._shifts = shifts
        self._sums: Tensor | None = None

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Add logits `(b, c)` and labels `(b,)`."""
        outputs = outputs.detach()
        outputs = outputs.float() if outputs.dtype == torch.bfloat16 else outputs
        outputs = outputs if self._shifts is None else outputs - self._shifts
        highest, predictions = outputs.max(dim=1)
        logs = outputs.logsumexp(dim=1)
        hits = (predictions == targets).double()
        confidences = (highest - logs).exp().double()
        losses = (logs - outputs.gather(1, targets.unsqueeze(1)).squeeze(1)).double()
        matrix, gaps, loss = self._split(self._zeros(outputs.device) if self._sums is None else self._sums)
        # bincount would wait for the largest value on a GPU; scatter does not.
        cells = torch.add(predictions, targets, alpha=len(self._class_counts))
        matrix.scatter_add_(0, cells, torch.ones_like(hits))
        bins = (confidences * _NUM_BINS).ceil().long().sub_(1).clamp_(0, _NUM_BINS - 1)
        gaps.scatter_add_(0, bins, confidences - hits)
        loss.add_(losses.sum())

    def sums(self) -> Tensor:
        """Return the confusion matrix, rows true classes, flattened, the gap of each bin, and the summed cross-entropy.

        A bin's gap is the sum of confidence - hit over the examples whose confidence is in it.
        """
        assert self._sums is not None, "nothing was added"
        return self._sums

    def metrics(self, sums: Sequence[float]) -> dict[str, float]:
        """Turn fetched sums into metrics."""
        matrix, gaps, loss = self.matrix(sums), sums[-1 - _NUM_BINS : -1], sums[-1]
        num_examples = sum(map(sum, matrix))
        return classification_scores(matrix, self._class_counts, self._class_names) | {
            names.CALIBRATION_ERROR: sum(map(abs, gaps)) / num_examples,
            names.VALIDATION_LOSS: loss / num_examples,
        }

    def matrix(self, sums: Sequence[float]) -> list[list[float]]:
        """Turn fetched sums into the confusion matrix, rows true classes, columns predictions."""
        num_classes = len(self._class_counts)
        return [list(sums[i : i + num_classes]) for i in range(0, num_classes * num_classes, num_classes)]

    def _zeros(self, device: torch.device) -> Tensor:
        num_classes = len(self._class_counts)
        self._sums = torch.zeros(num_classes * num_classes + _NUM_BINS + 1, dtype=torch.float64, device=device)
        return self._sums

    def _split(self, sums: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return matrix, gaps and loss as views."""
        return sums[: -1 - _NUM_BINS], sums[-1 - _NUM_BINS : -1], sums[-1]


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
    for name, members in class_groups(class_counts).items():
        present = [recalls[i] for i in members if i in recalls]
        if present:
            scores[name] = fmean(present)
    return scores | {names.RECALL_PREFIX + class_names[i]: recall for i, recall in recalls.items()}


def class_groups(class_counts: Sequence[int]) -> dict[str, list[int]]:
    """Return the classes of each group, by the name of its recall; a group may be empty.

    Args:
        class_counts: Training examples of each class.
    """
    classes = list(enumerate(class_counts))
    return {
        names.MANY_RECALL: [i for i, n in classes if n > _MANY_ABOVE],
        names.MEDIUM_RECALL: [i for i, n in classes if _FEW_BELOW <= n <= _MANY_ABOVE],
        names.FEW_RECALL: [i for i, n in classes if n < _FEW_BELOW],
        **_thirds(class_counts),
    }


def _thirds(class_counts: Sequence[int]) -> dict[str, list[int]]:
    """Return the classes by falling count in three parts of about one size; the earlier class wins a tie.

    Of two classes, one is the head and one the tail.
    """
    by_count = sorted(range(len(class_counts)), key=lambda label: -class_counts[label])
    first, second = round(len(by_count) / 3), round(2 * len(by_count) / 3)
    return {
        names.HEAD_RECALL: by_count[:first],
        names.MIDDLE_RECALL: by_count[first:second],
        names.TAIL_RECALL: by_count[second:],
    }
