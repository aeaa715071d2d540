"""manifest.json: read whole, or refused by name. Whatever a file holds, nothing but BundleError comes out."""

import copy
import dataclasses
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.bundle import DEFAULT_BUNDLE
from edge_runtime.errors import BundleError
from edge_runtime.manifest import SCHEMA, Manifest, WindowSpec, sha256_of

VALID = json.loads((DEFAULT_BUNDLE / "manifest.json").read_text())
VALID.pop("sha256", None)
UNTOLD = ("columns", "deviations", "profiles")
"""Optional values: a manifest that is written leaves out what equals its default."""

odd_numbers = st.sampled_from([0, -1, 1, 10**400, -(10**400), 2**63, 1e308, -1e308, 1e-308, float("nan"), float("inf")])
leaves = st.one_of(st.none(), st.booleans(), odd_numbers, st.integers(), st.floats(), st.text(max_size=20))
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
)


def places(value, path=()):
    """Every place in the tree."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


PLACES = [path for path in places(VALID) if path]


def _at(path):
    value = VALID
    for step in path:
        value = value[step]
    return value


@st.composite
def mutated(draw):
    """A valid manifest with one to three places changed: replaced by anything, taken away, doubled under a new key."""
    data = copy.deepcopy(VALID)
    for _ in range(draw(st.integers(1, 3))):
        *path, key = draw(st.sampled_from(PLACES))
        parent = data
        try:
            for step in path:
                parent = parent[step]
            match draw(st.sampled_from(["replace", "replace", "drop", "add"])):
                case "replace":
                    parent[key] = draw(anything)
                case "drop":
                    del parent[key]
                case "add":
                    parent[draw(st.text(max_size=12))] = draw(anything)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took this place away
    return data


def told(data):
    """What a written manifest says of the same."""
    if isinstance(data, list):
        return [told(value) for value in data]
    if not isinstance(data, dict):
        return data
    return {key: told(value) for key, value in data.items() if value or key not in UNTOLD}


def read(folder, text):
    (folder / "manifest.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    return Manifest.read(folder)


fuzz = settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(data=mutated())
@fuzz
def test_any_mutation_gives_a_manifest_or_a_refusal(data, tmp_path):
    try:
        manifest = read(tmp_path, json.dumps(data))
    except BundleError as error:
        assert "\n" not in str(error)
    else:
        manifest.write(tmp_path)
        written = json.loads((tmp_path / "manifest.json").read_text())
        written.pop("sha256")
        assert written == told(data), "what was read is what was written"
        assert Manifest.read(tmp_path) == manifest
        assert len(manifest.fingerprint) == 16
        assert 0 < manifest.hop_s <= manifest.window_s


@pytest.mark.parametrize(
    "path", [path for path in PLACES if type(_at(path)) is int], ids=lambda path: "-".join(map(str, path))
)
@pytest.mark.parametrize("number", [10**400, -(10**400), 2**63, 0.5, True])
def test_no_integer_is_taken_that_later_arithmetic_could_not_bear(path, number, tmp_path):
    data = copy.deepcopy(VALID)
    parent = data
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = number
    with pytest.raises(BundleError):
        read(tmp_path, json.dumps(data))


@given(text=st.text(max_size=300) | st.builds(json.dumps, anything))
@settings(fuzz, max_examples=100)
def test_any_text_is_refused(text, tmp_path):
    with pytest.raises(BundleError):
        read(tmp_path, text)


@given(data=st.binary(max_size=300))
@settings(fuzz, max_examples=100)
def test_any_bytes_are_refused(data, tmp_path):
    (tmp_path / "manifest.json").write_bytes(data)
    with pytest.raises(BundleError):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("depth", [100, 900, 990, 1000, 100_000])
def test_deep_nesting_is_refused(depth, tmp_path):
    for text in (
        "[" * depth + "]" * depth,
        json.dumps({**VALID, "notices": 0}).replace("0}", "[" * depth + "]" * depth),
    ):
        with pytest.raises(BundleError):
            read(tmp_path, text)


def test_a_manifest_of_a_megabyte_is_refused_unread(tmp_path):
    with pytest.raises(BundleError, match="at most"):
        read(tmp_path, json.dumps({**VALID, "name": "x" * (1 << 20)}))


def test_a_folder_without_one_is_no_bundle(tmp_path):
    with pytest.raises(BundleError, match="no bundle"):
        Manifest.read(tmp_path)
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(BundleError, match="no bundle"):
        Manifest.read(tmp_path)


def test_written_and_read_it_is_the_same(tmp_path):
    manifest = Manifest.read(DEFAULT_BUNDLE)
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path) == manifest


def test_what_was_written_is_sealed_by_its_own_sha256(tmp_path):
    Manifest.read(DEFAULT_BUNDLE).write(tmp_path)
    data = json.loads((tmp_path / "manifest.json").read_text())
    data["match"]["heard"] += 0.01
    with pytest.raises(BundleError, match=r"manifest.json is damaged"):
        read(tmp_path, json.dumps(data))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"encoder": {**VALID["encoder"], "width": 384.0}}, "manifest.encoder.width is 384.0, expected int"),
        ({"encoder": {**VALID["encoder"], "width": 0}}, "EncoderSpec.width is 0"),
        ({"encoder": {**VALID["encoder"], "kind": "psychic"}}, "'psychic'"),
        ({"match": {"heard": "much"}}, 'manifest.match.heard is "much", expected float'),
        ({"match": {"heard": float("nan")}}, "manifest.match.heard is NaN"),
        ({"match": []}, "manifest.match is list, expected an object"),
        ({"notices": ["a", 3]}, r"manifest.notices\[1\] is 3"),
        ({"quality": {"x": None}}, "manifest.quality.x is null"),
        ({"files": {**VALID["files"], "a": "00"}}, "sha256 of a has 2 characters"),
        ({"mel": {**VALID["mel"], "hop_samples": 600}}, "do not fit together"),
        ({"mel": {**VALID["mel"], "log_bias": 0, "log_floor": 0}}, "silence would be infinite"),
        ({"window": {**VALID["window"], "hop": 10**6, "archive_hop": 10**6}}, "pass over sound"),
        ({"window": {**VALID["window"], "hop": 3, "archive_hop": 16}}, "no multiple"),
    ],
)
def test_a_wrong_value_is_named(change, named, tmp_path):
    with pytest.raises(BundleError, match=named):
        read(tmp_path, json.dumps({**VALID, **change}))


def test_lengths_follow_from_the_numbers(tmp_path):
    manifest = dataclasses.replace(Manifest.read(DEFAULT_BUNDLE), window=WindowSpec(30, 5, 10))
    assert manifest.segment_s == pytest.approx(0.32)
    assert manifest.hop_s == pytest.approx(1.6)
    assert manifest.window_s == pytest.approx(9.6)


def test_the_fingerprint_names_what_shapes_an_embedding_and_nothing_else():
    manifest = Manifest.read(DEFAULT_BUNDLE)
    alike = dataclasses.replace(manifest, name="x", quality={}, match=dataclasses.replace(manifest.match, heard=0.9))
    assert alike.fingerprint == manifest.fingerprint
    shaping = [
        "mel.npz",
        "tokenizer.json",
        *(part.graph.file for part in (manifest.encoder, manifest.head, manifest.text)),
    ]
    for name in shaping:
        other = dataclasses.replace(manifest, files={**manifest.files, name: "0" * 64})
        assert other.fingerprint != manifest.fingerprint
    louder = dataclasses.replace(manifest, mel=dataclasses.replace(manifest.mel, log_bias=0.5))
    assert louder.fingerprint != manifest.fingerprint


def test_the_shipped_bundle_is_small_sealed_and_of_this_schema():
    manifest = Manifest.read(DEFAULT_BUNDLE)
    assert manifest.schema == SCHEMA
    assert sum(path.stat().st_size for path in DEFAULT_BUNDLE.iterdir()) <= 15e6
    assert {path.name for path in DEFAULT_BUNDLE.iterdir()} == {*manifest.files, "manifest.json"}
    for name, digest in manifest.files.items():
        assert sha256_of(DEFAULT_BUNDLE / name) == digest
