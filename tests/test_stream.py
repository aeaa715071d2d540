"""However a recording arrives, the same comes out: samples, frames and windows, bit for bit.

Nothing here has a tolerance unless it says so: a stream and its one-shot call run through the same engine, and the
engine computes in blocks that are counted from the recording's start.
"""

import dataclasses
import io
from itertools import pairwise

import numpy as np
import pytest
import soundfile
import soxr
from conftest import WINDOWED_BUNDLE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime import Bundle, Engine, Listener
from edge_runtime.bundle import DEFAULT_BUNDLE
from edge_runtime.engine import stream
from edge_runtime.mel import LogMel, MelSpec, MelTables, log_mel
from edge_runtime.resample import Resampler
from edge_runtime.sources.pipe import PcmPipe

RATES_HZ = (8_000, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000)
MODEL_HZ = 32_000
PANNS = MelSpec(32_000, 1024, 320, 64, preemphasis=0.0, log_floor=1e-10, log_bias=0.0)
EFFICIENTAT = MelSpec(32_000, 1024, 320, 128, preemphasis=0.97, log_floor=0.0, log_bias=1e-5)

relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def tables_of(spec):
    """A front end with random triangles: the property may not depend on the filters."""
    rng = np.random.default_rng(spec.bands)
    filters = np.zeros((spec.bins, spec.bands), np.float32)
    for band, start in enumerate(np.linspace(1, spec.bins - 12, spec.bands).astype(int)):
        filters[start : start + 10, band] = rng.uniform(0.1, 1, 10)
    gain, offset = rng.normal(1, 0.1, (2, spec.bands)).astype(np.float32)
    return MelTables(np.hanning(spec.fft_samples + 1)[:-1].astype(np.float32), filters, gain, offset).check(spec)


