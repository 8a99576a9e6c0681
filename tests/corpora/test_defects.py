"""The same defects in every corpus: each is mended, counted and listed, or a clear error."""

import unicodedata
from pathlib import Path

import pytest

from espnet_otreg.corpora import CORPORA
from espnet_otreg.corpora.record import by_category
from espnet_otreg.errors import UserError
from espnet_otreg.stages import format_audio, prepare_data
from tests.support import corpus_trees as trees

ALL = list(trees.LAYOUTS)
WITH_HEADER = [name for name in ALL if trees.LAYOUTS[name].header]
WITH_TABS = [*WITH_HEADER, "fleurs", "mls"]  # a tab ends a column
WITHOUT_TABS = [name for name in ALL if name not in WITH_TABS]

every = pytest.mark.parametrize("corpus", ALL)


def prepare(root, corpus, split="test", language=None):
    language = language or trees.LAYOUTS[corpus].language
    return CORPORA[corpus].prepare(root, language, split, root / "work")


def texts(root, corpus):
    prepared = prepare(root, corpus)
    assert not prepared.rejected
    return [record.text for record in prepared.records]


def one_rejected(root, corpus, kept=1):
    """The category of the one utterance that is not used."""
    prepared = prepare(root, corpus)
    assert len(prepared.records) == kept
    (entry,) = prepared.rejected
    return entry.reason.partition(":")[0], entry.where


def spelt(corpus, text):
    return text.replace(" ", "") if corpus == "aishell" else text


@every
def test_a_missing_clip_is_listed(tmp_path, corpus):
    trees.plant(tmp_path, corpus, ["a", "b"])[1].unlink()
    assert one_rejected(tmp_path, corpus)[0] == "missing clip"


@every
def test_a_recording_that_cannot_be_read_is_listed(tmp_path, corpus):
    clips = trees.plant(tmp_path / "in", corpus, ["a"] * 10)
    clips[4].write_bytes(bytes(range(1, 200)))
    options = ["--corpus", corpus, "--languages", trees.LAYOUTS[corpus].language]
    where = ["--root", str(tmp_path / "in"), "--output", str(tmp_path / "data")]
    prepare_data.main([*options, *where, "--splits", "test"])
    source, target = tmp_path / "data" / f"{corpus}_test", tmp_path / "out"
    format_audio.main(["--input", str(source), "--output", str(target), "--nj", "1"])
    (line,) = (target / "rejected.tsv").read_text().splitlines()
    assert clips[4].stem in line
    assert "\tunreadable: " in line
    assert len((target / "wav.scp").read_text().splitlines()) == 9


@every
def test_an_empty_sentence_is_listed(tmp_path, corpus):
    trees.plant(tmp_path, corpus, ["a", "  "])
    assert one_rejected(tmp_path, corpus)[0] == "empty sentence"


@pytest.mark.parametrize("corpus", WITH_TABS)
def test_a_tab_inside_a_sentence_is_listed_by_file_and_line(tmp_path, corpus):
    clips = trees.plant(tmp_path, corpus, ["a", "b\tc"])
    prepared = prepare(tmp_path, corpus)
    assert [record.text for record in prepared.records] == ["a"]
    table = trees.LAYOUTS[corpus].table(tmp_path)
    line = 3 if corpus in WITH_HEADER else 2
    assert f"{table}:{line}" in [entry.where for entry in prepared.rejected]
    assert by_category(prepared.rejected)["wrong number of columns"] == 1
    assert clips[0].is_file()


@pytest.mark.parametrize("corpus", WITHOUT_TABS)
def test_a_tab_is_a_space_where_spaces_end_columns(tmp_path, corpus):
    trees.plant(tmp_path, corpus, ["a", "b\tc"])
    assert texts(tmp_path, corpus) == ["a", spelt(corpus, "b c")]


@every
def test_quotes_and_words_for_missing_values_are_words(tmp_path, corpus):
    sentences = ['he said "yes', '"', "NA", "null", "nan", "None"]
    trees.plant(tmp_path, corpus, sentences)
    assert texts(tmp_path, corpus) == [spelt(corpus, sentence) for sentence in sentences]


@every
@pytest.mark.parametrize("ends", [{"end": "\r\n"}, {"start": "\ufeff"}])
def test_line_ends_and_byte_order_marks_do_not_matter(tmp_path, corpus, ends):
    trees.plant(tmp_path, corpus, ["a", "b"], **ends)
    assert texts(tmp_path, corpus) == ["a", "b"]


@every
@pytest.mark.parametrize("start", ["\ufeff\n", "\ufeff\r\n", "\n \n"])
def test_blank_lines_at_the_start_do_not_matter_with_a_byte_order_mark_or_without(
    tmp_path, corpus, start
):
    trees.plant(tmp_path, corpus, ["a", "b"], start=start)
    assert texts(tmp_path, corpus) == ["a", "b"]


@pytest.mark.parametrize("corpus", WITH_HEADER)
@pytest.mark.parametrize("content", ["", "\ufeff", "\ufeff\r\n"])
def test_a_table_of_nothing_but_blank_lines_is_an_error_that_names_it(tmp_path, corpus, content):
    trees.plant(tmp_path, corpus, ["a"])
    table = trees.write_table(trees.LAYOUTS[corpus].table(tmp_path), [], start=content)
    with pytest.raises(UserError, match=rf"{table.name}:1: .* header line, but the file is empty"):
        prepare(tmp_path, corpus)


@every
def test_text_is_composed(tmp_path, corpus):
    trees.plant(tmp_path, corpus, [unicodedata.normalize("NFD", "é한")])
    assert texts(tmp_path, corpus) == ["é한"]


