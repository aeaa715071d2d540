"""Bundles in a home: installed whole or not at all, rolled back, and whatever a stranger packed is refused."""

import dataclasses
import io
import os
import shutil
import signal
import stat
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from edge_runtime import Engine
from edge_runtime import bundle_archive as archive_module
from edge_runtime.bundle import DEFAULT_BUNDLE
from edge_runtime.bundle_archive import unpack
from edge_runtime.bundle_store import BundleStore, chosen_bundle
from edge_runtime.errors import BundleError
from edge_runtime.manifest import Manifest, sha256_of
from tests.conftest import Earmark

HEAD = Manifest.read(DEFAULT_BUNDLE).head.graph.file


def another_model(folder: Path, *, name: str = "other", min_frames: int = 193) -> Path:
    """A sound bundle of another fingerprint: its shortest clip is a frame longer, which its self-test does not meet."""
    shutil.copytree(DEFAULT_BUNDLE, folder)
    manifest = Manifest.read(folder)
    encoder = dataclasses.replace(manifest.encoder, min_frames=min_frames)
    dataclasses.replace(manifest, name=name, encoder=encoder).write(folder)
    return folder


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def active(earmark: Earmark) -> str:
    (row,) = [row for row in earmark("bundle", "list", "--json").rows if row["active"]]
    return str(row["name"])


def test_install_list_rollback_remove_by_the_real_command(earmark: Earmark, recordings: Path, tmp_path: Path) -> None:
    assert "the package's own" in earmark("doctor").out
    assert earmark("phrases", "add", "a wooden cart on cobbles").code == 0
    assert earmark("index", recordings / "twelve.wav").code == 0
    other = another_model(tmp_path / "other")
    done = earmark("bundle", "install", other)
    assert done.code == 0, done.err
    assert "1 recordings were heard by another model" in done.err
    name = f"other-{Manifest.read(other).fingerprint}"
    assert active(earmark) == name
    shutil.rmtree(other)  # the home has a copy of its own
    doctor = earmark("doctor")
    assert doctor.code == 0
    assert f"{name.removeprefix('other-')}; active in {earmark.home / 'bundles'}" in doctor.out
    assert "a wooden cart on cobbles" in earmark("phrases", "list").out
    assert (earmark.home / "index" / f"{name.removeprefix('other-')}.hnsw").is_file()  # embedded anew at the install
    assert earmark("caption", recordings / "five.wav").code == 0
    assert earmark("bundle", "remove", name).refused(name, "active", "earmark bundle rollback")
    assert earmark("bundle", "rollback").code == 0
    assert active(earmark) == "the package's own"
    assert earmark("search", "a cart").code == 0  # the archive of the first model is searched again
    assert earmark("bundle", "rollback").refused("no bundle was active before")
    assert earmark("bundle", "remove", name).code == 0
    assert [row["name"] for row in earmark("bundle", "list", "--json").rows] == ["the package's own"]


PADDING_BYTES = 64 << 20
"""Enough to copy and to hash that a signal comes while the install is at work."""


