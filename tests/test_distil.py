"""A slim CNN14 taught by mn04: what it is taught from, that it learns, and that it goes on where it was stopped."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_runtime.errors import EarmarkError
from training.distil import DistilConfig, Exam, distil, exams_of, load_student
from training.distil_batches import Batch, Crops, Lessons, batches, labels_of, map_shapes
from training.features import SEGMENT_FRAMES
from training.mel_tables import panns_mel
from training.mn import MobileNet, MobileNetConfig
from training.panns import Panns
from training.sounds import Clip
from training.waveforms import Waveforms

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SMALL = MobileNetConfig(width=0.1, classes=527)
CPU = torch.device("cpu")
FRONT_END = panns_mel()
SEGMENT_SAMPLES = SEGMENT_FRAMES * FRONT_END[0].hop_samples
LENGTHS = [6, 3, 8, 5, 4]
CLEAN = {"room_share": 0.0, "narrow_share": 0.0, "noise_share": 0.0, "level_share": 0.0}
CLEAN |= {"masked_bands": 0, "masked_frames": 0}
CONFIG = DistilConfig(
    channels="4,4,8,8,8,16", epochs=2, steps=3, batch=2, crop_frames=128, warm_steps=2, masked_frames=4
)


@pytest.fixture(scope="module")
def lessons() -> Lessons:
    """Five clips of noise of many colours, each with a label of its own, and a teacher with the student's ear."""
    torch.manual_seed(3)
    rng = np.random.default_rng(0)
    clips, sounds = [], []
    for row, length in enumerate(LENGTHS):
        clips.append(Clip(Path(f"{row}.wav"), "train", f"noise {row}", (), f"recording {row}", "here", "CC0", -20.0))
        colour = np.exp(rng.normal(0, 0.1, 200)).astype(np.float32)
        sounds.append(np.convolve(rng.normal(0, 0.1, length * SEGMENT_SAMPLES), colour, "same").astype(np.float32))
    heard = Waveforms.of(sounds, FRONT_END[0].rate_hz, CPU)
    return Lessons.on(CPU, clips, heard, MobileNet(SMALL).eval(), (FRONT_END, FRONT_END))


@pytest.fixture(scope="module")
def exams(lessons: Lessons) -> list[Exam]:
    return exams_of(lessons.clips[:2], lessons.sounds, lessons)


def drawn(lessons: Lessons, crops: Crops, *, count: int = 1) -> Sequence[Batch]:
    generator = torch.Generator()
    generator.manual_seed(0)
    return list(batches(lessons, crops, generator, count=count))


