"""What is trained on is what a device computes: windows, padding, roughening, evaluation over windows."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason="needs the train extra")

from edge_runtime import Bundle, Listener  # noqa: E402
from edge_runtime.mel import log_mel  # noqa: E402
from training.augment import (  # noqa: E402
    DIRECT_DB,
    RATE_HZ,
    RT60_S,
    brief,
    impulse_response,
    masked,
    narrowed,
    noisy,
    reverberant,
    rms,
    roughened,
)
from training.beds import Beds  # noqa: E402
from training.evaluate import evaluate, same_sound  # noqa: E402
from training.features import MIN_FRAMES, Features, extract, load, rows_of, windows_of  # noqa: E402
from training.mel_tables import efficientat_mel, panns_mel  # noqa: E402
from training.mels import FrontEnd, extract_mels  # noqa: E402
from training.mn import MobileNetConfig  # noqa: E402
from training.panns import Panns, StreamingPanns, slim_cnn14  # noqa: E402
from training.sounds import Clip  # noqa: E402
from training.stream_mn import StreamingMobileNet, StreamingMobileNetConfig  # noqa: E402


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.open()


@pytest.mark.parametrize("seconds", [0.05, 0.3, 1.9, 2.0, 5.0, 10.0, 10.24, 10.3, 17.0, 31.0])
def test_training_windows_are_the_listeners_own(windowed: Bundle, seconds: float) -> None:
    """Of the windowed network, whose segments depend on where a window lies; those of a stream do not."""
    bundle = windowed
    samples = np.random.default_rng(0).normal(0, 0.1, int(seconds * RATE_HZ)).astype(np.float32)
    frames = log_mel(bundle.manifest.mel, bundle.tables, samples)
    listener = Listener(bundle, hop=bundle.manifest.window.archive_hop)
    heard = [*listener.push(samples), *listener.flush()]
    cut = windows_of(frames, bundle.silence)
    assert len(cut) == len(heard)
    for (window, count), found in zip(cut, heard, strict=True):
        encoder = bundle.encoder()
        encoder.push(window if len(frames) >= MIN_FRAMES else frames)
        encoder.flush()
        expected = bundle.embed_segments(encoder.segments(0, count))
        # a window is a slice of the same frames through the same graph: equal to the last bit
        np.testing.assert_array_equal(found.embedding, expected)


def test_a_short_clip_is_padded_with_silence_and_keeps_its_own_segments(bundle: Bundle) -> None:
    frames = np.ones((70, bundle.manifest.mel.bands), np.float32)
    ((window, count),) = windows_of(frames, bundle.silence)
    assert (len(window), count) == (MIN_FRAMES, 3)
    np.testing.assert_array_equal(window[70:], np.tile(bundle.silence, (MIN_FRAMES - 70, 1)))
    silent = log_mel(bundle.manifest.mel, bundle.tables, np.zeros(9000, np.float32))
    np.testing.assert_allclose(silent, np.tile(bundle.silence, (len(silent), 1)), atol=1e-6)


@pytest.mark.parametrize("seconds", [0.1, 0.32, 0.5, 1.0, 1.9, 3.0])
def test_a_network_that_streams_learns_of_a_short_clip_what_its_stream_says(seconds: float) -> None:
    torch.manual_seed(0)
    net = Panns(slim_cnn14(1 / 64)).eval()
    samples = np.random.default_rng(0).normal(0, 0.1, int(seconds * RATE_HZ)).astype(np.float32)
    ((found, _, _),) = rows_of(samples, 0, net, *panns_mel())
    stream = StreamingPanns(net)
    expected = torch.cat((stream.push(filled_up(samples, panns_mel())), stream.flush()), dim=1)[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)  # fp32 sums in chunks of other lengths


@pytest.mark.parametrize("seconds", [0.1, 0.32, 0.5, 1.0, 1.9, 3.0])
def test_so_does_the_streaming_mn04_and_whoever_learns_from_its_frames(seconds: float, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = StreamingMobileNet(StreamingMobileNetConfig(MobileNetConfig(width=0.1, classes=7))).eval()
    samples = np.random.default_rng(0).normal(0, 0.1, int(seconds * RATE_HZ)).astype(np.float32)
    ((found, _, _),) = rows_of(samples, 0, net, *efficientat_mel())
    frames = filled_up(samples, efficientat_mel())
    with torch.no_grad():
        expected = net.segments(frames)[0].numpy()
    np.testing.assert_array_equal(found, expected)

    soundfile.write(tmp_path / "short.wav", samples, RATE_HZ, subtype="FLOAT")
    clip = Clip(tmp_path / "short.wav", "train", "noise", (), "recording", "made here", "CC0", -20.0)
    mels = extract_mels([clip], 0, efficientat_mel(), path=tmp_path / "mels.npz")
    np.testing.assert_array_equal(mels.window(0), frames[0].numpy().T.astype(np.float16))


def test_roughened_copies_stand_in_a_background_where_that_is_asked(tmp_path: Path) -> None:
    """A short clip then has windows as long as the stretch that it lies in; the clean copy stays as it is."""
    torch.manual_seed(0)
    net = StreamingMobileNet(StreamingMobileNetConfig(MobileNetConfig(width=0.1, classes=7))).eval()
    soundfile.write(tmp_path / "short.wav", 0.5 * np.sin(np.arange(RATE_HZ // 2) / 9), RATE_HZ, subtype="FLOAT")
    clips = [
        Clip(tmp_path / "short.wav", split, "noise", (), f"r{i}", source, "CC0", -20.0)
        for i, (split, source) in enumerate([("train", "esc50")] * 8 + [("train", "skmaad"), ("test", "skmaad")])
    ]
    plain = extract(clips, net, *efficientat_mel(), out=tmp_path, copies=1)
    laid = extract(clips, net, *efficientat_mel(), out=tmp_path, copies=1, beds=1.0)
    assert plain[0] == laid[0] and plain[1] != laid[1]
    (clean, rough, bedded) = load([*plain, laid[1]])
    assert set(clean.lengths) == set(rough.lengths) == {2}
    assert bedded.lengths.min() >= 2 and bedded.lengths.max() <= 16 and len(set(bedded.lengths)) > 4
    assert len(Beds.of(clips).ambiences) == 1  # none of the test split


def test_roughened_copies_are_cut_short_where_that_is_asked(tmp_path: Path) -> None:
    """Five seconds with a knock in them: the clean copy is whole, of the others at most 2.5 s are left."""
    torch.manual_seed(0)
    net = StreamingMobileNet(StreamingMobileNetConfig(MobileNetConfig(width=0.1, classes=7))).eval()
    samples = 0.01 * np.sin(np.arange(5 * RATE_HZ) / 9)
    samples[2 * RATE_HZ : 2 * RATE_HZ + 900] = 0.9
    soundfile.write(tmp_path / "long.wav", samples, RATE_HZ, subtype="FLOAT")
    clips = [
        Clip(tmp_path / "long.wav", "train", "noise", (), f"r{i}", "esc50", "CC0", -20.0)
        for i in range(8)  # each is cut in another way
    ]
    paths = extract(clips, net, *efficientat_mel(), out=tmp_path, copies=1, brief=1.0)
    assert paths[1] != extract(clips, net, *efficientat_mel(), out=tmp_path, copies=1)[1]
    clean, rough = load(paths)
    assert set(clean.lengths) == {16} and rough.lengths.max() <= 8 and len(set(rough.lengths)) > 2


def test_a_brief_stretch_is_the_loudest_or_at_least_not_silent() -> None:
    samples = np.zeros(4 * RATE_HZ, np.float32)
    samples[RATE_HZ : 2 * RATE_HZ] = 0.5
    stretches = [brief(samples, np.random.default_rng(seed)) for seed in range(50)]
    seconds = np.array([len(stretch) for stretch in stretches]) / RATE_HZ
    assert 0.25 <= seconds.min() < 0.5 and 1.5 < seconds.max() <= 2.5
    assert min(rms(stretch) for stretch in stretches) > 0.3 * rms(samples)
    np.testing.assert_array_equal(stretches[3], brief(samples, np.random.default_rng(3)))
    np.testing.assert_array_equal(brief(samples[:5000], np.random.default_rng(0)), samples[:5000])


def filled_up(samples: np.ndarray, front_end: FrontEnd) -> torch.Tensor:
    """Log-mel (1, M, T), and silence where a segment lacks frames, as edge_runtime/streaming.py fills it up."""
    spec, tables = front_end
    frames = log_mel(spec, tables, samples)
    missing = max(0, 32 - len(frames))
    frames = np.concatenate((frames, np.tile(tables.silence(spec), (missing, 1))))
    return torch.from_numpy(frames.T.copy())[None]


def test_roughening_keeps_length_and_range_and_differs_by_seed() -> None:
    samples = 0.5 * np.sin(np.arange(RATE_HZ) / 9).astype(np.float32)
    versions = [roughened(samples, np.random.default_rng(seed)) for seed in range(20)]
    for version in versions:
        assert version.shape == samples.shape
        assert version.dtype == np.float32
        assert np.abs(version).max() <= 1 + 1e-6
    assert len({version.tobytes() for version in versions}) == 20
    np.testing.assert_array_equal(versions[3], roughened(samples, np.random.default_rng(3)))


def test_a_narrow_recorder_leaves_nothing_above_half_its_rate() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE_HZ).astype(np.float32)
    power = np.abs(np.fft.rfft(narrowed(noise, 8_000))) ** 2  # one bin a hertz
    assert power[4_500:].sum() < 1e-4 * power.sum()
    assert power[:3_500].sum() > 0.8 * power.sum()


def test_noise_is_added_at_the_level_asked_for() -> None:
    samples = np.sin(np.arange(RATE_HZ) / 5).astype(np.float32)
    added = noisy(samples, snr_db=12, tilt=1.0, rng=np.random.default_rng(0)) - samples
    snr_db = 10 * np.log10(np.mean(samples**2) / np.mean(added**2))
    assert snr_db == pytest.approx(12, abs=0.01)  # the level is set on this very noise, float32 rounds it


@pytest.mark.parametrize(("rt60_s", "direct_db"), [(0.3, 6.0), (1.0, -3.0)])
def test_a_rooms_sound_decays_as_fast_and_lies_as_low_as_was_said(rt60_s: float, direct_db: float) -> None:
    response = impulse_response(rt60_s, direct_db, np.random.default_rng(0))
    assert response[0] == 1
    tail = response[1:] ** 2
    assert -10 * np.log10(tail.sum()) == pytest.approx(direct_db, abs=1e-6)
    # energy of two stretches, half the time apart: 30 dB; noise of 1000 samples has 0.3 dB of spread
    early, late = (tail[start : start + 1000].mean() for start in (0, round(rt60_s * RATE_HZ / 2)))
    assert 10 * np.log10(early / late) == pytest.approx(30, abs=1.5)


def test_reverberation_is_convolution_cut_to_the_clip() -> None:
    samples = np.random.default_rng(1).standard_normal(900).astype(np.float32)
    drawn = np.random.default_rng(7)
    response = impulse_response(drawn.uniform(*RT60_S), drawn.uniform(*DIRECT_DB), drawn)
    found = reverberant(samples, np.random.default_rng(7))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.convolve(samples, response)[:900], atol=1e-5)  # float32's last bits
    assert not reverberant(np.zeros(10, np.float32), np.random.default_rng(0)).any()


def test_masks_hide_whole_bands_and_whole_frames_and_no_more_than_said() -> None:
    frames = np.random.default_rng(0).standard_normal((80, 64)).astype(np.float32)
    before = frames.copy()
    shares = []
    for seed in range(30):
        hidden = masked(frames, np.random.default_rng(seed)) != frames
        rows, columns = hidden.all(axis=1), hidden.all(axis=0)
        np.testing.assert_array_equal(hidden, rows[:, None] | columns[None, :])
        assert rows.sum() <= 2 * 10 and columns.sum() <= 2 * 8
        shares.append(hidden.mean())
    assert 0.05 < np.mean(shares) < 0.4375
    np.testing.assert_array_equal(frames, before)
    assert masked(frames[:1], np.random.default_rng(0)).shape == (1, 64)


def test_cut_windows_hold_every_segment_once_or_more_and_say_whose_they_are() -> None:
    rng = np.random.default_rng(0)
    lengths = np.array([3, 16, 17, 32])
    segments = rng.standard_normal((4, 32, 5)).astype(np.float16)
    segments[np.arange(32) >= lengths[:, None]] = 0
    whole = Features(segments, lengths, np.array([7, 8, 8, 9]), rng.uniform(size=(4, 2)).astype(np.float16))
    cut, of = whole.cut(16)
    assert of.tolist() == [0, 1, 2, 2, 3, 3] and cut.lengths.tolist() == [3, 16, 16, 16, 16, 16]
    np.testing.assert_array_equal(cut.clip, whole.clip[of])
    np.testing.assert_array_equal(cut.tags, whole.tags[of])
    for row, start in enumerate([0, 0, 0, 1, 0, 16]):
        np.testing.assert_array_equal(cut.segments[row], segments[of[row], start : start + 16])


def clip(name: str, label: str, captions: tuple[str, ...] = ()) -> Clip:
    return Clip(Path(f"{name}.wav"), "test", label, captions, name, "esc50", "CC0", -20.0)


def test_a_clip_counts_with_its_best_window() -> None:
    texts = {"dog": [1.0, 0.0], "rain": [0.0, 1.0]}
    clips = [clip("a", "dog"), clip("b", "rain")]
    windows = [np.array([[0.1, 0.9], [1.0, 0.0]]), np.array([[0.0, 0.95]])]
    report = evaluate(clips, windows, lambda names: np.array([texts[name] for name in names]))
    assert report.names == {"esc50": 100.0}
    assert report.labels["text->audio"].r1 == 100


def test_only_clips_of_a_captions_own_recording_are_right_for_it() -> None:
    clips = [clip("a", "dog", ("one dog",)), clip("b", "dog")]
    wrong_first = {"dog": [1.0, 0.0], "one dog": [0.6, 0.8]}
    windows = [np.array([[1.0, 0.0]]), np.array([[0.6, 0.8]])]
    report = evaluate(clips, windows, lambda names: np.array([wrong_first[name] for name in names]))
    assert report.captions["text->audio"].r1 == 0
    assert report.captions["text->audio"].median_rank == 2
    assert (report.captions["text->audio"].queries, report.captions["text->audio"].pool) == (1, 2)


def test_labels_of_one_sound_are_each_others_answers() -> None:
    table = same_sound(["dog", "dog bark", "rain"])
    np.testing.assert_array_equal(table, [[1, 1, 0], [1, 1, 0], [0, 0, 1]])