@pytest.mark.parametrize("corpus", WITH_HEADER)
def test_columns_are_found_by_name_in_any_order_and_with_any_others(tmp_path, corpus):
    (clip,) = trees.plant(tmp_path, corpus, ["a"])
    header = ("sentence_id", "sentence", "locale", "client_id", "age", "path")
    row = ("x", "a", "en", "s9", "", clip.name)
    trees.write_table(trees.LAYOUTS[corpus].table(tmp_path), [header, row])
    (record,) = prepare(tmp_path, corpus).records
    assert (record.text, record.speaker, Path(record.audio)) == ("a", "s9", clip)


@pytest.mark.parametrize("corpus", WITH_HEADER)
def test_a_header_without_a_needed_column_names_file_line_and_column(tmp_path, corpus):
    trees.plant(tmp_path, corpus, ["a"])
    table = trees.LAYOUTS[corpus].table(tmp_path)
    trees.write_table(table, [("client_id", "path", "text")])
    with pytest.raises(UserError, match=rf"{table.name}:1: the header has no column sentence"):
        prepare(tmp_path, corpus)


@pytest.mark.parametrize("corpus", WITH_HEADER)
def test_a_header_that_names_a_needed_column_twice_names_file_line_and_columns(tmp_path, corpus):
    (clip,) = trees.plant(tmp_path, corpus, ["a"])
    row = trees.LAYOUTS[corpus].row(clip, "a")
    header = (*trees.LAYOUTS[corpus].header, "age", "age")  # which nobody needs
    table = trees.LAYOUTS[corpus].table(tmp_path)
    trees.write_table(table, [header, (*row, "", "")])
    assert texts(tmp_path, corpus) == ["a"]
    trees.write_table(table, [(*trees.LAYOUTS[corpus].header, "sentence "), (*row, "b")])
    message = rf"{table.name}:1: expected one column sentence, but columns 3 and 5 have that name"
    with pytest.raises(UserError, match=message):
        prepare(tmp_path, corpus)


@pytest.mark.parametrize("corpus", ["fleurs", "mls"])
def test_a_column_too_many_is_listed_where_columns_have_no_names(tmp_path, corpus):
    clips = trees.plant(tmp_path, corpus, ["a", "b"])
    row = trees.LAYOUTS[corpus].row
    rows = [row(clips[0], "a"), (*row(clips[1], "b"), "more")]
    table = trees.write_rows(tmp_path, corpus, rows)
    assert one_rejected(tmp_path, corpus) == ("wrong number of columns", f"{table}:2")


@every
def test_a_path_that_is_there_twice_alike_is_counted(tmp_path, corpus):
    (clip,) = trees.plant(tmp_path, corpus, ["a"])
    row = trees.LAYOUTS[corpus].row(clip, "a")
    trees.write_rows(tmp_path, corpus, [row, row])
    assert texts(tmp_path, corpus) == ["a"]
    assert prepare(tmp_path, corpus).notes["identical duplicate rows"] == 1


@pytest.mark.parametrize("corpus", ["fleurs", "mls"])
def test_a_broken_line_costs_a_path_that_is_there_again_nothing_but_the_line(tmp_path, corpus):
    (clip,) = trees.plant(tmp_path, corpus, ["a"])
    row = trees.LAYOUTS[corpus].row(clip, "a")
    table = trees.write_rows(tmp_path, corpus, [(*row, "more"), row])
    assert one_rejected(tmp_path, corpus) == ("wrong number of columns", f"{table}:1")


@every
def test_a_path_with_two_sentences_has_none_and_is_listed(tmp_path, corpus):
    clips = trees.plant(tmp_path, corpus, ["a", "b"])
    rows = [trees.LAYOUTS[corpus].row(*pair) for pair in zip(clips, "ab", strict=True)]
    rows.append(trees.LAYOUTS[corpus].row(clips[0], "c"))
    trees.write_rows(tmp_path, corpus, rows)
    reason, _ = one_rejected(tmp_path, corpus)
    assert reason in ("conflicting duplicate", "two different transcripts")


@every
def test_a_wrong_split_name_is_an_error_that_names_the_right_ones(tmp_path, corpus):
    trees.plant(tmp_path, corpus, ["a"])
    splits = trees.LAYOUTS[corpus].splits
    with pytest.raises(UserError, match=rf"no split 'valid'; its splits are {splits}"):
        prepare(tmp_path, corpus, split="valid")


@every
def test_an_absent_language_folder_is_an_error_that_says_where_it_should_be(tmp_path, corpus):
    trees.plant(tmp_path, corpus, ["a"])
    folder = trees.LAYOUTS[corpus].folder
    (tmp_path / folder).rename(tmp_path / ".elsewhere")  # any other name is looked into
    with pytest.raises(UserError) as error:
        prepare(tmp_path, corpus)
    shown = "cv-corpus-<release>" if corpus == "commonvoice" else folder  # of any release
    assert str(tmp_path / shown) in str(error.value)
    assert f"Set {CORPORA[corpus].VARIABLE} in db.sh" in str(error.value)


@every
def test_a_table_that_is_not_utf8_is_listed_by_its_line(tmp_path, corpus):
    trees.plant(tmp_path, corpus, ["a"])
    table = trees.LAYOUTS[corpus].table(tmp_path)
    content = table.read_bytes()
    table.write_bytes(content + "déjà\n".encode("latin-1"))
    reason, where = one_rejected(tmp_path, corpus)
    assert reason.startswith("not UTF-8")
    assert where == f"{table}:{len(content.splitlines()) + 1}"
