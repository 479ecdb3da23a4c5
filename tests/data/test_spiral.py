import math

import numpy as np
import pytest

from neurosearch.data.arrays import check_arrays
from neurosearch.data.spiral import SpiralSource


def together(source):
    raw = source.load()
    assert check_arrays(raw) == []
    return np.concatenate([raw.x_train, raw.x_test]), np.concatenate([raw.y_train, raw.y_test])


def test_without_noise_the_arms_are_the_published_formula():
    x, labels = together(SpiralSource(num_points=62, num_classes=3, noise=0.0, test_share=0.2, seed=0))
    rows = []
    for arm in range(3):
        for step in range(20):
            radius, angle = 5 * step / 19, 4 * (arm + step / 19)
            rows.append((radius * math.sin(angle), radius * math.cos(angle)))
    points = np.array(rows)
    expected = 2 * (points - points.min(0)) / (points.max(0) - points.min(0)) - 1
    assert len(x) == 60
    for arm in range(3):
        found, wanted = x[labels == arm], expected[20 * arm : 20 * (arm + 1)]
        assert np.abs(np.sort(found, axis=0) - np.sort(wanted, axis=0)).max() < 1e-6


def test_noise_turns_points_and_leaves_their_radius():
    points, _ = SpiralSource(num_points=5000, num_classes=5, noise=0.2, test_share=0.2, seed=1)._arms()
    arm = points[2000:3000]
    radii = 5 * np.linspace(0, 1, 1000)
    assert np.abs(np.hypot(*arm.T) - radii).max() < 1e-9
    turned = np.angle(np.exp(1j * (np.arctan2(arm[1:, 0], arm[1:, 1]) - np.linspace(8, 12, 1000)[1:])))
    assert np.std(turned) == pytest.approx(0.2, rel=0.1)


def test_points_fill_the_square_and_every_arm_has_its_share_of_the_test_part():
    source = SpiralSource(num_points=1000, num_classes=5, noise=0.2, test_share=0.2, seed=1)
    raw = source.load()
    x, _ = together(source)
    assert (x.min(0).tolist(), x.max(0).tolist()) == ([-1, -1], [1, 1])
    assert np.bincount(raw.y_test).tolist() == [40] * 5
    assert np.array_equal(raw.x_train, source.load().x_train)
    assert not np.array_equal(raw.x_train, SpiralSource(1000, 5, 0.2, 0.2, 2).load().x_train)
