import pytest

from espnet_otreg.corpora import covost2
from espnet_otreg.corpora.record import Rejected, by_category
from espnet_otreg.errors import UserError
from tests.support import corpus_trees as trees


def sentence(clip: str, text: str, speaker: str = "s1") -> tuple[str, ...]:
    return (speaker, clip, text, "2")


def prepare(root, split="train", language="en", **options):
    return covost2.prepare(root, language, split, root / "work", **options)


def texts(prepared) -> dict[str, str]:
    return {record.utt_id: record.text for record in prepared.records}


def test_a_split_is_the_union_over_targets(tmp_path):
    sentences = [sentence(f"{name}.mp3", name) for name in "abc"]
    german = [("a.mp3", "A", "train"), ("b.mp3", "B", "train"), ("c.mp3", "C", "test")]
    root = trees.covost2(tmp_path, sentences, {"de": german, "ca": german[:1]})
    assert texts(prepare(root)) == {"covost2-en-train-a": "a", "covost2-en-train-b": "b"}
    assert texts(prepare(root, "test")) == {"covost2-en-test-c": "c"}


def test_clips_that_covost_added_to_the_training_set_belong_to_it(tmp_path):
    root = trees.covost2(
        tmp_path, [sentence("a.mp3", "a")], {"de": [("a.mp3", "A", "train_covost")]}
    )
    assert list(texts(prepare(root))) == ["covost2-en-train-a"]


def test_translations_are_kept_for_one_target_or_for_the_one_asked_for(tmp_path):
    one, two = [("a.mp3", "eins", "train")], [("a.mp3", "un", "train")]
    root = trees.covost2(tmp_path, [sentence("a.mp3", "one")], {"de": one})
    record = prepare(root).records[0]
    assert (record.translation, record.target, record.speaker) == ("eins", "de", "s1")
    trees.write_table(root / "covost_v2.en_ca.tsv", [trees.SPLIT, *two])
    assert prepare(root).records[0].translation is None
    assert prepare(root, target="ca").records[0].translation == "un"
    with pytest.raises(UserError, match=r"covost_v2.en_tr.tsv; targets present: ca, de"):
        prepare(root, target="tr")


def test_a_clip_in_two_splits_is_an_error_naming_it(tmp_path):
    tables = {"de": [("a.mp3", "A", "train")], "ca": [("a.mp3", "A", "test")]}
    root = trees.covost2(tmp_path, [sentence("a.mp3", "a")], tables)
    with pytest.raises(UserError, match=r"a\.mp3 is in split 'test' at .*ca.tsv:2 .*'train' at"):
        prepare(root)


def test_quotes_and_missing_value_words_are_kept_literally(tmp_path):
    words = {"a": 'he said "yes', "b": "NA", "c": "null", "d": '"quoted" nan', "e": "None"}
    root = trees.covost2(
        tmp_path,
        [sentence(f"{name}.mp3", text) for name, text in words.items()],
        {"de": [(f"{name}.mp3", '"', "train") for name in words]},
    )
    prepared = prepare(root)
    assert list(texts(prepared).values()) == list(words.values())
    assert not prepared.rejected


@pytest.mark.parametrize("order", ["path client_id new sentence", "sentence new client_id path"])
def test_line_ends_byte_order_mark_and_column_order_do_not_matter(tmp_path, order):
    root = trees.covost2(tmp_path, [sentence("a.mp3", "x")], {"de": [("a.mp3", "A", "train")]})
    table = root / "cv-corpus-4-2019-12-10" / "en" / "validated.tsv"
    row = {"path": "a.mp3", "client_id": "me", "new": "", "sentence": "u\u0308ber"}
    names = tuple(order.split())
    trees.write_table(
        table, [names, tuple(row[name] for name in names)], end="\r\n", start="\ufeff"
    )
    record = prepare(root).records[0]
    assert (record.text, record.speaker) == ("über", "me")  # composed


def test_a_line_with_a_tab_too_many_is_listed_with_file_and_line(tmp_path):
    sentences = [sentence("a.mp3", "good"), (*sentence("b.mp3", "one\ttwo"),)]
    root = trees.covost2(
        tmp_path, sentences, {"de": [("a.mp3", "A", "train"), ("b.mp3", "B", "train")]}
    )
    prepared = prepare(root)
    assert list(texts(prepared)) == ["covost2-en-train-a"]
    (entry,) = prepared.rejected
    assert entry.where.endswith("validated.tsv:3")
    assert entry.reason.startswith("wrong number of columns: 5 instead of 4")


