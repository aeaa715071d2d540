"""A board's answers beside this machine's: what differs by more than its bound fails, where x86 can be the measure."""

import numpy as np

from benchmarks.arm64.compare import MAX_STEPS, compare

STEP = np.full(3, 0.5, np.float32)


def answered():
    """Both machines' stages of one window of an int8 encoder."""
    unit = np.eye(2, dtype=np.float32)
    return {
        "signal": np.zeros(8, np.float32),
        "log_mel": np.zeros((4, 2), np.float32),
        "ids.0": np.arange(3),
        "text": unit,
        "small/segments.0": np.ones((2, 3), np.float32),
        "small/layers/int8.a": np.zeros((1, 3, 4), np.int8),
        "small/rest/int8.a": np.zeros((1, 3, 4), np.int8),
        "small/head": unit,
        "small/embeddings": unit,
        "small/nearest": np.array([["a bell", "a dog"]]),
    }


def failed(board, *, overflows=False):
    rows = compare(answered(), board, steps={"small": STEP}, overflows=overflows)
    return [row.stage for row in rows if not row.ok]


def test_like_answers_fail_nowhere():
    assert failed(answered()) == []


def test_an_int8_encoder_of_other_values_fails_where_x86_is_its_measure():
    board = answered()
    board["small/segments.0"] = board["small/segments.0"] + 2 * MAX_STEPS * STEP
    board["small/layers/int8.a"] = board["small/layers/int8.a"] + np.int8(11)
    board["small/rest/int8.a"] = board["small/rest/int8.a"] + np.int8(1)
    stages = ["encoder (int8)", "encoder, each layer (int8)", "encoder, its int8 part alone (int8)"]
    assert failed(board) == [f"small: {stage}" for stage in stages]
    assert failed(board, overflows=True) == []
    told = [str(row) for row in compare(answered(), board, steps={"small": STEP}, overflows=True)]
    assert sum("this x86 overflows" in row for row in told) == len(stages) + 1  # and the whole path, through them


def test_what_does_not_hang_on_the_encoder_is_held_to_its_bound_on_every_x86():
    board = answered()
    board["small/head"] = board["small/head"][::-1]
    board["small/nearest"] = board["small/nearest"][:, ::-1]
    assert failed(board, overflows=True) == ["small: head", "small: nearest phrases (hnswlib)"]
