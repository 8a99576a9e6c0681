"""ESPnet's asr.sh with tokens that are a language model's pieces."""

import os
from pathlib import Path

import pytest
from espnet2.bin import asr_inference as stock

from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.files import read_table, write_lines
from espnet_otreg.pretrained.masked_lm import LMTokenizer
from espnet_otreg.stages import asr_inference, transfer_asr_sh
from tests.support.tiny_lm import SENTENCES

ASR_SH = ["./asr.sh", "--stage", "2", "--inference_args", "--ctc_weight 1.0", "--lang", "fr"]


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Two data directories, one with what has no pieces; what is started in the end."""
    monkeypatch.chdir(tmp_path)
    for name, texts in {"train": {**SENTENCES, "u6": "钥匙"}, "dev": SENTENCES}.items():
        tables = {
            table: {utt: value.format(utt) for utt in texts}
            for table, value in {"wav.scp": "/{}.wav", "utt2spk": "{}", "utt2lang": "fr"}.items()
        }
        DataDir({**tables, "text": dict(texts)}).save(tmp_path / name)
    found = []

    def become(program, words):
        assert program == words[0]
        found.append(words[1:])
        raise SystemExit

    monkeypatch.setattr(os, "execvp", become)
    return found


def run(lm, *command):
    transfer_asr_sh.main(
        ["--lm", str(lm), "--train", "train", "--valid", "dev", "--", *(command or ASR_SH)]
    )


def test_asr_sh_is_started_with_pieces_for_words_and_with_its_own_options(lm, started):
    with pytest.raises(SystemExit):
        run(lm)
    data = DataDir.load(Path("train_pieces"))
    data.validate(Path("train_pieces"))
    assert data.ids == sorted(SENTENCES)
    tokenizer = LMTokenizer(lm)
    pieces = {utt: tokenizer.join(row.split()) for utt, row in data.tables["text"].items()}
    assert pieces == SENTENCES != data.tables["text"]
    assert read_table(Path("train_pieces/rejected.tsv")).keys() == {"u6"}
    assert read_table(Path("train/text"))["u6"]  # as it was
    (words,) = started
    given = dict(zip(words[::2], words[1::2], strict=True))
    assert given == {
        "--stage": "2",
        "--lang": "fr",
        "--inference_args": "--ctc_weight 1.0 --join_pieces",  # no slash: it names a folder
        "--asr_args": f"--model_conf transfer_conf.language_model={lm}",
        "--train_set": "train_pieces",
        "--valid_set": "dev_pieces",
        "--token_type": "word",
        "--python": "python3 -m espnet_otreg.shim",
    }


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["./asr.sh", "--token_type", "bpe"], "leave --token_type out"),
        (["./asr.sh", "--asr_args"], "--asr_args of asr.sh needs a value"),
    ],
)
def test_options_of_asr_sh_that_contradict_are_refused_before_anything_is_written(
    lm, started, command, told
):
    with pytest.raises(SystemExit, match=told):
        run(lm, *command)
    assert not started and not Path("train_pieces").exists()


def test_decoding_writes_words_where_it_is_told_the_language_model(lm, tmp_path, monkeypatch):
    tokenizer = LMTokenizer(lm)
    folder = tmp_path / "1best_recog"
    passed = []

    def decode(cmd):
        passed.append(cmd)
        pieces = {utt: " ".join(tokenizer.split(text)) for utt, text in SENTENCES.items()}
        for name in ("token", "text"):
            write_lines(folder / name, [*(f"{utt} {row}" for utt, row in pieces.items()), "u9"])

    monkeypatch.setattr(stock, "main", decode)
    files = ["--asr_train_config", "c", "--asr_model_file", "m", "--key_file", "k"]
    given = [
        *files,
        "--output_dir",
        str(tmp_path),
        "--data_path_and_name_and_type",
        "w,speech,sound",
    ]
    asr_inference.main([*given, "--join_pieces", str(lm), "--beam_size", "3"])
    assert passed == [[*given, "--beam_size", "3"]]
    assert read_table(folder / "text") == {**SENTENCES, "u9": ""}
    assert read_table(folder / "token")["u4"] == " ".join(tokenizer.split(SENTENCES["u4"]))
    asr_inference.main(given)
    assert read_table(folder / "text") == read_table(folder / "token")


@pytest.mark.parametrize("place", ["before", "last"])
def test_decoding_takes_the_language_model_that_the_training_was_taught_by(
    lm, tmp_path, monkeypatch, place
):
    passed = []
    joined = []
    monkeypatch.setattr(stock, "main", lambda cmd: passed.append(cmd))
    monkeypatch.setattr(asr_inference, "join_pieces", lambda *given: joined.append(given))
    config = tmp_path / "config.yaml"
    config.write_text(f"model_conf: {{transfer_conf: {{language_model: {lm}}}}}")
    given = ["--asr_train_config", str(config), "--output_dir", str(tmp_path), "--key_file", "k"]
    given += ["--asr_model_file", "m", "--data_path_and_name_and_type", "w,speech,sound"]
    ours = ["--join_pieces"]
    asr_inference.main([*ours, *given] if place == "before" else [*given, *ours])
    assert passed == [given]
    assert joined == [(str(lm), tmp_path)]
    config.write_text("model_conf: {ctc_weight: 1.0}")
    with pytest.raises(SystemExit, match=r"error: .*names no .*: give .*--join_pieces LM"):
        asr_inference.main([*given, *ours])
    assert len(passed) == 1  # before anything is decoded
