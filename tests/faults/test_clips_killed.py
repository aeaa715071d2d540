"""A process that writes clips is killed at chance moments: every clip that is there is whole, and nothing is left."""

import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from edge_runtime.events.clip_folder import ClipFolder
from edge_runtime.events.flac import comments_of

pytestmark = pytest.mark.slow

KILLS = 20
SAMPLES = 8000
WRITES = f"""
import sys
from pathlib import Path
import numpy as np
from edge_runtime.events.clip_folder import ClipFolder
from edge_runtime.events.flac import FlacBuffer
folder, noise = ClipFolder(Path(sys.argv[1])), np.random.default_rng(0)
for number in range(int(sys.argv[2]), 10**9):
    sound = FlacBuffer(16_000)
    sound.write(noise.integers(-9999, 9999, {SAMPLES}).astype(np.int16))
    folder.write(sound.close({{"TITLE": "clip %d" % number}}), number / 100, "clip")
    print(flush=True)
"""


def test_a_clip_is_whole_or_not_there(tmp_path, earmark):
    rng = np.random.default_rng(0)
    written = 0
    for _ in range(KILLS):
        command = [sys.executable, "-c", WRITES, str(tmp_path), str(written)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=earmark.env) as process:
            assert process.stdout.readline(), "it writes"
            time.sleep(float(rng.uniform(0, 0.05)))
            process.kill()
            told = 1 + len(process.stdout.readlines())
        folder = ClipFolder(tmp_path)
        folder.clear_parts()
        clips = list(folder.files())
        assert written + told <= len(clips) <= written + told + 1, "told once it is there; the last may not be told"
        written = len(clips)
    assert sorted(path.suffix for path in tmp_path.rglob("*") if path.is_file()) == [".flac"] * written
    for number, clip in enumerate(clips):
        samples, rate_hz = soundfile.read(tmp_path / clip.path)
        assert (len(samples), rate_hz) == (SAMPLES, 16_000)
        assert comments_of((tmp_path / clip.path).read_bytes())["TITLE"] == f"clip {number}"