def test_a_broken_line_of_the_split_table_is_listed_in_its_split(tmp_path):
    tables = {"de": [("a.mp3", "A", "train"), ("a.mp3", "b\tb", "test"), ("a.mp3", "A", "?")]}
    root = trees.covost2(tmp_path, [sentence("a.mp3", "a")], tables)
    assert by_category(prepare(root).rejected) == {"unknown split": 1}
    assert by_category(prepare(root, "test").rejected) == {
        "unknown split": 1,
        "wrong number of columns": 1,
    }


def test_identical_duplicates_are_counted_and_conflicting_ones_listed(tmp_path):
    sentences = [sentence("a.mp3", "a")] * 3 + [sentence("b.mp3", "b"), sentence("b.mp3", "B")]
    rows = [("a.mp3", "A", "train"), ("a.mp3", "A", "train"), ("b.mp3", "B", "train")]
    prepared = prepare(trees.covost2(tmp_path, sentences, {"de": rows}))
    assert list(texts(prepared)) == ["covost2-en-train-a"]
    assert prepared.notes == {"identical duplicate rows": 3}  # two sentences, one split row
    assert by_category(prepared.rejected) == {"conflicting duplicate": 1}


def test_two_translations_of_one_clip_are_a_conflict(tmp_path):
    rows = [("a.mp3", "A", "train"), ("a.mp3", "B", "train"), ("b.mp3", "B", "train")]
    sentences = [sentence("a.mp3", "a"), sentence("b.mp3", "b")]
    prepared = prepare(trees.covost2(tmp_path, sentences, {"de": rows}))
    assert list(texts(prepared)) == ["covost2-en-train-b"]
    assert "a.mp3" in prepared.rejected[0].reason


def two_targets(root, german, catalan):
    """Clips a and b, dev; German is given, Catalan too."""
    tables = {
        target: [(f"{clip}.mp3", text, "dev") for clip, text in rows]
        for target, rows in (("de", german), ("ca", catalan))
    }
    return trees.covost2(root, [sentence(f"{clip}.mp3", clip) for clip in "ab"], tables)


@pytest.mark.parametrize("catalan", [["a", "x"], ["a", "x", "b", ""], ["a", "x", "b", " "]])
def test_an_utterance_without_the_translation_asked_for_is_listed(tmp_path, catalan):
    pairs = list(zip(catalan[::2], catalan[1::2], strict=True))
    root = two_targets(tmp_path, [("a", "A"), ("b", "B")], pairs)
    prepared = prepare(root, "dev", target="ca")
    assert [record.translation for record in prepared.records] == ["x"]
    assert prepared.rejected == [Rejected("covost2-en-dev-b", "no translation")]
    assert list(texts(prepare(root, "dev")).values()) == ["a", "b"]  # recognition needs none


def test_two_translations_into_another_language_cost_no_utterance(tmp_path):
    root = two_targets(tmp_path, [("a", "A"), ("a", "Ah"), ("b", "B")], [("a", "x"), ("b", "y")])
    noted = {"clips with two translations into de, which are not used": 1}
    for prepared in (prepare(root, "dev", target="ca"), prepare(root, "dev")):
        assert list(texts(prepared).values()) == ["a", "b"]
        assert prepared.notes == noted
        assert not prepared.rejected
    concerned = prepare(root, "dev", target="de")
    assert list(texts(concerned).values()) == ["b"]
    assert by_category(concerned.rejected) == {"conflicting duplicate": 1}


def test_two_splits_of_a_clip_are_an_error_whatever_the_target(tmp_path):
    root = two_targets(tmp_path, [("a", "A")], [("a", "x"), ("b", "y")])
    rows = [("a.mp3", "A", "dev"), ("a.mp3", "A", "test")]
    trees.write_table(root / "covost_v2.en_de.tsv", [trees.SPLIT, *rows])
    with pytest.raises(UserError, match=r"a\.mp3 is in split"):
        prepare(root, "dev", target="ca")


def test_every_clip_of_a_split_is_either_used_or_listed(tmp_path):
    sentences = [sentence("a.mp3", "a"), sentence("b.mp3", "  "), sentence("c.mp3", "c")]
    rows = [(f"{name}.mp3", "T", "dev") for name in "abcd"]
    root = trees.covost2(tmp_path, sentences, {"de": rows})
    (root / "cv-corpus-4-2019-12-10" / "en" / "clips" / "c.mp3").unlink()
    prepared = prepare(root, "dev")
    assert list(texts(prepared)) == ["covost2-en-dev-a"]
    assert by_category(prepared.rejected) == {
        "empty sentence": 1,
        "missing clip": 1,
        "no sentence": 1,
    }


