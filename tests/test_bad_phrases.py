"""Bad phrases are refused in one line that says what and what next, and the vocabulary stays as it was."""

import pytest

from edge_runtime import Engine
from edge_runtime.errors import PhraseError
from edge_runtime.home import Home
from edge_runtime.phrases import default_phrases, read_phrase_file

BAD_PHRASES = {
    "": "",
    "  \t ": "",
    "?!": "no words",
    "zzqxv blorfnax": "no word of",
    "dog " * 10_000: "shorten it",
    "dog " * 100: "100 words",
    "\u4f60\u597d": "no words",
}


@pytest.mark.parametrize("phrase", ["", "zzqxv blorfnax", "dog " * 10_000], ids=["empty", "unknown", "10 000 words"])
def test_bad_phrase_is_refused_and_the_vocabulary_is_as_it_was(phrase, earmark, bundle):
    """Between two good phrases: none of the three is added."""
    assert earmark("phrases", "add", "a good phrase about a dog", phrase, "another one").refused(BAD_PHRASES[phrase])
    store = Home.open(earmark.home, write=False)
    assert store.vocabulary(default_phrases(bundle)) == default_phrases(bundle)


@pytest.mark.parametrize("phrase", BAD_PHRASES, ids=range(len(BAD_PHRASES)))
def test_bad_phrase_cannot_be_searched_embedded_or_added(phrase, home, recordings):
    engine = Engine.open(home=home)
    engine.index(recordings / "five.wav")
    size = len(engine.phrases)
    for refuse in (engine.search, engine.embed_text, engine.phrases.add):
        with pytest.raises(PhraseError):
            refuse(phrase)
    assert len(engine.phrases) == size


def test_bad_phrases_are_refused_by_every_command(earmark, tmp_path, recordings):
    Engine.open(home=earmark.home).index(recordings / "five.wav")
    assert earmark("search", "").refused("no words")
    assert earmark("search", "zzqxv").refused("zzqxv", "common English words")
    assert earmark("embed", "text", "dog " * 10_000, "--out", tmp_path / "x.npy").refused("at most", "words")
    assert not (tmp_path / "x.npy").exists()
    assert earmark("phrases", "remove", "never there").refused("never there", "earmark phrases list")


BAD_PHRASE_FILES = {
    "missing": (None, "no phrase file"),
    "empty": (b"", "holds no phrase"),
    "remarks": (b"# only a remark\n\n", "holds no phrase"),
    "not UTF-8": (b"a dog\n\xff\xfe\n", "not UTF-8"),
    "unknown words": (b"a dog\nzzqxv blorfnax\n", "zzqxv"),
}


@pytest.mark.parametrize(("content", "reason"), BAD_PHRASE_FILES.values(), ids=BAD_PHRASE_FILES)
def test_bad_phrase_file_is_refused(content, reason, tmp_path):
    path = tmp_path / "phrases.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PhraseError, match=reason):
        Engine.open(phrases=read_phrase_file(path))


def test_bad_phrase_files_are_refused_by_the_command(earmark, tmp_path, recordings):
    path = tmp_path / "phrases.txt"
    assert earmark("caption", recordings / "five.wav", "--phrases", path).refused("no phrase file")
    assert not earmark.home.exists()
    path.write_bytes(b"a dog\n\xff\xfe\n")
    assert earmark("listen", recordings / "five.wav", "--phrases", path).refused("not UTF-8")
    assert not earmark.home.exists()
    path.write_bytes(b"a dog on a hill\nzzqxv blorfnax\n")
    assert earmark("phrases", "import", path).refused("zzqxv")
    assert Home.open(earmark.home).vocabulary([]) == []


def test_words_that_the_model_does_not_know_are_named(earmark, recordings):
    Engine.open(home=earmark.home).index(recordings / "five.wav")
    ran = earmark("search", "a zzqxv dog", "--json")
    assert ran.code == 0
    assert len(ran.rows) == 1
    assert ran.err.count("\n") == 1 and "zzqxv" in ran.err


def test_a_phrase_that_only_another_model_reads_is_kept_but_not_heard(home, caplog):
    """A new bundle with other words must not lock its owner out."""
    store = Home.open(home)
    store.keep_phrases(["zzqxv", "a dog on a hill"], kept=True)
    engine = Engine.open(home=home)
    assert "zzqxv" not in engine.phrases
    assert "a dog on a hill" in engine.phrases
    assert "zzqxv" in caplog.text
    engine.refresh_phrases()
    assert store.vocabulary([]) == ["zzqxv", "a dog on a hill"]
