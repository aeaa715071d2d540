"""Provisional answers of a streaming bundle: earlier than the settled ones, which they leave as they are."""

import os

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the export extra")

from streaming_case import narrow_bundle, sounds  # noqa: E402

from edge_runtime.archive.day_file import DayFiles  # noqa: E402
from edge_runtime.bundle import Bundle  # noqa: E402
from edge_runtime.cli.listen import Session  # noqa: E402
from edge_runtime.engine import Engine, Heard  # noqa: E402
from edge_runtime.listener import Listener  # noqa: E402
from edge_runtime.sources import open_source  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

RATE_HZ = 32_000
LOOK_AHEAD_S = 1.28
"""126 frames in a CNN14 of any width; frames come in blocks of 32, so settled answers do."""
PROFILES = ("exact", "small")


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """17 s: a first window, more after it and a tail."""
    return sounds(1, seconds=17, seed=7)[0]


@pytest.fixture(scope="module", params=PROFILES)
def bundle(request) -> Bundle:
    return Bundle(narrow_bundle(), profile=request.param)


@pytest.fixture
def recording(tmp_path, sound):
    soundfile.write(tmp_path / "heard.wav", sound, RATE_HZ, subtype="PCM_16")
    return tmp_path / "heard.wav"


def listened(bundle: Bundle, sound: np.ndarray, block: int = 320, **options: bool) -> list[tuple[float, tuple]]:
    """Each window as (seconds of sound given until it came, (start, end, index, settled, provisional, embedding))."""
    listener, found = Listener(bundle, **options), []
    for start in range(0, len(sound) + block, block):
        given = sound[start : start + block]
        windows = listener.push(given) if len(given) else listener.flush()
        now_s = min(start + block, len(sound)) / RATE_HZ
        for w in windows:
            found.append((now_s, (w.start_s, w.end_s, w.index, w.settled, w.provisional, w.embedding.tobytes())))
    return found


def test_each_window_comes_first_provisional_and_the_look_ahead_later_for_good(bundle, sound):
    found = listened(bundle, sound, early=True, provisional=True)
    first, later = {}, {}
    for now_s, (start_s, end_s, _, _, provisional, _) in found:
        (first if provisional else later)[start_s, end_s] = now_s
    assert len(first) == int(17 / 1.28)
    assert first.keys() < later.keys()  # only the end of the recording comes but once
    waits = np.array([later[times] - first[times] for times in first])
    assert waits[:-1] == pytest.approx(LOOK_AHEAD_S, abs=0.011)  # blocks of 10 ms
    assert 0 < waits[-1] < LOOK_AHEAD_S  # the recording ended before its look-ahead
    ends_s = np.array([end_s for _, end_s in first])
    assert np.array(list(first.values())) - ends_s == pytest.approx(0, abs=0.031)  # half a Fourier window and a block


@pytest.mark.parametrize("early", [False, True])
def test_the_other_answers_are_the_same_to_the_last_bit_and_come_at_the_same_time(bundle, sound, early):
    found = listened(bundle, sound, early=early, provisional=True)
    told = [each for each in found if not each[1][4]]
    assert told == listened(bundle, sound, early=early)
    assert len(told) < len(found)
    assert not any(window[3] for _, window in found if window[4])  # none claims to be settled


def test_from_settled_only_on_no_provisional_window_comes_and_the_others_are_the_same(bundle, sound):
    listener = Listener(bundle, provisional=True)
    found = list(listener.push(sound[: 8 * RATE_HZ]))
    listener.settled_only()
    rest = [*listener.push(sound[8 * RATE_HZ :]), *listener.flush()]
    assert any(window.provisional for window in found)
    assert not any(window.provisional for window in rest)
    plain = Listener(bundle)
    whole = [*plain.push(sound), *plain.flush()]
    told = [window for window in found + rest if not window.provisional]
    assert [window.embedding.tobytes() for window in told] == [window.embedding.tobytes() for window in whole]
    assert any(window.provisional for window in listener.push(sound)), "another recording begins"


