"""Stages 5 and 10: the vocabulary, and the shape files ESPnet batches by."""

import random

import pytest
import sentencepiece

from espnet_otreg.files import read_table, write_lines
from espnet_otreg.stages import shapes, token_list


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "set"
    words = ["alma", "brave", "corde", "dunes", "étoile", "niño", "garden", "house"]
    chooser = random.Random(0)
    sentences = [" ".join(chooser.choices(words, k=5)) for _ in range(200)]
    write_lines(folder / "text", [f"u{i:03} {s}" for i, s in enumerate(sentences)])
    write_lines(folder / "utt2num_samples", [f"u{i:03} {16000 + i}" for i in range(200)])
    return folder


@pytest.fixture
def tokens(data, tmp_path):
    output = tmp_path / "tokens"
    token_list.main(["--text", str(data / "text"), "--output", str(output), "--nbpe", "30"])
    return output


def test_the_token_list_is_espnets_and_covers_the_model(tokens):
    names = (tokens / "tokens.txt").read_text(encoding="utf-8").splitlines()
    model = sentencepiece.SentencePieceProcessor(model_file=str(tokens / "bpe.model"))
    assert names[:2] == ["<blank>", "<unk>"]
    assert names[-1] == "<sos/eos>"
    assert len(names) == len(set(names))
    assert set(model.encode("alma étoile niño", out_type=str)) <= set(names)
    assert not list(tokens.glob("*partial*"))


def test_characters_can_be_the_tokens(data, tmp_path):
    token_list.main(
        ["--text", str(data / "text"), "--output", str(tmp_path), "--token_type", "char"]
    )
    names = (tmp_path / "tokens.txt").read_text(encoding="utf-8").splitlines()
    assert names[:3] == ["<blank>", "<unk>", "<space>"]
    assert "é" in names


def test_too_many_pieces_for_a_small_text_is_a_clear_error(data, tmp_path):
    with pytest.raises(SystemExit, match=r"could not learn 5000 pieces.*--nbpe"):
        token_list.main(["--text", str(data / "text"), "--output", str(tmp_path), "--nbpe", "5000"])
    assert not (tmp_path / "bpe.model").exists()


def run_shapes(data, tokens, output, *more):
    names = ["--token_list", str(tokens / "tokens.txt"), "--bpemodel", str(tokens / "bpe.model")]
    shapes.main(["--data", str(data), *names, "--output", str(output), *more])
    return output / data.name


def test_shapes_are_the_samples_and_the_token_counts(data, tokens, tmp_path):
    made = run_shapes(data, tokens, tmp_path / "stats")
    assert read_table(made / "speech_shape") == read_table(data / "utt2num_samples")
    model = sentencepiece.SentencePieceProcessor(model_file=str(tokens / "bpe.model"))
    vocabulary = len((tokens / "tokens.txt").read_text(encoding="utf-8").splitlines())
    sentence = read_table(data / "text")["u007"]
    assert read_table(made / "text_shape")["u007"] == f"{len(model.encode(sentence))},{vocabulary}"


def test_more_tokens_than_frames_is_listed_and_not_trained_on(data, tokens, tmp_path):
    samples = read_table(data / "utt2num_samples")
    samples["u003"] = "800"  # one frame at 20 a second
    write_lines(data / "utt2num_samples", [f"{utt} {n}" for utt, n in samples.items()])
    made = run_shapes(data, tokens, tmp_path / "stats", "--frames_per_second", "20")
    assert set(read_table(data / "text")) - set(read_table(made / "speech_shape")) == {"u003"}
    assert read_table(made / "text_shape").keys() == read_table(made / "speech_shape").keys()
    assert "for 1 frames" in read_table(made / "rejected.tsv")["u003"]


def test_equal_neighbours_need_a_blank_between_them(data, tmp_path):
    write_lines(data / "text", ["u1 aaaa", "u2 abab"])
    write_lines(data / "utt2num_samples", ["u1 3200", "u2 3200"])  # four frames at 20 a second
    token_list.main(
        ["--text", str(data / "text"), "--output", str(tmp_path), "--token_type", "char"]
    )
    options = ["--token_list", str(tmp_path / "tokens.txt"), "--frames_per_second", "20"]
    options += ["--token_type", "char"]
    shapes.main(["--data", str(data), *options, "--output", str(tmp_path / "stats")])
    assert set(read_table(tmp_path / "stats" / data.name / "speech_shape")) == {"u2"}


def test_tables_that_disagree_are_named(data, tokens, tmp_path):
    write_lines(data / "text", [f"u{i:03} alma" for i in range(199)])
    with pytest.raises(SystemExit, match="differ in 1 utterances, first u199"):
        run_shapes(data, tokens, tmp_path / "stats")


def test_a_text_of_its_own_counts_words_and_lists_what_it_lacks(data, tmp_path):
    tokens, text = tmp_path / "tokens.txt", tmp_path / "pieces" / "text"
    write_lines(tokens, ["<blank>", "<unk>", "al", "##ma", "<sos/eos>"])
    kept = sorted(read_table(data / "text"))[1:]
    write_lines(text, [f"{utt} al ##ma al" for utt in kept])
    options = ["--text", str(text), "--token_list", str(tokens), "--token_type", "word"]
    shapes.main(["--data", str(data), *options, "--output", str(tmp_path / "stats")])
    made = tmp_path / "stats" / data.name
    assert read_table(made / "text_shape") == dict.fromkeys(kept, "3,5")
    assert f"not in {text}" in read_table(made / "rejected.tsv")["u000"]
