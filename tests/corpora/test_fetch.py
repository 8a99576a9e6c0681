"""One file from a server in this process: with Range and without, cut short, or replaced."""

import pytest

from espnet_otreg.corpora.fetch import fetch
from espnet_otreg.errors import UserError


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_cut_short_goes_on_where_it_stopped_if_the_server_can(server, tmp_path, ranges):
    content = bytes(range(256)) * 40
    server.files["x"], server.ranges, server.cut = content, ranges, 3000
    with pytest.raises(UserError, match=r"cut short: 3000 of 10240 bytes.*same command"):
        fetch(f"{server.address}/x", tmp_path / "x")
    assert not (tmp_path / "x").exists()
    server.cut = None
    fetch(f"{server.address}/x", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == content
    assert [asked for _, asked in server.asked] == [None, "bytes=3000-"]
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def begin(server, path, content, end):
    """Fetch the beginning of a file."""
    server.files["x"], server.cut = content, end
    with pytest.raises(UserError, match="cut short"):
        fetch(f"{server.address}/x", path)
    server.cut = None


OLD, NEW = b"1\ta.wav\told words\n" * 100, b"2\tb.wav\tnew words\n" * 100


def test_a_download_that_only_lacks_its_name_gets_it(server, tmp_path):
    begin(server, tmp_path / "x", OLD, 100)
    (tmp_path / "x.partial").write_bytes(OLD)
    fetch(f"{server.address}/x", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == OLD
    assert len(server.asked) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("conditions", [True, False])
@pytest.mark.parametrize("new", [NEW, NEW + NEW, NEW[:50]], ids=["as long", "longer", "shorter"])
@pytest.mark.parametrize("mark", ["ETag", "Last-Modified", "weak"])
def test_a_file_that_was_replaced_meanwhile_is_begun_anew(server, tmp_path, conditions, new, mark):
    server.conditions = conditions
    key, form = ("ETag", 'W/"{}"') if mark == "weak" else (mark, '"{}"')
    server.marks = {key: form.format(1)}
    begin(server, tmp_path / "x", OLD, 100)
    server.files["x"], server.marks = new, {key: form.format(2)}
    fetch(f"{server.address}/x", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == new
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_without_any_mark_the_length_tells_a_replaced_file(server, tmp_path):
    server.marks = {}
    begin(server, tmp_path / "x", OLD, 100)
    server.files["x"] = NEW + NEW
    fetch(f"{server.address}/x", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == NEW + NEW


def test_a_part_that_begins_elsewhere_than_asked_is_not_appended(server, tmp_path):
    begin(server, tmp_path / "x", OLD, 100)
    server.shift = 7
    fetch(f"{server.address}/x", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == OLD


@pytest.mark.parametrize("version", [None, "{", '{"etag": ""}'])
def test_a_part_of_nobody_knows_what_is_begun_anew(server, tmp_path, version):
    server.files["x"] = NEW
    (tmp_path / "x.partial").write_bytes(OLD[:100])
    if version:
        (tmp_path / "x.partial.version").write_text(version)
    fetch(f"{server.address}/x", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == NEW


def test_a_file_of_untold_length_is_refused(server, tmp_path):
    server.files["x"], server.encoding, server.cut = OLD, "neither", 50
    with pytest.raises(UserError, match=r"does not say how long it is .*--server, or fetch it by"):
        fetch(f"{server.address}/x", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_chunks_tell_their_end_and_a_missing_one_is_noticed(server, tmp_path):
    server.files["x"], server.encoding, server.cut = OLD, "chunked", 500
    with pytest.raises(UserError, match=r"cannot be fetched \(IncompleteRead.*same command"):
        fetch(f"{server.address}/x", tmp_path / "x")
    assert not (tmp_path / "x").exists()
    server.cut = None
    fetch(f"{server.address}/x", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == OLD
