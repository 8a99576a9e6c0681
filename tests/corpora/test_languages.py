"""Which languages a corpus has, which of them are there, and what a list of them means."""

import logging

import pytest

from espnet_otreg.corpora import CORPORA, fleurs
from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table
from espnet_otreg.stages import prepare_data
from tests.support import corpus_trees as trees


def run(root, corpus, *languages, more=()):
    options = ["--corpus", corpus, "--root", str(root), "--output", str(root / "data")]
    prepare_data.main([*options, "--splits", "test", *more, "--languages", *languages])
    return set(read_table(root / "data" / f"{corpus}_test" / "utt2lang").values())


@pytest.mark.parametrize("corpus", trees.LAYOUTS)
def test_all_is_what_is_there(tmp_path, corpus):
    trees.plant(tmp_path, corpus, ["a"])
    language = trees.LAYOUTS[corpus].language
    assert CORPORA[corpus].languages(tmp_path) == [language]
    assert CORPORA[corpus].has_language(language)
    assert run(tmp_path, corpus, "all") == {language}
    (tmp_path / trees.LAYOUTS[corpus].folder).rename(tmp_path / ".gone")
    assert CORPORA[corpus].languages(tmp_path) == []
    with pytest.raises(
        SystemExit, match=rf"no language of {corpus} is in .*{CORPORA[corpus].VARIABLE}"
    ):
        run(tmp_path, corpus, "all")


def test_what_a_corpus_does_not_have_is_passed_over_and_said(tmp_path, caplog):
    trees.plant(tmp_path, "librispeech", ["a"])
    with caplog.at_level(logging.WARNING):
        assert run(tmp_path, "librispeech", "en es fr") == {"en"}
    assert "librispeech does not have es fr: passed over" in caplog.text


def test_none_that_a_corpus_has_is_an_error(tmp_path):
    trees.plant(tmp_path, "librispeech", ["a"])
    with pytest.raises(SystemExit, match=r"librispeech has none of the languages .*\(es fr\)"):
        run(tmp_path, "librispeech", "es", "fr")


def test_one_that_it_has_but_that_is_not_there_is_an_error_naming_the_place(tmp_path):
    trees.plant(tmp_path, "mls", ["a"])
    with pytest.raises(SystemExit, match=r"(?s)mls_german.*Set MLS in db.sh"):
        run(tmp_path, "mls", "fr", "de")


def test_a_covost2_language_without_split_tables_is_not_there(tmp_path):
    trees.plant(tmp_path, "covost2", ["a"])
    (tmp_path / "cv-corpus-4-2019-12-10/de/clips").mkdir(parents=True)
    assert CORPORA["covost2"].languages(tmp_path) == ["en"]
    assert not CORPORA["covost2"].has_language("nb")


def test_one_language_under_two_names_is_refused_before_anything_is_written(tmp_path):
    trees.plant(tmp_path, "fleurs", ["a", "b"])
    with pytest.raises(SystemExit, match=r"'en' and 'en_us' both have utterance fleurs-en-test-1;"):
        run(tmp_path, "fleurs", "en", "en_us")
    assert not (tmp_path / "data/fleurs_test").exists()
    assert run(tmp_path, "fleurs", "en", "en") == {"en"}  # one name twice is one language


def translated(root):
    """English into German, French into English and German, Catalan into German."""
    for language, targets in (("en", ["de"]), ("fr", ["en", "de"]), ("ca", ["de"])):
        clip = f"common_voice_{language}_1.mp3"
        tables = {target: [(clip, "T", "test")] for target in targets}
        trees.covost2(root, [("s1", clip, "a", "2")], tables, language=language)
    return root


TO_ENGLISH = ("--target", "en")


def test_all_with_a_target_is_what_is_translated_into_it(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        assert run(translated(tmp_path), "covost2", "all", more=TO_ENGLISH) == {"fr"}
    assert "covost2 with --target en: all languages present: fr" in caplog.text
    assert run(tmp_path, "covost2", "all", more=("--target", "de")) == {"en", "fr", "ca"}
    assert run(tmp_path, "covost2", "all") == {"en", "fr", "ca"}
    with pytest.raises(SystemExit, match="no language of covost2 with --target tr is in"):
        run(tmp_path, "covost2", "all", more=("--target", "tr"))


def test_the_target_itself_is_passed_over_and_a_table_that_is_absent_is_an_error(tmp_path, caplog):
    root = translated(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert run(root, "covost2", "en", "fr", more=TO_ENGLISH) == {"fr"}
    assert "covost2 with --target en does not have en: passed over" in caplog.text
    with pytest.raises(SystemExit, match=r"no covost_v2\.ca_en\.tsv; targets present: de"):
        run(root, "covost2", "fr", "ca", more=TO_ENGLISH)
    with pytest.raises(SystemExit, match=r"with --target en has none of .*\(en\)"):
        run(root, "covost2", "en", more=TO_ENGLISH)


def test_all_with_a_release_is_what_that_release_has(tmp_path):
    trees.plant(tmp_path, "commonvoice", ["a"])
    (tmp_path / "cv-corpus-18.0-2024-06-14/fr/clips").mkdir(parents=True)
    release = trees.LAYOUTS["commonvoice"].folder
    assert run(tmp_path, "commonvoice", "all", more=("--release", release)) == {"en"}
    languages = CORPORA["commonvoice"].languages
    assert languages(tmp_path, release="cv-corpus-18.0-2024-06-14") == ["fr"]
    assert languages(tmp_path) == ["en", "fr"]


@pytest.mark.parametrize("corpus", CORPORA)
def test_a_corpus_lists_its_languages_under_any_of_its_options(tmp_path, corpus):
    options = dict.fromkeys(CORPORA[corpus].OPTIONS, "x")
    assert CORPORA[corpus].languages(tmp_path, **options) == []


@pytest.mark.parametrize("code", ["es", "es_419", "zh", "zh-CN", "sv-SE", "no", "yue", "PT-br"])
def test_fleurs_knows_short_and_full_codes(code):
    assert fleurs.has_language(code)


def test_fleurs_completes_a_code_and_replaces_no_region():
    for code in fleurs.CODES.split():
        assert fleurs.full_code(code) == fleurs.full_code(code.split("_")[0]) == code
    assert [fleurs.full_code(code) for code in ("zh", "no", "sv-SE")] == [
        *("cmn_hans_cn", "nb_no", "sv_se")
    ]
    with pytest.raises(UserError, match="no 'en_gb'; of that language it has en_us"):
        fleurs.full_code("en_gb")


def test_fleurs_has_102_languages_and_gives_them_the_names_other_corpora_use(tmp_path):
    assert len(fleurs.CODES.split()) == 102
    assert not fleurs.has_language("tlh")
    for code in ("cmn_hans_cn", "nb_no", "es_419", "not_one"):
        (tmp_path / "data" / code).mkdir(parents=True)
    assert fleurs.languages(tmp_path) == ["zh", "es", "no"]