@pytest.mark.parametrize("block", [999, 16_000, 10**6])
def test_provisional_answers_do_not_depend_on_how_the_sound_arrives(bundle, sound, block):
    options = {"early": True, "provisional": True}
    expected = [window for _, window in listened(bundle, sound, **options)]
    assert [window for _, window in listened(bundle, sound, block, **options)] == expected


def test_a_provisional_window_is_the_recording_cut_there(bundle, sound):
    listener = Listener(bundle, provisional=True)
    window = next(w for w in listener.push(sound) if w.provisional)
    frames = bundle.manifest.window.segments * bundle.manifest.encoder.segment_frames
    segments = bundle.whole_clip(bundle.log_mel().push(sound)[:frames])
    assert np.array_equal(window.embedding, bundle.embed_segments(segments))


def test_a_windowed_bundle_withholds_nothing_and_gives_nothing_provisional(windowed, sound):
    found = listened(windowed, sound[: 12 * RATE_HZ], RATE_HZ, early=True, provisional=True)
    assert found == listened(windowed, sound[: 12 * RATE_HZ], RATE_HZ, early=True)


def kept(engine: Engine) -> list[bytes]:
    """The archive's records without the number of their recording."""
    bundle = engine.bundle
    days = DayFiles(
        engine.home.path / "archive" / bundle.fingerprint, bundle.fingerprint, width=bundle.manifest.head.width
    )
    fields = ("embedding", "scale", "start_s", "end_s")
    return [days.records(day)[field].tobytes() for day in days.all() for field in fields]


def test_nothing_provisional_is_archived(recording, tmp_path):
    archives: list[list[bytes]] = []
    for provisional in (False, True):
        engine = Engine.open(narrow_bundle(), home=tmp_path / f"home-{provisional}")
        session = Session(engine, keep=True, live_phrases=False, seconds=None, provisional=provisional)
        heard: list[Heard] = []
        for stretch in open_source(str(recording)).stretches():
            heard += session.run(stretch, k=2)
        assert any(each.window.provisional for each in heard) == provisional
        archives.append(kept(engine))
    assert archives[0] == archives[1]
    assert len(archives[0][1]) > 0


def test_the_command_says_which_answers_are_provisional(earmark, recording):
    options = ["--json", "--no-archive", f"--bundle={narrow_bundle()}"]
    plain = earmark("listen", recording, *options)
    both = earmark("listen", recording, *options, "--provisional")
    assert (plain.code, both.code) == (0, 0), both.err
    provisional = [row for row in both.rows if row.get("provisional")]
    assert [row for row in both.rows if row not in provisional] == plain.rows
    assert not any("provisional" in row for row in plain.rows)
    assert all(row["provisional"] is True and row["matches"] for row in provisional)
    settled = {(row["start_s"], row["end_s"]): at for at, row in enumerate(both.rows) if "end_s" in row}
    assert all(both.rows.index(row) < settled[row["start_s"], row["end_s"]] for row in provisional)


def test_a_live_source_hears_of_a_window_before_its_look_ahead(earmark, sound):
    """A pipe that stops giving sound at 11 s: the window that ends at 10.24 s has been told, though not settled."""
    given = (np.clip(sound[: 11 * RATE_HZ], -1, 1) * 32767).astype("<i2").tobytes()
    process = earmark.start(
        "listen", "-", f"--rate={RATE_HZ}", "--json", "--no-archive", f"--bundle={narrow_bundle()}", "--provisional"
    )
    try:
        process.stdin.write(given)
        told = b""
        while b'"end_s": 10.24' not in told:
            part = os.read(process.stdout.fileno(), 65536)
            assert part, process.stderr.read().decode()
            told += part
        (line,) = (each for each in told.splitlines() if b'"end_s": 10.24' in each)
        assert b'"provisional": true' in line
    finally:
        process.kill()
        process.communicate()