@pytest.mark.parametrize(
    "copied_bytes",
    [
        PADDING_BYTES,  # all is copied, and is being verified
        pytest.param(0, marks=pytest.mark.slow),
        pytest.param(PADDING_BYTES // 2, marks=pytest.mark.slow),
    ],
)
def test_a_killed_install_leaves_the_old_bundle_active_and_the_next_one_clears_up(
    earmark: Earmark, tmp_path: Path, copied_bytes: int
) -> None:
    old, new = another_model(tmp_path / "old", name="old"), another_model(tmp_path / "new", name="new", min_frames=194)
    store = BundleStore(earmark.home)
    name = store.install(old)
    manifest = Manifest.read(new)
    (new / "padding.bin").write_bytes(os.urandom(PADDING_BYTES))
    files = manifest.files | {"padding.bin": sha256_of(new / "padding.bin")}
    dataclasses.replace(manifest, files=files).write(new)
    running = earmark.start("bundle", "install", new)
    for _ in range(60_000):
        if any(path.stat().st_size >= copied_bytes for path in store.folder.glob(".part-*/**/padding.bin")):
            break
        time.sleep(0.001)
    running.send_signal(signal.SIGKILL)
    assert running.wait(60) == -signal.SIGKILL, "the install was over before the signal came"
    running.communicate()
    assert list(store.folder.glob(".part-*"))
    assert active(earmark) == name
    assert earmark("embed", "text", "rain", "--out", tmp_path / "e.npy").code == 0
    assert store.install(new).startswith("new-")
    assert not list(store.folder.glob(".part-*"))


def test_a_bundle_that_is_not_whole_never_becomes_active(home: Path, tmp_path: Path) -> None:
    store = BundleStore(home)
    for damaged in ("MODEL_CARD.md", HEAD, "golden.npz"):
        folder = another_model(tmp_path / damaged)
        spoil(folder / damaged)
        with pytest.raises(BundleError, match=damaged):
            store.install(folder)
    with pytest.raises(BundleError, match="there is no bundle"):
        store.install(tmp_path / "nowhere")
    assert store.active() is None
    assert store.installed() == []


def test_a_bundle_that_fails_its_self_test_is_not_installed(home: Path, tmp_path: Path) -> None:
    folder = another_model(tmp_path / "other", min_frames=320)  # golden.npz is of another network then
    with pytest.raises(BundleError, match="self-test"):
        BundleStore(home).install(folder)


def test_a_damaged_active_bundle_says_how_to_go_back_and_going_back_works(earmark: Earmark, tmp_path: Path) -> None:
    store = BundleStore(earmark.home)
    store.install(another_model(tmp_path / "other"))
    folder = store.active()
    assert folder is not None
    spoil(folder / HEAD)
    for command in (("doctor",), ("phrases", "list"), ("bundle", "info")):
        assert earmark(*command).refused(HEAD, "damaged", "earmark bundle rollback")
    assert "damaged" in earmark("bundle", "list").out
    assert earmark("bundle", "rollback").code == 0
    assert earmark("doctor").code == 0


def test_a_damaged_bundle_is_mended_by_installing_it_again(home: Path, tmp_path: Path) -> None:
    store, other = BundleStore(home), another_model(tmp_path / "other")
    store.install(other)
    folder = store.active()
    assert folder is not None
    spoil(folder / HEAD)
    store.install(other)
    assert [each.fault for each in store.installed()] == [""]
    assert store.active() == folder


@pytest.mark.parametrize("text", ["", "{", '{"history": []}', '{"history": ["../../etc"]}', '{"history": 3}'])
def test_a_damaged_pointer_is_told_and_an_install_is_the_way_out(home: Path, tmp_path: Path, text: str) -> None:
    store = BundleStore(home)
    store.folder.mkdir(parents=True)
    (store.folder / "active.json").write_text(text)
    with pytest.raises(BundleError, match="install the bundle again"):
        chosen_bundle(None, home)
    name = store.install(another_model(tmp_path / "other"))
    assert chosen_bundle(None, home).folder == store.folder / name


def test_rollback_goes_back_step_by_step_and_a_given_bundle_goes_before_the_active_one(
    home: Path, tmp_path: Path
) -> None:
    store = BundleStore(home)
    first = store.install(another_model(tmp_path / "first", name="first"))
    second = store.install(another_model(tmp_path / "second", name="a name/../of two", min_frames=194))
    assert second.startswith("a-name-..-of-two-")
    assert store.install(tmp_path / "second") == second  # again: nothing changes
    assert store.history() == [None, first, second]
    assert chosen_bundle(DEFAULT_BUNDLE, home).folder == DEFAULT_BUNDLE
    assert Engine.open(home=home).bundle.folder == store.folder / second
    assert store.rollback() == first
    assert store.rollback() is None


def test_two_bundles_of_one_model_stand_beside_each_other(home: Path, tmp_path: Path) -> None:
    store = BundleStore(home)
    first = store.install(another_model(tmp_path / "first"))
    other = another_model(tmp_path / "second")
    dataclasses.replace(Manifest.read(other), version="9").write(other)
    second = store.install(other)
    assert second.startswith(f"{first}-")
    assert store.rollback() == first


@pytest.mark.parametrize("kind", ["tar.gz", "zip", "flat.tar.gz"])
def test_an_archive_of_a_bundle_installs_as_its_folder_does(home: Path, tmp_path: Path, kind: str) -> None:
    folder = another_model(tmp_path / "other")
    packed = tmp_path / f"other.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(packed, "w") as file:
            for path in folder.iterdir():
                file.write(path, f"other/{path.name}")
    else:
        with tarfile.open(packed, "w:gz") as file:
            file.add(folder, "." if kind.startswith("flat") else "other")
    assert BundleStore(home).install(packed) == f"other-{Manifest.read(folder).fingerprint}"


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = 3 if kind == tarfile.REGTYPE else 0
    return info


@pytest.mark.parametrize(
    "members",
    [
        [member("/etc/passwd")],
        [member("../manifest.json")],
        [member("b/../../x")],
        [member("b/manifest.json", tarfile.SYMTYPE, "/etc/passwd")],
        [member("b/manifest.json", tarfile.LNKTYPE, "b/x")],
        [member("b/null", tarfile.CHRTYPE)],
        [member("b/pipe", tarfile.FIFOTYPE)],
        [member("b/c/deep")],
        [member("b/x"), member("b/x")],
        [member("a/x"), member("b/y")],
        [member(f"b/{i}") for i in range(300)],
    ],
    ids=lambda members: f"{len(members)} {members[0].name} {members[0].type!r}",
)
def test_a_tar_that_holds_more_than_a_bundle_is_refused_and_nothing_leaves_the_folder(
    tmp_path: Path, members: list[tarfile.TarInfo]
) -> None:
    packed, target = tmp_path / "x.tar.gz", tmp_path / "deep" / "target"
    target.mkdir(parents=True)
    with tarfile.open(packed, "w:gz") as file:
        for each in members:
            file.addfile(each, io.BytesIO(b"abc") if each.isreg() else None)
    with pytest.raises(BundleError, match="pack"):
        unpack(packed, target)
    assert not [
        path for path in tmp_path.rglob("*") if path.is_file() and target not in path.parents and path != packed
    ]
    assert not [path for path in target.rglob("*") if path.is_symlink()]


def test_a_zip_with_a_link_or_a_way_out_is_refused(tmp_path: Path) -> None:
    for number, (name, mode) in enumerate([("b/link", stat.S_IFLNK), ("../x", 0), ("b\\..\\x", 0)]):
        packed, target = tmp_path / f"{number}.zip", tmp_path / f"out{number}"
        target.mkdir()
        info = zipfile.ZipInfo("b/x")
        info.filename, info.external_attr = name, (mode | 0o644) << 16
        with zipfile.ZipFile(packed, "w") as file:
            file.writestr(info, "/etc/passwd")
        with pytest.raises(BundleError, match="pack"):
            unpack(packed, target)
        assert not list(target.iterdir())


def test_bytes_are_counted_as_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "MAX_BYTES", 1 << 20)
    bomb, target = tmp_path / "bomb.zip", tmp_path / "out"
    target.mkdir()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("b/zeros", bytes(64 << 20))
    assert bomb.stat().st_size < 1 << 20
    with pytest.raises(BundleError, match="holds more than"):
        unpack(bomb, target)


def test_a_tar_header_longer_than_any_bundles_is_not_read(tmp_path: Path) -> None:
    packed, target = tmp_path / "x.tar.gz", tmp_path / "out"
    target.mkdir()
    info = member("b/x", tarfile.XHDTYPE)
    info.size = 64 << 20
    with tarfile.open(packed, "w:gz") as file:
        file.addfile(info, io.BytesIO(bytes(info.size)))
    with pytest.raises(BundleError, match="header of"):
        unpack(packed, target)


@pytest.mark.parametrize("data", [b"", b"PK\3\4 no zip", b"\x1f\x8b no gzip", b"plain text", os.urandom(512)])
def test_a_file_that_is_no_archive_is_refused(home: Path, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.tar.gz").write_bytes(data)
    with pytest.raises(BundleError):
        BundleStore(home).install(tmp_path / "x.tar.gz")
    assert BundleStore(home).history() == [None]