def test_a_mixture_is_told_by_the_teacher_of_the_very_same_sound(lessons):
    crops = Crops(batch=8, crop_frames=128, mixture_share=1.0, **CLEAN)
    maps = list(zip(map_shapes(lessons), (8, 16, 32), strict=True))
    for batch in drawn(lessons, crops, count=2):
        assert batch.x.shape == (8, 64, 128)
        with torch.no_grad():
            expected = lessons.teacher.segments(batch.x)
        assert [tuple(each.shape[1:]) for each in batch.maps] == [(*shape, 128 // at) for shape, at in maps]
        # the teacher answers in bfloat16, whose numbers have eight bits, through 15 blocks
        assert torch.cosine_similarity(batch.segments.flatten(), expected.flatten(), dim=0) > 0.99
        torch.testing.assert_close(batch.labels.sum(dim=1), torch.ones(8))
        assert (batch.labels > 0).sum(dim=1).max() == 3


def test_alone_a_crop_has_one_label_and_is_that_clips_sound(lessons):
    crops = Crops(batch=12, crop_frames=96, mixture_share=0.0, speed_share=0.0, **CLEAN)
    batch = drawn(lessons, crops)[0]
    assert set(batch.labels.unique().tolist()) == {0.0, 1.0}
    whole = lessons.student_ear(lessons.sounds.whole(1)[None])[:, :, :96]  # as long as a crop: only one place fits
    of_it = batch.x[batch.labels[:, labels_of(lessons.clips).index("noise 1")] == 1]
    assert len(of_it)
    # there and back through a Fourier transform, which leaves 1e-7 of the loudest everywhere
    torch.testing.assert_close(of_it, whole.expand_as(of_it), atol=1e-3, rtol=0)


def test_what_the_teacher_hears_is_clean(lessons):
    clean = drawn(lessons, Crops(batch=6, crop_frames=128, **CLEAN))[0]
    rough = drawn(lessons, Crops(batch=6, crop_frames=128))[0]
    # the sounds are drawn before what becomes of them
    assert torch.equal(clean.segments, rough.segments)
    assert not torch.allclose(clean.x, rough.x, atol=1.0)


def test_for_training_a_whole_clip_gives_the_same_segments(lessons, exams):
    torch.manual_seed(0)
    net = Panns(CONFIG.network()).eval()
    with torch.no_grad():
        found = net.maps(exams[0].frames[None])[-1].mean(dim=2).transpose(1, 2)
        torch.testing.assert_close(found, net.segments(exams[0].frames[None]), atol=1e-5, rtol=1e-5)  # fp32 sums


def test_an_exam_is_a_window_with_the_teachers_answer_and_its_label(lessons, exams):
    assert [exam.label for exam in exams] == [0, 1]
    assert [tuple(exam.wanted.shape) for exam in exams] == [
        (length + 1, lessons.teacher.config.segment_dim) for length in LENGTHS[:2]
    ]  # the frame on a clip's last sample opens one more


def test_the_student_learns_and_an_interrupted_run_goes_on_as_if_it_had_not_been(lessons, exams, tmp_path, capsys):
    whole = distil(lessons, exams, CONFIG, tmp_path / "whole")
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step")]
    first, last = (float(line.split("segments ")[1].split(",")[0]) for line in (told[0], told[-1]))
    assert last < first
    # its rate falls in the last epoch alone: one epoch of a longer run is the same
    short = replace(CONFIG, epochs=1, cooling=1e-3)
    longer = replace(CONFIG, cooling=1e-3)
    distil(lessons, exams, short, tmp_path / "cut")
    resumed = distil(lessons, exams, longer, tmp_path / "cut", resume=True)
    straight = distil(lessons, exams, longer, tmp_path / "straight")
    for name, tensor in straight.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name
    for name, tensor in load_student(tmp_path / "whole").state_dict().items():
        assert torch.equal(whole.state_dict()[name], tensor), name
    with pytest.raises(ValueError, match="trained with other settings"):
        distil(lessons, exams, replace(CONFIG, batch=3), tmp_path / "cut", resume=True)
    (tmp_path / "cut/last.pt").write_bytes((tmp_path / "cut/last.pt").read_bytes()[:5000])
    with pytest.raises(EarmarkError, match=r"last\.pt is no checkpoint that can be read"):
        distil(lessons, exams, CONFIG, tmp_path / "cut", resume=True)


def test_a_run_ends_by_the_clock_with_its_rate_at_nothing(lessons, exams, tmp_path):
    config = replace(CONFIG, epochs=100_000, limit_s=0.5)
    distil(lessons, exams, config, tmp_path)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert 0.5 <= state["seconds"] < 30
    assert state["step"] < 10_000
    assert config.rate_at(state["step"], config.done(state["step"], 0.5)) == 0


@pytest.mark.parametrize(("channels", "said"), [("8,16", "six"), ("8,a", "whole numbers")])
def test_channels_that_are_no_cnn14_are_an_error(channels, said):
    with pytest.raises(ValueError, match=said):
        DistilConfig(channels=channels).network()


def test_settings_out_of_range_are_an_error():
    with pytest.raises(ValueError, match="multiple of 32"):
        DistilConfig(crop_frames=100)
    with pytest.raises(ValueError, match="out of range"):
        DistilConfig(fastest=0.5)
