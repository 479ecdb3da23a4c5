"""Scores of predicted quantities on the validation part, in the user's units, from sums kept on the device.

Shape letters: b batch, t targets.
"""

import math
from collections.abc import Sequence
from statistics import fmean

import torch
from torch import Tensor

from neurosearch import names


class RegressionTally:
    """Sums errors and targets over a validation pass.

    Outputs and targets are standardised; errors are multiplied by the deviations that the targets were divided by. The
    validation loss is always the mean squared error of the standardised values, whatever loss the training uses: trials
    with different losses can be compared by it.
    """

    def __init__(self, target_names: Sequence[str], deviations: Sequence[float]) -> None:
        self._target_names = tuple(target_names)
        self._deviations = tuple(deviations)
        self._sums: list[Tensor] = []

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Add outputs and standardised targets `(b, t)`."""
        targets = targets.double()
        errors = outputs.double() - targets
        parts = (torch.ones_like(targets), errors.square(), errors.abs(), targets, targets.square())
        self._sums.append(torch.stack([part.sum(0) for part in parts]))  # (5, t)

    def sums(self) -> Tensor:
        """Return, for each target, the count and the sums of e^2, |e|, y and y^2, flattened from (5, t)."""
        return torch.stack(self._sums).sum(0).flatten()

    def metrics(self, sums: Sequence[float]) -> dict[str, float]:
        """Turn fetched sums into metrics."""
        num_targets = len(self._target_names)
        columns = zip(*(sums[i : i + num_targets] for i in range(0, len(sums), num_targets)), strict=True)
        per_target = [target_scores(*column) for column in columns]
        units = {names.RMSE: self._deviations, names.MAE: self._deviations, names.R2: (1.0,) * num_targets}
        scores = {}
        for name, unit in units.items():
            values = [score[name] * factor for score, factor in zip(per_target, unit, strict=True)]
            scores[name] = fmean(values)
            if num_targets > 1:
                scores |= {f"{name}/{target}": value for target, value in zip(self._target_names, values, strict=True)}
        return scores | {names.VALIDATION_LOSS: fmean(score[names.RMSE] ** 2 for score in per_target)}


def target_scores(
    count: float, squared: float, absolute: float, total: float, total_squared: float
) -> dict[str, float]:
    """Return root mean squared error, mean absolute error and R^2 of one target.

    R^2 = 1 - sum e^2 / sum (y - mean y)^2. Where the targets do not vary it is 1 without an error and else 0, as
    scikit-learn has it.

    Args:
        count: Number of examples.
        squared: Sum of e^2, e the errors.
        absolute: Sum of |e|.
        total: Sum of y, the targets.
        total_squared: Sum of y^2.
    """
    spread = total_squared - total * total / count
    constant = spread <= 1e-12 * total_squared  # what rounding leaves of equal values
    explained = float(squared == 0) if constant else 1 - squared / spread
    return {names.RMSE: math.sqrt(squared / count), names.MAE: absolute / count, names.R2: explained}