def signal_of(samples, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


@st.composite
def split_signals(draw, most, steps=(1, 7, 160, 320, 321, 1024, 10_000)):
    """Blocks of a signal: equal ones of any size, or cut anywhere, empty blocks and blocks of one sample included."""
    samples = draw(st.one_of(st.sampled_from([0, 1, 2, 3, 319, 512, 513, 514, 1025]), st.integers(0, most)))
    if draw(st.booleans()):
        step = max(draw(st.sampled_from(steps)), samples // 2000)
        cuts = list(range(0, samples, step))
    else:
        cuts = sorted(draw(st.lists(st.integers(0, samples), max_size=12)))
    return np.split(signal_of(samples), cuts)


def through(stage, blocks):
    """Push every block, then flush: all that came out."""
    return np.concatenate([*(stage.push(block) for block in blocks), stage.flush()])


def windows_of(listener, blocks):
    """All that a listener says, in a form that == compares to the last bit."""
    found = [window for block in blocks for window in listener.push(block)] + list(listener.flush())
    return list(map(told, found))


def told(window):
    return window.start_s, window.end_s, window.settled, window.index, window.embedding.tobytes()


# --- front end


@pytest.mark.parametrize("spec", [PANNS, EFFICIENTAT], ids=["panns", "efficientat"])
@given(blocks=split_signals(most=40_000))
@relaxed
def test_frames_are_the_same_for_any_blocks(spec, blocks):
    tables = tables_of(spec)
    whole = np.concatenate(blocks)
    streamed = through(LogMel(spec, tables), blocks)
    assert streamed.shape == (spec.frames(len(whole)), spec.bands)
    assert streamed.tobytes() == log_mel(spec, tables, whole).tobytes()


@pytest.mark.parametrize("spec", [PANNS, EFFICIENTAT], ids=["panns", "efficientat"])
@pytest.mark.parametrize("samples", [2, 3, 200, 513, 514, 1025, 9_999, 31 * 320 + 1024, 24_001])
def test_frames_are_those_of_the_definition(spec, samples):
    """Oracle: float64, one frame at a time, the whole clip reflected first. float32 leaves 1e-6 of the loudest bin in
    each bin's power: 1e-3 in the logarithm of a band 30 dB below it."""
    tables, signal = tables_of(spec), signal_of(samples).astype(np.float64)
    emphasised = signal[1:] - spec.preemphasis * signal[:-1] if spec.preemphasis else signal
    found = log_mel(spec, tables, signal.astype(np.float32))
    if len(emphasised) < 2:
        assert found.shape == (0, spec.bands)
        return
    padded = np.pad(emphasised, spec.fft_samples // 2, mode="reflect")
    expected = []
    for start in range(0, len(padded) - spec.fft_samples + 1, spec.hop_samples):
        power = np.abs(np.fft.rfft(padded[start : start + spec.fft_samples] * tables.window)) ** 2
        mel = power @ tables.filterbank.astype(np.float64)
        expected.append(np.log(np.maximum(mel, spec.log_floor) + spec.log_bias) * tables.gain + tables.offset)
    assert found.shape == (len(expected), spec.bands)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_reset_front_end_equals_a_new_one():
    tables, signal = tables_of(EFFICIENTAT), signal_of(20_000)
    used = LogMel(EFFICIENTAT, tables)
    used.push(signal_of(7_777, seed=1))
    used.reset()
    assert through(used, [signal]).tobytes() == log_mel(EFFICIENTAT, tables, signal).tobytes()


def test_flushed_front_end_starts_anew():
    tables, signal = tables_of(EFFICIENTAT), signal_of(20_000)
    used = LogMel(EFFICIENTAT, tables)
    through(used, [signal_of(7_777, seed=1)])
    assert through(used, [signal]).tobytes() == log_mel(EFFICIENTAT, tables, signal).tobytes()


def test_front_end_keeps_its_own_copy_of_the_samples():
    """A device reuses its buffer: what was pushed must not change afterwards."""
    tables, signal = tables_of(PANNS), signal_of(20_000)
    mel, buffer, frames = LogMel(PANNS, tables), np.empty(500, np.float32), []
    for start in range(0, len(signal), 500):
        buffer[:] = signal[start : start + 500]
        frames.append(mel.push(buffer))
        buffer[:] = 1
    frames.append(mel.flush())
    assert np.concatenate(frames).tobytes() == log_mel(PANNS, tables, signal).tobytes()


@pytest.mark.parametrize("samples", [np.zeros((4, 2), np.float32), np.zeros(4), np.zeros(4, np.int16)])
def test_front_end_refuses_what_is_not_float32_mono(samples):
    with pytest.raises(ValueError, match="expected float32"):
        LogMel(PANNS, tables_of(PANNS)).push(samples)


# --- resampler


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@given(blocks=split_signals(most=30_000))
@settings(relaxed, max_examples=30)
def test_resampled_samples_are_the_same_for_any_blocks(rate_hz, blocks):
    whole = np.concatenate(blocks)
    streamed = through(Resampler(rate_hz, MODEL_HZ), blocks)
    assert streamed.dtype == np.float32
    assert streamed.tobytes() == through(Resampler(rate_hz, MODEL_HZ), [whole]).tobytes()
    assert abs(len(streamed) - len(whole) * MODEL_HZ / rate_hz) <= 1, "a sample more or less by rounding, no more"


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_resampler_agrees_with_the_one_shot_call_of_soxr(rate_hz):
    """Oracle: soxr.resample, another entry into the library, of the same quality; float32 leaves 1e-6."""
    signal = signal_of(rate_hz // 2)
    expected = soxr.resample(signal, rate_hz, MODEL_HZ, quality="HQ")
    found = through(Resampler(rate_hz, MODEL_HZ), [signal])
    shared = min(len(found), len(expected))
    assert abs(len(found) - len(expected)) <= 1
    np.testing.assert_allclose(found[:shared], expected[:shared], atol=1e-6)


def test_equal_rates_pass_through_untouched():
    signal = signal_of(1000)
    assert through(Resampler(MODEL_HZ, MODEL_HZ), [signal]).tobytes() == signal.tobytes()


# --- listener


@pytest.fixture(scope="module", params=[DEFAULT_BUNDLE, WINDOWED_BUNDLE], ids=["streaming", "windowed"])
def bundle(request):
    """A streaming bundle and a windowed one: to a listener they are the same."""
    return Bundle.open(request.param)


@st.composite
def recordings_at(draw, rate_hz):
    """Lengths around what could go wrong: nothing, one sample, less than a frame, a segment, a window, and more."""
    seconds = draw(st.sampled_from([0.02, 0.3, 0.32, 1.0, 1.28, 5.0, 10.0, 10.24, 10.25, 11.52, 12.3, 16.0]))
    samples = draw(st.one_of(st.sampled_from([0, 1, 2, 100]), st.just(round(seconds * rate_hz))))
    cuts = draw(st.lists(st.integers(0, samples), max_size=10))
    return np.split(signal_of(samples), sorted(cuts))


@pytest.mark.parametrize("rate_hz", (*RATES_HZ, MODEL_HZ))
def test_windows_are_the_same_for_any_blocks(rate_hz, bundle):
    listener = Listener(bundle, early=True)

    @given(blocks=recordings_at(rate_hz))
    @settings(relaxed, max_examples=12)
    def holds(blocks):
        streamed = list(map(told, stream(listener, blocks, rate_hz=rate_hz, to_hz=MODEL_HZ)))
        whole = [np.concatenate(blocks)]
        assert streamed == list(map(told, stream(Listener(bundle, early=True), whole, rate_hz=rate_hz, to_hz=MODEL_HZ)))

    holds()


def one_shot(bundle, frames, first, end):
    """Segments [first, end) of a recording's frames (T, M): a streaming encoder hears the whole of it at once, a
    windowed one these segments by themselves."""
    if bundle.manifest.encoder.stream:
        return bundle.whole_clip(frames)[first:end]
    step, encoder = bundle.manifest.encoder.segment_frames, bundle.encoder()
    encoder.push(frames[first * step : end * step])
    encoder.flush()
    return encoder.segments(0, encoder.available)


@pytest.mark.parametrize("seconds", [0.5, 3.0, 10.24, 13.0, 25.0])
def test_windows_are_those_of_the_one_shot_encoder(seconds, bundle, noise):
    """Oracle: the frames of the whole clip, and the encoder asked once."""
    signal = noise(seconds)
    frames = log_mel(bundle.manifest.mel, bundle.tables, signal)
    plan, step = bundle.manifest.window, bundle.manifest.encoder.segment_frames
    segments = -(-len(frames) // step)
    ends = list(range(plan.segments, segments + 1, plan.hop))
    if not ends or ends[-1] != segments:
        ends.append(segments)
    windows = [*(listener := Listener(bundle)).push(signal), *listener.flush()]
    assert len(windows) == len(ends)
    for window, end in zip(windows, ends, strict=True):
        first = max(0, end - plan.segments)
        expected = bundle.embed_segments(one_shot(bundle, frames, first, end))
        assert window.embedding.tobytes() == expected.tobytes()
        assert window.index == first
        assert window.start_s == pytest.approx(first * step * 0.01)


@pytest.mark.parametrize("seconds", [0.1, 1.0, 9.99, 10.24, 10.2401, 12.0, 20.48, 33.333])
def test_no_second_is_left_out_and_the_last_window_ends_with_the_recording(seconds, bundle):
    signal = signal_of(round(seconds * MODEL_HZ))
    windows = [*(listener := Listener(bundle)).push(signal), *listener.flush()]
    assert windows[0].start_s == 0
    # a segment holds whole frames, and the last frame is centred up to half a hop (5 ms) before the end
    assert windows[-1].end_s == pytest.approx(len(signal) / MODEL_HZ, abs=0.01)
    assert windows[-1].end_s <= len(signal) / MODEL_HZ
    for before, after in pairwise(windows):
        assert after.start_s <= before.end_s
        assert after.end_s > before.end_s


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_the_tail_is_heard_at_any_rate(rate_hz, bundle):
    """Within a frame (10 ms): the resampler ends a recording on the nearest sample of its own rate."""
    signal = signal_of(round(11.7 * rate_hz))
    *_, last = stream(Listener(bundle), [signal], rate_hz=rate_hz, to_hz=MODEL_HZ)
    assert last.end_s == pytest.approx(11.7, abs=0.01)


@pytest.mark.parametrize("samples", [0, 1, 2])
def test_a_recording_too_short_for_a_frame_gives_no_window_and_no_error(samples, bundle):
    assert windows_of(Listener(bundle), [signal_of(samples)]) == []


@pytest.mark.parametrize("early", [False, True])
def test_reset_listener_equals_a_new_one(early, bundle):
    signal, used = signal_of(13 * MODEL_HZ), Listener(bundle, early=early)
    list(used.push(signal_of(15 * MODEL_HZ, seed=1)))
    used.reset()
    assert windows_of(used, [signal]) == windows_of(Listener(bundle, early=early), [signal])


@pytest.mark.parametrize("early", [False, True])
def test_flushed_listener_starts_anew(early, bundle):
    signal, used = signal_of(13 * MODEL_HZ), Listener(bundle, early=early)
    windows_of(used, [signal_of(15 * MODEL_HZ, seed=1)])
    assert windows_of(used, [signal]) == windows_of(Listener(bundle, early=early), [signal])


def test_window_of_a_windowed_encoder_does_not_depend_on_what_was_heard_before_it(windowed):
    """A frame reaches half an FFT back, pre-emphasis one sample: what lies before that may be anything."""
    plan, mel = windowed.manifest.window, windowed.manifest.mel
    segment = windowed.manifest.encoder.segment_frames * mel.hop_samples
    start = 12 * segment
    signal = signal_of(15 * MODEL_HZ)
    other = signal.copy()
    before = start - mel.fft_samples // 2 - 1
    other[:before] = signal_of(before, seed=1)
    one, two = (windows_of(Listener(windowed), [sound]) for sound in (signal, other))
    after = [i for i, window in enumerate(one) if window[3] >= 12]
    assert plan.hop <= 12, "this test needs a window that starts at segment 12 or later"
    assert after and [one[i] for i in after] == [two[i] for i in after]
    assert one[0][4] != two[0][4], "the two recordings do differ"


def test_listeners_that_run_side_by_side_do_not_meet(bundle):
    signals = [signal_of(12 * MODEL_HZ, seed) for seed in (0, 1)]
    alone = [windows_of(Listener(bundle), [signal]) for signal in signals]
    listeners = [Listener(bundle), Listener(bundle)]
    found: list[list] = [[], []]
    for start in range(0, 12 * MODEL_HZ, 5000):
        for mine, listener, signal in zip(found, listeners, signals, strict=True):
            mine.extend(map(told, listener.push(signal[start : start + 5000])))
    for mine, listener in zip(found, listeners, strict=True):
        mine.extend(map(told, listener.flush()))
    assert found == alone


@pytest.mark.parametrize("seconds", [0.5, 4.0, 10.24, 14.0])
def test_early_windows_leave_the_settled_ones_as_they_are(seconds, bundle):
    signal = [signal_of(round(seconds * MODEL_HZ))]
    early, plain = windows_of(Listener(bundle, early=True), signal), windows_of(Listener(bundle), signal)
    assert [window for window in early if window[2]] == plain
    assert all(window[0] == 0 for window in early if not window[2])
    unsettled = sum(not window[2] for window in early)
    assert unsettled == min(
        int(seconds / bundle.manifest.hop_s), bundle.manifest.window.segments // bundle.manifest.window.hop - 1
    )


def test_a_listener_may_have_a_hop_of_its_own(bundle):
    signal = [signal_of(25 * MODEL_HZ)]
    fine, coarse = (
        windows_of(Listener(bundle), signal),
        windows_of(Listener(bundle, hop=bundle.manifest.window.archive_hop), signal),
    )
    assert set(coarse) <= set(fine)
    assert len(coarse) < len(fine)


# --- sources


class Trickle:
    """A pipe that gives as much as it likes, and at its end nothing."""

    def __init__(self, data, sizes):
        self.data, self.sizes = data, iter(sizes)

    def fileno(self):
        raise io.UnsupportedOperation

    def read(self, most):
        size = min(most, next(self.sizes, most))
        part, self.data = self.data[:size], self.data[size:]
        return part


@given(sizes=st.lists(st.integers(1, 50), max_size=60), samples=st.integers(0, 500), odd=st.booleans())
@relaxed
def test_pcm_is_the_same_whatever_the_pipe_gives_at_a_time(sizes, samples, odd):
    pcm = np.random.default_rng(0).integers(-32768, 32768, samples).astype("<i2")
    pipe = PcmPipe(Trickle(pcm.tobytes() + b"\1" * odd, sizes), rate_hz=16_000)
    blocks = [block for stretch in pipe.stretches() for block in stretch.blocks()]
    blocks.append(np.zeros(0, np.float32))
    assert np.concatenate(blocks).tobytes() == (pcm / np.float32(32768)).astype(np.float32).tobytes()


# --- files


def test_a_file_is_heard_as_its_samples_are(bundle, noise, tmp_path):
    sound = noise(12)
    soundfile.write(tmp_path / "a.wav", sound, MODEL_HZ, subtype="FLOAT")
    found = Engine.open(bundle.folder).embed_audio(tmp_path / "a.wav")
    listener = Listener(bundle, hop=bundle.manifest.window.archive_hop)
    expected = [window.embedding for window in [*listener.push(sound), *listener.flush()]]
    assert found.tobytes() == np.stack(expected).tobytes()


def test_channels_are_averaged(tmp_path, noise):
    left, right = noise(2, seed=1), noise(2, seed=2)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, right], axis=1), MODEL_HZ, subtype="FLOAT")
    soundfile.write(tmp_path / "mono.wav", (left + right) / np.float32(2), MODEL_HZ, subtype="FLOAT")
    engine = Engine.open()
    assert engine.embed_audio(tmp_path / "stereo.wav").tobytes() == engine.embed_audio(tmp_path / "mono.wav").tobytes()


def test_engine_hears_a_stream_as_it_hears_the_file(recordings):
    sound, rate_hz = soundfile.read(recordings / "twelve.wav", dtype="float32")
    engine = Engine.open()
    hop = engine.bundle.manifest.window.archive_hop
    heard = list(engine.listen(np.array_split(sound, 37), rate_hz=rate_hz, hop=hop))
    assert np.stack([one.window.embedding for one in heard]).tobytes() == (
        engine.embed_audio(recordings / "twelve.wav").tobytes()
    )
    held_down = engine.bundle.popularity(np.stack([one.window.embedding for one in heard])).tolist()
    pairs = [(match, less) for one, less in zip(heard, held_down, strict=True) for match in one.matches]
    best, less = max(pairs, key=lambda pair: pair[0].score - pair[1])
    expected = (best.phrase, best.score - less, best.threshold - less)
    assert dataclasses.astuple(engine.caption(recordings / "twelve.wav")[0]) == expected
