"""Clips of `earmark run`: the recording's own samples, from the first of the pre-roll to the last of the post-roll."""

import numpy as np
import pytest
import soundfile

from edge_runtime.events.flac import comments_of
from edge_runtime.scene import demo_scene

PRE_S, POST_S = 1.5, 0.5


@pytest.mark.parametrize("rate_hz", [48_000, 22_050])
def test_clips_are_the_recordings_samples_with_exact_rolls(earmark, tmp_path, rate_hz):
    samples, _ = demo_scene(rate_hz)
    soundfile.write(tmp_path / "scene.wav", samples, rate_hz, subtype="PCM_16")
    config = 'speech = "keep"\n[[sources]]\nname = "scene"\ninput = "scene.wav"\n'
    config += f"[events]\nhold_s = 0\n[clips]\npre_s = {PRE_S}\npost_s = {POST_S}\nlongest_s = 12\nmin_free_bytes = 0\n"
    (tmp_path / "field.toml").write_text(config)
    assert earmark("run", tmp_path / "field.toml").code == 0
    recording, _ = soundfile.read(tmp_path / "scene.wav", dtype="int16")
    events = [row for row in earmark("events", "list", "--json").rows if row["clip"]]
    clips = sorted({row["clip"] for row in events})
    assert len(clips) > 1
    for path in clips:
        clip, rate = soundfile.read(earmark.home / path, dtype="int16")
        first = int(comments_of((earmark.home / path).read_bytes())["FIRST_SAMPLE"])
        assert rate == rate_hz
        assert np.array_equal(clip, recording[first : first + len(clip)])
        starts = [row["start_s"] for row in events if row["clip"] == path]
        assert first == max(0, round((min(starts) - PRE_S) * rate_hz)), "window edges are whole samples at this rate"
