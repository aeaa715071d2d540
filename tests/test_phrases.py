"""The live vocabulary: what is added is matched at once, what is removed no more, and the texts are the truth."""

import pytest

from edge_runtime import Engine, Phrases
from edge_runtime.errors import PhraseError
from edge_runtime.home import Home
from edge_runtime.phrases import default_phrases, digest_of, read_phrase_file, tidy

TEXTS = ["a dog barking", "heavy rain", "a church bell", "somebody laughing"]


@pytest.fixture
def phrases(bundle):
    return Phrases.of(bundle, TEXTS)


def scores(phrases, embedding):
    return {match.phrase: match.score for match in phrases.match(embedding, k=1000)}


def test_a_phrase_is_nearest_to_itself(phrases, bundle):
    for text in TEXTS:
        best = phrases.match(bundle.embed_text([text])[0], k=1)[0]
        assert best.phrase == text
        assert best.score == pytest.approx(1, abs=1e-5), "a unit vector with itself, in float32"


def test_matches_are_all_phrases_best_first_with_their_cosines(phrases, bundle):
    query = bundle.embed_text(["dogs"])[0]
    found = phrases.match(query, k=10)
    assert sorted(match.phrase for match in found) == sorted(TEXTS)
    assert [match.score for match in found] == sorted((match.score for match in found), reverse=True)
    exact = dict(zip(TEXTS, bundle.embed_text(TEXTS) @ query, strict=True))
    assert all(match.score == pytest.approx(exact[match.phrase], abs=1e-5) for match in found), "float32 sums"


def test_an_added_phrase_is_matched_at_once(phrases, bundle):
    phrases.add("an  axe\nchopping wood")
    assert phrases.match(bundle.embed_text(["an axe chopping wood"])[0], k=1)[0].phrase == "an axe chopping wood"
    assert len(phrases) == 5
    assert "an axe chopping wood" in phrases


def test_adding_a_phrase_twice_changes_nothing(phrases):
    phrases.add(" a dog  barking")
    assert list(phrases) == TEXTS


def test_a_removed_phrase_is_matched_no_more_and_the_others_keep_their_scores(phrases, bundle):
    query = bundle.embed_text(["rain"])[0]
    before = scores(phrases, query)
    phrases.remove("heavy rain", "a dog barking")
    assert list(phrases) == ["a church bell", "somebody laughing"]
    assert scores(phrases, query) == {text: before[text] for text in phrases}


def test_removing_and_adding_again_restores_the_matches(phrases, bundle):
    query = bundle.embed_text(["rain"])[0]
    before = scores(phrases, query)
    phrases.remove(*TEXTS)
    assert phrases.match(query, k=3) == ()
    for text in TEXTS:
        phrases.add(text)
    assert scores(phrases, query) == before


def test_removing_what_is_not_there_is_refused_and_removes_nothing(phrases):
    with pytest.raises(PhraseError, match="never there"):
        phrases.remove("a dog barking", "never there")
    assert list(phrases) == TEXTS


def test_a_phrase_that_cannot_be_read_leaves_the_vocabulary_as_it_was(phrases):
    with pytest.raises(PhraseError):
        phrases.add("zzqxv")
    assert list(phrases) == TEXTS


def test_a_phrases_embedding_does_not_depend_on_its_neighbours(bundle):
    together = bundle.embed_text(TEXTS)
    for text, row in zip(TEXTS, together, strict=True):
        assert bundle.embed_text([text])[0].tobytes() == row.tobytes()


def test_no_phrases_give_no_embeddings(bundle):
    assert bundle.embed_text([]).shape == (0, bundle.manifest.head.width)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a dog", "a dog"),
        ("  a\tdog\r\n barks  ", "a dog barks"),
        ("a\x00dog\x1b[31m", "a dog [31m"),
        ("a\u2028dog\udcff", "a dog"),
        ("Ein Hündchen", "Ein Hündchen"),
    ],
)
def test_tidy_leaves_one_printable_line(text, expected):
    assert tidy(text) == expected


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\x00\x1b"])
def test_tidy_refuses_what_is_empty(text):
    with pytest.raises(PhraseError, match="empty"):
        tidy(text)


def test_the_digest_names_the_list_and_its_order():
    assert digest_of(TEXTS) == digest_of(list(TEXTS))
    assert len({digest_of(TEXTS), digest_of(TEXTS[::-1]), digest_of(TEXTS[:3]), digest_of([])}) == 4


def test_a_phrase_file_may_have_remarks_empty_lines_and_a_byte_order_mark(tmp_path):
    path = tmp_path / "phrases.txt"
    path.write_bytes("\ufeffa dog\r\n\r\n  # no phrase\n\train \n".encode())
    assert read_phrase_file(path) == ["a dog", "rain"]


def test_the_shipped_phrases_are_a_few_hundred_that_the_model_reads(bundle):
    texts = default_phrases(bundle)
    assert 200 <= len(texts) <= 1000
    assert len(set(texts)) == len(texts)
    assert all(tidy(text) == text for text in texts)
    assert all(bundle.tokenizer.reads(text) for text in texts)


# --- with a home


def test_the_vocabulary_is_the_bundles_with_the_homes_changes(bundle, home):
    default = default_phrases(bundle)
    store = Home.open(home)
    store.keep_phrases(["a wooden cart", "a bell buoy"], kept=True)
    store.keep_phrases([default[0], "a bell buoy"], kept=False)
    assert list(Engine.open(home=home).phrases) == [*default[1:], "a wooden cart"]
    assert list(Engine.open().phrases) == default


def test_refreshing_takes_over_what_another_engine_changed(bundle, home):
    one, two = Engine.open(home=home), Engine.open(home=home)
    dropped = default_phrases(bundle)[3]
    seen = two.home.changes_elsewhere()
    one.home.keep_phrases(["a wooden cart"], kept=True)
    one.home.keep_phrases([dropped], kept=False)
    assert two.home.changes_elsewhere() != seen
    two.refresh_phrases()
    assert "a wooden cart" in two.phrases
    assert dropped not in two.phrases
    one.refresh_phrases()
    query = bundle.embed_text(["a wooden cart"])[0]
    assert one.phrases.match(query, k=5) == two.phrases.match(query, k=5)


def test_the_index_is_kept_and_the_next_start_embeds_nothing(bundle, home, monkeypatch):
    engine = Engine.open(home=home)
    engine.home.keep_phrases(["a wooden cart"], kept=True)
    engine.refresh_phrases()
    engine.keep_phrase_index()
    query = bundle.embed_text(["a wooden cart"])[0]
    monkeypatch.setattr(type(bundle), "embed_text", lambda *_: pytest.fail("embedded again"))
    again = Engine.open(home=home, write=False)
    assert again.phrases.match(query, k=1)[0].phrase == "a wooden cart"


def test_phrases_given_for_a_call_replace_the_vocabulary_and_leave_the_homes(bundle, home):
    store = Home.open(home)
    store.keep_phrases(["a wooden cart"], kept=True)
    assert list(Engine.open(home=home, phrases=TEXTS).phrases) == TEXTS
    assert "a wooden cart" in Engine.open(home=home).phrases


def test_an_engine_without_a_home_writes_nothing_and_says_that_it_has_no_archive(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    engine = Engine.open()
    engine.refresh_phrases()
    engine.keep_phrase_index()
    with pytest.raises(Exception, match="without a home"):
        engine.search("rain")
    assert list(tmp_path.iterdir()) == []