def test_a_clip_name_cannot_lead_out_of_the_folder(tmp_path):
    root = trees.covost2(
        tmp_path, [sentence("../x.mp3", "x")], {"de": [("../x.mp3", "X", "train")]}
    )
    prepared = prepare(root)
    assert not prepared.records
    assert "not a plain file name" in prepared.rejected[0].reason


def test_a_table_that_is_not_utf8_is_listed_by_line(tmp_path):
    root = trees.covost2(tmp_path, [sentence("a.mp3", "a")], {"de": [("a.mp3", "A", "train")]})
    table = root / "cv-corpus-4-2019-12-10" / "en" / "validated.tsv"
    table.write_bytes(table.read_bytes() + "s\tb.mp3\tdéjà\t1\n".encode("latin-1"))
    prepared = prepare(root)
    assert len(prepared.records) == 1
    assert prepared.rejected[0].where.endswith("validated.tsv:3")
    assert prepared.rejected[0].reason.startswith("not UTF-8")


def test_an_absent_corpus_says_what_where_and_which_variable(tmp_path):
    with pytest.raises(UserError) as error:
        prepare(tmp_path, language="xx")
    for part in ("Common Voice 4.0 for 'xx'", str(tmp_path / "xx"), "COVOST2", "zh-CN"):
        assert part in str(error.value)


def test_absent_split_tables_say_where_they_were_looked_for(tmp_path):
    root = trees.covost2(tmp_path, [sentence("a.mp3", "a")], {})
    with pytest.raises(UserError, match=r"covost_v2\.en_<target>\.tsv"):
        prepare(root)


def test_a_header_without_the_needed_column_says_which(tmp_path):
    header = ("client_id", "path", "text", "up_votes")
    tables = {"de": [("a.mp3", "A", "train")]}
    root = trees.covost2(tmp_path, [sentence("a.mp3", "a")], tables, header=header)
    with pytest.raises(UserError, match=r"validated\.tsv:1: the header has no column sentence"):
        prepare(root)


def test_layouts_without_release_folder_and_with_tables_beside_the_clips_are_found(tmp_path):
    root = trees.covost2(tmp_path, [sentence("a.mp3", "a")], {"de": [("a.mp3", "A", "train")]})
    (root / "cv-corpus-4-2019-12-10" / "en").rename(root / "en")
    (root / "covost_v2.en_de.tsv").rename(root / "en" / "covost_v2.en_de.tsv")
    assert len(prepare(root).records) == 1


def test_other_releases_beside_release_4_are_passed_over(tmp_path):
    root = trees.covost2(tmp_path, [sentence("a.mp3", "a")], {"de": [("a.mp3", "A", "train")]})
    (root / "cv-corpus-9.0" / "en" / "clips").mkdir(parents=True)
    assert "cv-corpus-4" in str(prepare(root).records[0].audio)
    (root / "cv-corpus-4-2019-12-10").rename(root / "cv-corpus-8.0")
    with pytest.raises(UserError, match="several Common Voice releases"):
        prepare(root)


def test_archives_as_mozillas_client_unpacks_them_and_wav_copies_are_read(tmp_path):
    tables = {"de": [("a.mp3", "A", "train")]}
    root = trees.covost2(tmp_path, [sentence("a.mp3", "a")], tables)
    release = root / "cv-corpus-4-2019-12-10"
    (root / "archive").mkdir()
    release.rename(root / "archive" / release.name)
    home = root / "archive" / release.name / "en"
    (home / "clips").rename(home / "clips_16k")
    (home / "clips_16k/a.mp3").rename(home / "clips_16k/a.wav")
    assert covost2.languages(root) == ["en"]
    (record,) = prepare(root).records
    assert (record.utt_id, record.audio) == ("covost2-en-train-a", f"{home}/clips_16k/a.wav")
    (root / "covost_v2.en_de.tsv").rename(home / "covost_v2.en_de.tsv")
    assert prepare(root).records == [record]


def test_release_4_in_two_places_is_an_error_that_lists_both(tmp_path):
    root = trees.covost2(tmp_path, [sentence("a.mp3", "a")], {"de": [("a.mp3", "A", "train")]})
    (root / "x" / "cv-corpus-4-2019-12-10" / "en" / "clips").mkdir(parents=True)
    with pytest.raises(UserError, match=r": x/cv-corpus-4-2019-12-10, cv-corpus-4-2019-12-10\."):
        prepare(root)
