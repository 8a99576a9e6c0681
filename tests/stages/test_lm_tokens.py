"""Pieces and vocabulary of a masked language model, as a command."""

import pytest

from espnet_otreg.files import read_table, write_lines
from espnet_otreg.pretrained.masked_lm import LMTokenizer
from espnet_otreg.stages import lm_tokens
from tests.support.tiny_lm import SENTENCES, make_pieces


def token_list(output, *texts, check=()):
    options = ["--token_list", str(output)]
    if texts:
        options += ["--text", *map(str, texts)]
    if check:
        options += ["--check", *map(str, check)]
    lm_tokens.main(options)
    return output.read_text(encoding="utf-8").splitlines()


def test_text_to_pieces_and_back_is_the_same_text(lm, pieces, tmp_path):
    assert any(len(row.split()) > 5 for row in read_table(pieces).values())
    back = make_pieces(lm, pieces, tmp_path / "back", "--inverse")
    assert read_table(back) == SENTENCES


def test_an_empty_hypothesis_stays_an_utterance(lm, tmp_path):
    write_lines(tmp_path / "decoded", ["u1 ▁the", "u2"])
    assert read_table(make_pieces(lm, tmp_path / "decoded", tmp_path / "back", "--inverse")) == {
        "u1": "the",
        "u2": "",
    }


def test_utterances_without_pieces_are_listed_with_the_reason(lm, tmp_path, caplog):
    long = " ".join(["the"] * 60)
    write_lines(tmp_path / "text", ["u1 the key", "u2 the 钥匙", "u3", f"u4 {long}", "u5 [MASK]"])
    output = make_pieces(lm, tmp_path / "text", tmp_path / "pieces" / "text")
    assert read_table(output).keys() == {"u1"}
    rejected = read_table(output.parent / "rejected.tsv")
    assert rejected.keys() == {"u2", "u3", "u4", "u5"}
    assert "[UNK]" in rejected["u2"] and "钥匙" in rejected["u2"]
    assert "empty" in rejected["u3"]
    assert "the language model takes 38" in rejected["u4"]
    assert "[MASK]" in rejected["u5"]
    assert "4 utterances rejected" in caplog.text


def test_a_language_that_the_model_cannot_write_is_one_clear_error(lm, tmp_path):
    write_lines(tmp_path / "text", ["u1 钥匙", "u2 国王"])
    with pytest.raises(SystemExit, match="no sentence can be said in pieces"):
        make_pieces(lm, tmp_path / "text", tmp_path / "pieces" / "text")
    assert not (tmp_path / "pieces" / "text").exists()


def test_text_that_does_not_come_back_is_told(lm, tmp_path, caplog, monkeypatch):
    write_lines(tmp_path / "text", ["u1 the key"])
    monkeypatch.setattr(LMTokenizer, "join", lambda self, pieces: "thekey")
    make_pieces(lm, tmp_path / "text", tmp_path / "out" / "text")
    assert "the pieces of 1 utterances do not give back the same text" in caplog.text


def test_the_vocabulary_is_what_occurs_by_frequency_then_alphabet(tmp_path):
    write_lines(tmp_path / "a", ["u1 ▁b ▁c ▁a", "u2 ▁c é"])
    write_lines(tmp_path / "b", ["u1 ▁c ▁a"])
    listed = token_list(tmp_path / "tokens.txt", tmp_path / "a", tmp_path / "b")
    assert listed == ["<blank>", "<unk>", "▁c", "▁a", "é", "▁b", "<sos/eos>"]


def test_pieces_that_a_later_set_needs_are_counted_and_named(tmp_path, caplog):
    write_lines(tmp_path / "train", ["u1 ▁a ▁b"])
    write_lines(tmp_path / "test", ["t1 ▁a ▁x", "t2 ▁x ▁b ▁y"])
    token_list(tmp_path / "tokens.txt", tmp_path / "train", check=[tmp_path / "test"])
    lines = (tmp_path / "missing_pieces.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t")[1:] for line in lines]
    assert rows == [["▁x", "2", "t1"], ["▁y", "1", "t2"]]
    assert "3 of 5 pieces (2 different)" in caplog.text
    assert "▁x ▁y" in caplog.text


def test_a_set_can_be_checked_against_a_list_made_before(tmp_path):
    write_lines(tmp_path / "train", ["u1 ▁a ▁b"])
    before = token_list(tmp_path / "tokens.txt", tmp_path / "train")
    assert token_list(tmp_path / "tokens.txt", check=[tmp_path / "train"]) == before
    assert (tmp_path / "missing_pieces.tsv").read_text() == ""


def test_espnets_own_symbols_in_a_text_are_refused(tmp_path):
    write_lines(tmp_path / "train", ["u1 ▁a <unk>"])
    with pytest.raises(SystemExit, match="the texts hold <unk>"):
        token_list(tmp_path / "tokens.txt", tmp_path / "train")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "nothing to do"),
        (["--input", "a", "--lm", "x"], "go together"),
        (["--input", "a", "--output", "b"], "needs --lm"),
        (["--input", "a", "--output", "./a", "--lm", "x"], "choose another file"),
        (["--inverse", "--text", "a", "--token_list", "b"], "--inverse needs"),
        (["--text", "a"], "need --token_list"),
        (["--check", "a", "--token_list", "nowhere"], "does not exist"),
    ],
)
def test_options_that_do_not_fit_together_are_told(options, message):
    with pytest.raises(SystemExit, match=message):
        lm_tokens.main(options)
