"""The text encoder is open while phrases are embedded, not while sound is heard; what it answers does not change."""

import threading

import numpy as np
import pytest

from edge_runtime import Bundle, Engine
from edge_runtime.errors import BundleError
from edge_runtime.on_demand import OnDemand

BLOCK = 10_240


def blocks(noise, seconds):
    sound = noise(seconds)
    return np.split(sound, range(BLOCK, len(sound), BLOCK))


def test_a_listener_holds_no_text_encoder(noise):
    engine = Engine.open()
    engine.phrases.add("somebody chopping wood")
    assert engine.bundle._text.is_open
    for _ in engine.listen(blocks(noise, 3), rate_hz=32_000, early=True):
        assert not engine.bundle._text.is_open


def test_a_phrase_added_while_listening_is_heard_from_the_next_window_and_the_encoder_closed_again(noise):
    engine = Engine.open(phrases=["a dog barking"])
    added_at, heard = 10, []

    def live():
        for number, block in enumerate(blocks(noise, 8)):
            if number == added_at:
                assert not engine.bundle._text.is_open
                engine.phrases.add("somebody chopping wood")
                assert engine.bundle._text.is_open
            yield block

    for window in engine.listen(live(), rate_hz=32_000, early=True, hop=1):
        heard.append(len(window.matches))
        assert not engine.bundle._text.is_open
    assert heard == sorted(heard)
    assert set(heard) == {1, 2}


def test_an_encoder_opened_again_gives_the_very_same_embedding(bundle):
    before = bundle.embed_text(["rain on a tent"])
    bundle.close_text()
    assert bundle.embed_text(["rain on a tent"]).tobytes() == before.tobytes()


def test_a_text_encoder_that_was_replaced_meanwhile_is_refused(bundle_copy):
    """Its embeddings would be of another space, and nobody would notice."""
    bundle = Bundle.open(bundle_copy)
    bundle.close_text()
    path = bundle_copy / "text_encoder.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match=r"text_encoder\.onnx is damaged"):
        bundle.embed_text(["rain"])


def test_what_is_closed_while_another_thread_runs_it_ends_with_that_run():
    inside, closed = threading.Event(), threading.Event()
    opened = []

    def graph(**_):
        inside.set()
        assert closed.wait(10)
        return np.ones(1)

    def open_graph():
        opened.append(graph)
        return graph

    text, answers = OnDemand(open_graph), []
    thread = threading.Thread(target=lambda: answers.append(text(token_ids=np.zeros(1))))
    thread.start()
    assert inside.wait(10)
    text.close()
    closed.set()
    thread.join(10)
    assert [answer.tolist() for answer in answers] == [[1]]
    assert (len(opened), text.is_open) == (1, False)
