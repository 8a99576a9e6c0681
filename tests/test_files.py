import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, read_table, write_json, write_lines


def test_a_table_keeps_empty_values_and_forgives_windows_line_ends(tmp_path):
    path = tmp_path / "text"
    path.write_bytes("\ufeffb one two\r\n\r\na\r\nc\tthrée\n".encode())
    assert read_table(path) == {"b": "one two", "a": "", "c": "thrée"}


def test_a_duplicate_utterance_is_refused_with_its_line(tmp_path):
    (tmp_path / "text").write_text("a x\nb y\na z\n")
    with pytest.raises(UserError, match="text:3: 'a' is there twice"):
        read_table(tmp_path / "text")


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "does not exist"), (b"\n", "is empty"), (b"a \xff\xfe\n", "not UTF-8")],
)
def test_a_bad_table_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "text").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_table(tmp_path / "text")


@pytest.mark.parametrize(
    ("content", "message"), [('{"a":', "not valid JSON"), ("[]", "not a list")]
)
def test_broken_json_is_refused(tmp_path, content, message):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError, match=message):
        read_json(tmp_path / "a.json")


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "results.json"
    write_lines(path, ["old"])
    with pytest.raises(ValueError):
        write_json(path, {"rate": float("nan")})
    with pytest.raises(UserError, match="not Unicode"):
        write_lines(path, ["new", "\ud800"])
    assert path.read_text() == "old\n"
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]
