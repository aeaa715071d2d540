"""A record of the archive: its bits, its checksum, its product with a query; and moments, which records are told as."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.archive.moments import Moment, apart, merged
from edge_runtime.archive.product import Product
from edge_runtime.archive.record import ZERO, embeddings, encoded, intact, quantised, record_type
from tests.archive_case import WIDTH, unit, window


@given(st.integers(0, 2**32), st.sampled_from([16, 64, 512]))
@settings(max_examples=40, deadline=None)
def test_the_product_of_integers_is_the_cosine(seed, width):
    """Oracle: the upper 8 bits in float64. Half a step of the finer column in each number is the most that is lost."""
    rows = unit(seed, 20, width)
    data = b"".join(encoded(1, window(row), width=width) for row in rows)
    records = np.frombuffer(data, record_type(width))
    query = unit(seed + 1, 1, width)[0]
    raw = np.frombuffer(data, np.uint8).reshape(len(rows), -1)
    found = Product(query, record_bytes=raw.shape[1])(raw) * records["scale"]
    upper = (records["embedding"] - np.float64(ZERO)) * records["scale"][:, None]
    exact = upper @ query.astype(np.float64)
    bound = np.abs(query).max() / 63 / 126 / 2 * np.abs(upper).sum(axis=1)
    assert (np.abs(found - exact) <= bound + 1e-6).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_the_product_does_not_overflow_at_its_extremes(sign):
    width = 512
    row = np.full(width, 1 / np.sqrt(width), np.float32)
    data = encoded(1, window(row), width=width)
    raw = np.frombuffer(data, np.uint8).reshape(1, -1)
    scale = np.frombuffer(data, record_type(width))["scale"]
    assert Product(sign * row, record_bytes=raw.shape[1])(raw) * scale == pytest.approx(sign, abs=1e-4)


@given(st.integers(0, 2**32), st.integers(1, 70), st.sampled_from([0.0, 1e-30, 1.0, 1e30]))
@settings(deadline=None)
def test_each_number_is_kept_within_half_of_one_of_4065_steps(seed, width, size):
    rows = size * np.random.default_rng(seed).standard_normal((3, width)).astype(np.float32)
    records = quantised(rows, width=width)
    assert records["embedding"].min() >= 1, "one more level above zero than below it would tilt every product"
    step = np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-12) / 2032
    assert (np.abs(embeddings(records) - rows) <= step * 0.501).all(), "a thousandth of it is float32's own rounding"


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30), st.integers(0, 100)), max_size=40), st.integers(1, 8))
@settings(deadline=None)
def test_moments_are_apart_and_merged_ones_cover_the_same_seconds(found, k):
    moments = [Moment(recording, start, start + 5, score, score) for recording, start, score in found]
    ranked = sorted(moments, key=lambda each: -each.score)
    kept = apart(ranked, k)
    assert not any(one.overlaps(other) for one in kept for other in kept if one is not other)
    assert kept == [] or kept[0] == ranked[0]
    for moment in ranked if len(kept) < k else []:
        assert moment in kept or any(moment.overlaps(each) for each in kept)
    seconds = {(m.recording, s) for m in moments for s in range(m.start_s, m.end_s)}
    runs = merged(moments)
    assert {(m.recording, s) for m in runs for s in range(m.start_s, m.end_s)} == seconds
    assert sum(m.end_s - m.start_s for m in runs) == len(seconds), "no second stands in two"


def test_records_tell_whether_they_are_whole():
    data = bytearray(b"".join(encoded(1, window(row), width=WIDTH) for row in unit(17, 3)))
    records = np.frombuffer(bytes(data), record_type(WIDTH))
    assert intact(records).all()
    data[record_type(WIDTH).itemsize + 50] ^= 4
    assert intact(np.frombuffer(bytes(data), record_type(WIDTH))).tolist() == [True, False, True]
