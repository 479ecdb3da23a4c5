"""Functions of one number as targets, scaled as the growing networks of arXiv:2501.18012 read them.

Inputs are uniform in [-1, 1] and stand for an interval of the function's own argument; targets are free of noise. The
values stand already as a network reads them, so nothing is standardised.

Shape letters: n points.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neurosearch.data.arrays import RawArrays
from neurosearch.data.problems import DataError, Problem
from neurosearch.randomness import derive_seed

Values = npt.NDArray[np.float64]

#: a, b, c, d of a x^3 + b x^2 + c x + d with f(-1) = f(1) = 1 and a minimum of -2/3 at 1/3, as published.
CUBIC = (45 / 32, 45 / 32, -45 / 32, -13 / 32)
#: a, b, c of a x^2 + b x + c with f(-1) = 1, f(0) = -1/5 and f(1) = -1, as published.
QUADRATIC = (1 / 5, -1.0, -1 / 5)

_GRID = 2**16 + 1  # places at which the range of a function is looked for
_LEAST_SPREAD = 1e-6  # of its range, as a share of its largest value: below, float32 cannot tell its values apart


@dataclass(frozen=True)
class Points:
    """How many points there are, and what they are drawn from.

    Attributes:
        num_train: Points from which the validation part is held out.
        num_test: Points of the test part.
        seed: Other seeds draw other points.
    """

    num_train: int
    num_test: int
    seed: int

    def inputs(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return the inputs of both parts, (n, 1), uniform in [-1, 1]."""
        generator = np.random.default_rng(derive_seed(self.seed, "function"))
        x = generator.uniform(-1, 1, (self.num_train + self.num_test, 1)).astype(np.float32)
        return x[: self.num_train], x[self.num_train :]


@dataclass(frozen=True)
class Interval:
    """The interval of a function's own argument that inputs from -1 to 1 stand for."""

    low: float
    high: float

    def argument(self, x: npt.NDArray[np.floating]) -> Values:
        """Return the arguments that inputs stand for."""
        return self.low + (x.astype(np.float64) + 1) / 2 * (self.high - self.low)


@dataclass(frozen=True)
class BesselSum:
    """J_0 + ... + J_(num_terms - 1), the Bessel functions of the first kind."""

    num_terms: int
    is_rescaled = True

    def __call__(self, x: Values) -> Values:
        """Return the values at x."""
        from scipy.special import jv  # a quarter of a second of import that only this needs

        values: Values = jv(np.arange(self.num_terms), x[..., None]).sum(-1)
        return values


@dataclass(frozen=True)
class Polynomial:
    """A polynomial by its coefficients, the highest power's first; its values stand as they are."""

    coefficients: tuple[float, ...]
    is_rescaled = False

    def __call__(self, x: Values) -> Values:
        """Return the values at x."""
        values: Values = np.polyval(np.asarray(self.coefficients), x).astype(np.float64)
        return values


@dataclass(frozen=True)
class Bump:
    """One part of a Gaussian mixture: weight * exp(-((x - mean) / deviation)^2 / 2)."""

    weight: float
    mean: float
    deviation: float


@dataclass(frozen=True)
class GaussianMixture:
    """A sum of Gaussian bumps."""

    bumps: tuple[Bump, ...]
    is_rescaled = True

    def __call__(self, x: Values) -> Values:
        """Return the values at x."""
        parts = [bump.weight * np.exp(-0.5 * np.square((x - bump.mean) / bump.deviation)) for bump in self.bumps]
        values: Values = np.sum(parts, axis=0)
        return values


Curve = BesselSum | Polynomial | GaussianMixture


class FunctionSource:
    """A regression target: a function on an interval.

    Values of a function that is rescaled are moved and stretched from their range on the interval to [-1, 1].
    """

    def __init__(self, curve: Curve, interval: Interval, points: Points) -> None:
        """Take the function, the interval of its argument, and where it is seen."""
        self._curve, self._interval, self._points = curve, interval, points

    def identity(self) -> str:
        """Return everything that the data depend on."""
        return f"{self._curve!r} on {self._interval!r} at {self._points!r}"

    def load(self) -> RawArrays:
        """Return the points, x (n, 1) and y (n,), in float32.

        Raises:
            DataError: If the function has no spread on its interval.
        """
        smallest, largest = self._range()
        train, test = self._points.inputs()
        y_train, y_test = (self._targets(x, smallest, largest) for x in (train, test))
        return RawArrays(train, y_train, test, y_test, (), "features", 1.0, ("y",), is_scaled=True)

    def _range(self) -> tuple[float, float]:
        values = self._curve(self._interval.argument(np.linspace(-1, 1, _GRID)))
        smallest, largest = float(values.min()), float(values.max())
        if not largest - smallest > _LEAST_SPREAD * max(abs(smallest), abs(largest)):
            text = (
                f"the function has no spread from {self._interval.low:g} to {self._interval.high:g}: its values lie "
                f"between {smallest:g} and {largest:g}. Change data.low and data.high, or what the function is made of."
            )
            raise DataError([Problem("data.function", text)])
        return smallest, largest

    def _targets(self, x: npt.NDArray[np.float32], smallest: float, largest: float) -> npt.NDArray[np.float32]:
        values = self._curve(self._interval.argument(x[:, 0]))
        if self._curve.is_rescaled:
            values = 2 * (values - smallest) / (largest - smallest) - 1
        return values.astype(np.float32)


class SineClassesSource:
    """Two classes of one number: whether sin(2 pi x) is negative, or not.

    Source: arXiv:2501.18012, figure 5, floor(1 + sin(2 pi x)).
    """

    def __init__(self, points: Points) -> None:
        """Take where the classes are seen."""
        self._points = points

    def identity(self) -> str:
        """Return everything that the data depend on."""
        return f"sine classes at {self._points!r}"

    def load(self) -> RawArrays:
        """Return the points, x (n, 1) in float32 and labels (n,)."""
        train, test = self._points.inputs()
        names = ("negative", "positive")
        return RawArrays(train, sine_class(train), test, sine_class(test), names, "features", 1.0, is_scaled=True)


def sine_class(x: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return floor(1 + sin(2 pi x)) of inputs (n, 1) as labels (n,); a sine of exactly 1 is of class 1, too."""
    values = np.floor(1 + np.sin(2 * np.pi * x[:, 0].astype(np.float64)))
    labels: npt.NDArray[np.int64] = np.minimum(values, 1).astype(np.int64)
    return labels
