"""Fine-tuning the streaming mn04: it comes nearer to its teacher, and goes on where it was stopped."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_runtime.errors import EarmarkError
from training.features import MIN_FRAMES, SEGMENT_FRAMES, Features, hear_again
from training.mel_tables import panns_mel
from training.mels import Mels, mixed
from training.mn import MobileNet, MobileNetConfig
from training.sounds import Clip
from training.stream_mn import StreamingMobileNet, StreamingMobileNetConfig
from training.stream_tuning import (
    FILE,
    StreamTuningConfig,
    Teacher,
    _alone,
    _joined,
    _stretch,
    _two_at_once,
    fidelity,
    tune_stream,
)

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SMALL = MobileNetConfig(width=0.1, classes=7)
ARCHITECTURE = StreamingMobileNetConfig(SMALL, bands=64)
FRONT_END = panns_mel()
CONFIG = StreamTuningConfig(epochs=2, batch=2, sequence=8, clip_segments=5, learning_rate=3e-3)
LENGTHS = [6, 3, 8, 5, 4, 7, 6, 2, 5, 6]


@pytest.fixture(scope="module")
def teacher() -> MobileNet:
    torch.manual_seed(3)
    net = MobileNet(SMALL)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        net.train().segments(torch.randn(4, 64, 320))
    return net.eval()


@pytest.fixture(scope="module")
def taught(teacher: MobileNet) -> tuple[list[Clip], Features, Mels]:
    """Ten clips of noise of many colours, and what the teacher says of each."""
    rng = np.random.default_rng(0)
    clips, frames = [], []
    for row, length in enumerate(LENGTHS):
        split = "val" if row > 7 else "train"
        clips.append(Clip(Path(f"{row}.wav"), split, "noise", (), f"recording {row}", "made here", "CC0", -20.0))
        colour = rng.normal(0, 1.5, 64)
        frames.append(rng.normal(0, 1, (length * SEGMENT_FRAMES, 64)).astype(np.float16) + colour.astype(np.float16))
    blank = Features(
        np.zeros((len(clips), 32, 1), np.float16),
        np.array(LENGTHS),
        np.arange(len(clips)),
        rng.uniform(0, 1, (len(clips), SMALL.classes)).astype(np.float16),
    )
    mels = Mels(np.concatenate(frames), np.cumsum([0, *map(len, frames)]))
    return clips, hear_again(teacher, blank, frames), mels


def test_another_network_hears_the_same_windows_and_keeps_their_tags(teacher, taught):
    _, features, mels = taught
    assert features.segments.shape == (len(LENGTHS), 32, SMALL.segment_dim)
    x = torch.from_numpy(mels.window(3).astype(np.float32).T.copy())[None]
    with torch.no_grad():
        expected = teacher.segments(x)[0].numpy()
    # kept as float16
    np.testing.assert_allclose(features.segments[3, : LENGTHS[3]], expected, rtol=2e-3, atol=2e-3)
    assert not features.segments[3, LENGTHS[3] :].any()


def test_fine_tuning_brings_the_stream_nearer_to_its_teacher(teacher, taught, tmp_path):
    clips, features, mels = taught
    before = StreamingMobileNet(ARCHITECTURE).eval()
    before.load_windowed(teacher)
    config = replace(CONFIG, epochs=8)
    tuned = tune_stream(clips, [(features, mels)], teacher, ARCHITECTURE, FRONT_END, config, tmp_path)
    untuned, found = (fidelity(net, clips, (features, mels)) for net in (before, tuned))
    assert found["explained"] > untuned["explained"]
    assert (tmp_path / FILE).is_file()


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(teacher, taught, tmp_path):
    clips, features, mels = taught
    whole = tune_stream(clips, [(features, mels)], teacher, ARCHITECTURE, FRONT_END, CONFIG, tmp_path / "whole")

    class PulledError(Exception):
        pass

    calls = 0

    def pulled(path: Path, *args: object) -> None:
        nonlocal calls
        calls += 1
        raise PulledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.stream_tuning.save_streaming_mn", pulled)  # right after the first epoch was kept
        with pytest.raises(PulledError):
            tune_stream(clips, [(features, mels)], teacher, ARCHITECTURE, FRONT_END, CONFIG, tmp_path / "cut")
    assert calls == 1
    resumed = tune_stream(
        clips, [(features, mels)], teacher, ARCHITECTURE, FRONT_END, CONFIG, tmp_path / "cut", resume=True
    )
    for name, tensor in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name
    with pytest.raises(ValueError, match="trained with other settings"):
        other = replace(CONFIG, batch=3)
        tune_stream(clips, [(features, mels)], teacher, ARCHITECTURE, FRONT_END, other, tmp_path / "cut", resume=True)
    torch.save({"net": {}}, tmp_path / "cut/last.pt")
    with pytest.raises(EarmarkError, match=r"last\.pt has no config, .*: it is no file of `python -m training stream`"):
        tune_stream(clips, [(features, mels)], teacher, ARCHITECTURE, FRONT_END, CONFIG, tmp_path / "cut", resume=True)


def test_a_sequence_says_whose_each_segment_is(taught):
    _, features, mels = taught
    rng = np.random.default_rng(1)
    parts = [_stretch(_alone([(features, mels)], row, rng), 5, rng) for row in (1, 7)]  # 3 and 2 segments
    x, wanted, owner, tags = _joined(parts, 8, 4)
    assert x.shape == (8 * SEGMENT_FRAMES, 64)
    assert owner.tolist() == [0, 0, 0, 1, 1, -1, -1, -1]
    np.testing.assert_array_equal(wanted[:3], features.segments[1, :3].astype(np.float32))
    np.testing.assert_array_equal(tags[1], features.tags[7].astype(np.float32))
    assert not tags[2:].any()


def test_two_at_once_are_what_the_teacher_hears_in_their_sum(teacher, taught):
    _, features, mels = taught
    rng = np.random.default_rng(1)
    frames, segments, tags = _two_at_once([(features, mels)], Teacher(teacher, FRONT_END), (2, 4), 3.0, rng)
    one, other = mels.window(2), mels.window(4)
    power = [10 ** (each.astype(np.float64) / 10) for each in (one, np.tile(other, (2, 1))[: len(one)])]
    summed = power[0] + power[1] * 10**-0.3 * power[0].mean() / power[1].mean()
    np.testing.assert_allclose(frames, 10 * np.log10(summed), atol=1e-3)  # float32 through exp and log
    assert segments.shape == (LENGTHS[2], SMALL.segment_dim)
    assert tags.shape == (SMALL.classes,)


def test_short_sounds_at_once_are_told_with_the_silence_that_the_teacher_needs(teacher, taught):
    """The second and the eighth window are shorter than a window of the teacher may be."""
    _, features, mels = taught
    clean = mixed(mels.window(1), mels.window(7), FRONT_END, snr_db=3.0)
    assert len(clean) < MIN_FRAMES
    rest = np.tile(FRONT_END[1].silence(FRONT_END[0]), (MIN_FRAMES - len(clean), 1))
    with torch.no_grad():
        expected = teacher.segments(torch.from_numpy(np.concatenate((clean, rest)).T.copy())[None])[0].numpy()
    rng = np.random.default_rng(1)
    frames, segments, _ = _two_at_once([(features, mels)], Teacher(teacher, FRONT_END), (1, 7), 3.0, rng)
    np.testing.assert_array_equal(frames, clean)  # the student hears no more than there is
    np.testing.assert_array_equal(segments, expected[: LENGTHS[1]])


def test_settings_out_of_range_are_errors():
    with pytest.raises(ValueError, match="out of range"):
        StreamTuningConfig(sequence=8, clip_segments=9)
