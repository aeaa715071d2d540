"""How loud a source has come lately."""

import numpy as np

from edge_runtime.service.level import MINUTES, Level


def test_the_peak_is_the_loudest_sample_of_either_sign_of_the_last_hour():
    level = Level()
    assert level.peak_dbfs is None
    level.hear(np.zeros(0, np.float32), 0.0)
    assert level.peak_dbfs is None
    level.hear(np.array([0.1, -0.5, 0.2], np.float32), 1.0)
    assert level.peak_dbfs == -6.0
    for _ in range(2 * MINUTES - 1):
        level.hear(np.full(10, 0.01, np.float32), 30.0)
    assert level.peak_dbfs == -6.0, "that minute is not an hour ago"
    for _ in range(2):
        level.hear(np.full(10, 0.01, np.float32), 30.0)
    assert level.peak_dbfs == -40.0


def test_a_microphone_that_gives_zeros_is_told_by_the_floor():
    level = Level()
    level.hear(np.zeros(100, np.float32), 1.0)
    assert level.peak_dbfs == -100.0
