import gzip
import io
import tarfile
import zipfile
from types import SimpleNamespace

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


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", ["n" * 300, "/".join(["deep" * 20] * 20)[1:]])
def test_a_name_that_no_file_can_have_is_told_in_one_line(make, name, tmp_path):
    suffix = ".zip" if make is make_zip else ".tgz"
    archive = make(tmp_path / f"bad{suffix}", ("model.pth", b"x"), (name, b"bad"))
    with pytest.raises(UserError, match="a name of") as told:
        unpack(archive, tmp_path / "cache")
    assert len(str(told.value)) < 500
    assert list((tmp_path / "cache").iterdir()) == []


def tar_of_zeros(path, declared, written):
    """A tar.gz whose one file is said to hold so many bytes, of which the first are there."""
    info = tarfile.TarInfo("model.pth")
    info.size = declared
    with gzip.open(path, "wb") as stream:
        stream.write(info.tobuf())
        stream.write(bytes(written))
    return path


def zip_of_zeros(path, declared):
    """A zip file whose one file is said to hold so many bytes; it holds a thousandth."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as stream:
        stream.writestr("model.pth", bytes(declared // 1000))
        stream.filelist[0].file_size = declared
    return path


def test_a_bomb_is_refused_by_what_it_declares_before_anything_is_read(tmp_path):
    huge = 10 << 30
    for archive in (
        zip_of_zeros(tmp_path / "bomb.zip", huge),
        tar_of_zeros(tmp_path / "bomb.tgz", huge, 1 << 20),
    ):
        with pytest.raises(UserError, match=f"would unpack into {huge} or more, above 100 times"):
            unpack(archive, tmp_path / "cache")
        assert list((tmp_path / "cache").iterdir()) == []


def test_sizes_of_many_members_add_up(tmp_path, monkeypatch):
    monkeypatch.setattr("espnet_otreg.hub.archive.FREELY", 1 << 20)
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as stream:
        for i in range(30):
            stream.writestr(f"{i}.bin", bytes(1 << 18))
    with pytest.raises(UserError, match="above 100 times"):
        unpack(archive, tmp_path / "cache")


def test_what_does_not_fit_on_the_disk_is_told_before_it_is_full(tmp_path, monkeypatch):
    archive = make_zip(tmp_path / "a.zip", ("model.pth", bytes(5000)))
    usage = SimpleNamespace(free=4000)
    monkeypatch.setattr("espnet_otreg.hub.archive.shutil.disk_usage", lambda folder: usage)
    with pytest.raises(UserError, match="has 4000 free: make room, or give another cache_dir"):
        unpack(archive, tmp_path / "cache")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_too_many_members_are_refused(make, tmp_path, monkeypatch):
    monkeypatch.setattr("espnet_otreg.hub.archive.MOST_MEMBERS", 5)
    suffix = ".zip" if make is make_zip else ".tgz"
    archive = make(tmp_path / f"many{suffix}", *((f"{i}", b"") for i in range(6)))
    with pytest.raises(UserError, match="more than 5 members"):
        unpack(archive, tmp_path / "cache")


def test_a_list_of_a_million_members_is_refused_before_it_is_read(tmp_path, monkeypatch):
    archive = make_zip(tmp_path / "many.zip", *((f"{i}" * 100, b"") for i in range(9)))
    monkeypatch.setattr("espnet_otreg.hub.archive.LIST_BYTES", 1000)
    monkeypatch.setattr(zipfile, "ZipFile", None)  # which reads it
    with pytest.raises(UserError, match="more than 20000 members"):
        unpack(archive, tmp_path / "cache")


def test_a_header_without_an_end_is_refused_before_it_fills_the_memory(tmp_path):
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, (1 << 33) - 1  # read at once by tarfile
    with gzip.open(tmp_path / "bad.tgz", "wb") as stream:
        stream.write(header.tobuf())
        stream.write(bytes(3 << 20))
    with pytest.raises(UserError, match="a header in it has no end"):
        unpack(tmp_path / "bad.tgz", tmp_path / "cache")


def test_a_member_that_holds_more_than_it_declares_is_refused_while_it_is_written(
    tmp_path, monkeypatch
):
    archive = make_zip(tmp_path / "a.zip", ("model.pth", bytes(5000)))
    monkeypatch.setattr("espnet_otreg.hub.archive._check", lambda archive, folder: 2000)
    with pytest.raises(UserError, match="holds more than it declares"):
        unpack(archive, tmp_path / "cache")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_file_where_a_folder_is_needed_is_told_in_one_line(make, tmp_path):
    suffix = ".zip" if make is make_zip else ".tgz"
    archive = make(tmp_path / f"bad{suffix}", ("base", b"x"), ("base/config.json", b"{}"))
    with pytest.raises(UserError, match=r"cannot be unpacked into|holds .*base twice"):
        unpack(archive, tmp_path / "cache")
