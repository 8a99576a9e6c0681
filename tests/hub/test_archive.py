import io
import tarfile
import zipfile

import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.hub.archive import suffix_of, unpack, unpack_into

META = ("meta.yaml", b"files: {}\nyaml_files: {}\n")


def make_zip(path, *members):
    with zipfile.ZipFile(path, "w") as stream:
        for name, content in (META, *members):
            stream.writestr(name, content)
    return path


def make_tar(path, *members):
    with tarfile.open(path, "w:gz") as stream:
        for name, content in (META, *members):
            info = name
            if isinstance(name, str):
                info = tarfile.TarInfo(name)
                info.size = len(content)
            stream.addfile(info, io.BytesIO(content))
    return path


def zip_link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info


def tar_link(name, kind):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", ["../out", "a/../../out", "/tmp/out", "a\\..\\out", "C:/out"])
def test_members_that_point_outside_are_refused_before_anything_is_written(make, name, tmp_path):
    suffix = ".zip" if make is make_zip else ".tgz"
    archive = make(tmp_path / f"bad{suffix}", ("model.pth", b"x"), (name, b"bad"))
    cache = tmp_path / "deep" / "cache"
    with pytest.raises(UserError, match="points outside the archive"):
        unpack(archive, cache)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [archive]
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("make", "member"),
    [
        (make_zip, zip_link("link")),
        (make_tar, tar_link("link", tarfile.SYMTYPE)),
        (make_tar, tar_link("link", tarfile.LNKTYPE)),
        (make_tar, tar_link("device", tarfile.CHRTYPE)),
    ],
)
def test_links_and_devices_are_refused(make, member, tmp_path):
    archive = make(tmp_path / f"bad{'.zip' if make is make_zip else '.tgz'}", (member, b""))
    with pytest.raises(UserError, match="is a link or a device"):
        unpack(archive, tmp_path / "cache")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(tmp_path):
    archive = make_zip(tmp_path / "bad.zip", ("model.pth", b"one"), ("model.pth", b"two"))
    with pytest.raises(UserError, match="twice"):
        unpack(archive, tmp_path / "cache")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_file_that_was_cut_short_is_told_and_leaves_nothing(make, tmp_path):
    suffix = ".zip" if make is make_zip else ".tar.gz"
    archive = make(tmp_path / f"cut{suffix}", ("model.pth", bytes(range(256)) * 400))
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(UserError, match="damaged or was cut short"):
        unpack(archive, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_is_no_pack_is_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as stream:
        stream.writestr("a.txt", "a")
    with pytest.raises(UserError, match=r"holds no meta\.yaml"):
        unpack_into(tmp_path / "other.zip", tmp_path / "out")
    with pytest.raises(UserError, match=r"should end in one of \.zip"):
        suffix_of(tmp_path / "packed.rar")


def test_the_same_content_is_unpacked_once_wherever_it_lies(tmp_path):
    archive = make_zip(tmp_path / "a.zip", ("base/decoder/config.json", b"{}"))
    first = unpack(archive, tmp_path / "cache")
    (first / "mark").touch()
    archive.rename(tmp_path / "b.zip")
    assert unpack(tmp_path / "b.zip", tmp_path / "cache") == first
    assert (first / "mark").exists()
    assert (first / "base" / "decoder" / "config.json").read_bytes() == b"{}"
    changed = make_zip(tmp_path / "a.zip", ("base/decoder/config.json", b"{1}"))
    assert unpack(changed, tmp_path / "cache") != first
