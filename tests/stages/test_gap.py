"""The command on tiny trained models: page, JSON and pictures for the same utterances of all."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_otreg.files import write_lines
from espnet_otreg.measure.gap_measures import MEASURES
from espnet_otreg.measure.gap_of_models import shared_conf, spread
from espnet_otreg.stages import gap
from tests.support.tiny_models import TOKENS
from tests.support.tiny_speech import save_experiment

WORDS = ["badge", "fig", "cab", "deaf", "hide", "mop", "bead", "chop"]
CUT = dict.fromkeys(("bpemodel", "non_linguistic_symbols", "cleaner", "g2p"))
CHARACTERS = {"use_preprocessor": True, "token_type": "char", **CUT}


@pytest.fixture(scope="module")
def experiments(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exp")
    save_experiment(folder / "stock", "transformer", **CHARACTERS)
    conf = {"ctc_weight": 0.3, "ot_conf": {"epsilon": 0.05, "text_table": "ctc"}}
    for seed in (1, 2):
        ours = {"model": "otreg", "model_conf": conf, **CHARACTERS}
        save_experiment(folder / f"ours{seed}", "transformer", **ours)
    result = "INFO: {0}epoch results: [train] loss=1.0, [valid] ot_cost=0.{0}, total_count=3"
    (folder / "ours1" / "train.log").write_text("\n".join(map(result.format, (1, 2))))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "mini_test"
    rng = np.random.default_rng(0)
    folder.mkdir()
    clips = []
    for number in range(len(WORDS)):
        path = folder / f"u{number}.wav"
        soundfile.write(path, 0.1 * rng.standard_normal(12000 + 800 * number), 16000)
        clips.append((f"u{number}", path))
    write_lines(folder / "wav.scp", [f"{utt} {path}" for utt, path in clips])
    texts = [f"{utt} {word}" for (utt, _), word in zip(clips, WORDS, strict=True)]
    write_lines(folder / "text", [*texts[:6], "u6 " + "badge" * 9, texts[7]])
    write_lines(folder / "utt2spk", [f"{utt} s{n}" for n, (utt, _) in enumerate(clips)])
    return folder


def word_times(folder):
    rows = []
    for number, word in enumerate(WORDS):
        samples = 12000 + 800 * number
        rows.append(
            {"corpus": "read", "lang": "en", "split": "test", "clip": f"u{number}",
             "words": [[word, 0.1, 0.5]], "samples": samples, "rate": 16000}
        )  # fmt: skip
    write_lines(folder / "word_times.jsonl", map(json.dumps, rows))
    return folder / "word_times.jsonl"


@pytest.fixture(scope="module")
def measured(experiments, data, tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "gap"
    gap.main([
        "--systems", str(experiments / "stock"),
        f"{experiments / 'ours1'},{experiments / 'ours2'}", "--names", "stock", "OTReg",
        "--sets", str(data), "--utterances", "8", "--pictures", "2", "--output", str(output),
    ])  # fmt: skip
    return output, json.loads((output / "gap.json").read_text())


def test_equal_weights_have_an_equal_gap_whatever_the_model_is_called(measured):
    """One description of transport serves all: the first regularised system's."""
    _, told = measured
    rows = told["rows"]
    assert [(row["set"], row["system"]) for row in rows] == [
        ("mini_test", "stock"), ("mini_test", "OTReg"), ("mini_test", "OTReg")
    ]  # fmt: skip
    assert rows[0]["values"] == rows[1]["values"] == rows[2]["values"]
    assert rows[0]["values"].keys() == {measure.name for measure in MEASURES}
    assert told["transport"]["options"]["epsilon"] == 0.05
    assert {space["table"] for space in told["spaces"]} == {"ctc"}
    for row in told["differences"]:
        assert row["value"] == row["low"] == row["high"] == 0 and row["p"] == 1
    assert {m["direction"] for m in told["measures"]} == {"higher", "lower"}


def test_utterances_add_up_to_the_set_and_who_is_left_out_is_told(measured):
    output, told = measured
    assert list(told["left_out"]["mini_test"]) == ["u6"]  # more letters than frames
    assert "too few" in told["left_out"]["mini_test"]["u6"]
    first = [u for u in told["utterances"] if u["system"] == "stock"]
    assert [u["utterance"] for u in first] == ["u0", "u1", "u2", "u3", "u4", "u5", "u7"]
    mean = np.mean([u["values"]["ot_cost"] for u in first])
    assert told["rows"][0]["values"]["ot_cost"] == pytest.approx(mean)
    assert told["rows"][0]["values"]["silence_at_anchor"] is None  # forced times are no truth
    page = (output / "GAP.md").read_text()
    assert "7 of 8 utterances" in page and "CTC-forced token times" in page and "u6" in page
    assert "](panel.png)" in page and "](training.png)" in page  # small enough to be kept in git


def test_every_picture_in_the_index_is_there_twice(measured):
    output, _ = measured
    index = json.loads((output / "pictures.json").read_text())
    seen = {(p["utterance"], p["system"], p["kind"]) for p in index["pictures"]}
    assert len(seen) == len(index["pictures"]) == 2 * 2 * 2
    assert {p["set"] for p in index["pictures"]} == {"mini_test"}
    for file in [p["file"] for p in (*index["pictures"], *index["figures"])]:
        for suffix in (".svg", ".png"):
            assert (output / (file.removesuffix(".svg") + suffix)).stat().st_size > 1000
    captions = {p["file"]: p["caption"] for p in index["figures"]}
    assert captions.keys() == {"panel.svg", "training.svg"}
    assert "stock" in captions["training.svg"]  # it has no log


def test_true_times_tell_silence_and_decide_owners(experiments, data, tmp_path):
    times = word_times(tmp_path)
    named = tmp_path / "data" / "mini_test"  # ids as preparation makes them
    for table in ("wav.scp", "text"):
        lines = (data / table).read_text().splitlines()
        kept = [f"mini-en-test-{line}" for line in lines if not line.startswith("u6")]
        write_lines(named / table, kept)
    gap.main([
        "--systems", str(experiments / "stock"), "--sets", str(named), "--word_times", str(times),
        "--pictures", "0", "--output", str(tmp_path / "out"),
    ])  # fmt: skip
    told = json.loads((tmp_path / "out" / "gap.json").read_text())
    assert told["spaces"][0]["own_by"] == ["true word times"]
    (row,) = told["rows"]
    # each word lasts 0.4 s, and a frame 40 ms
    assert row["speech_frames"] == 7 * 10
    assert row["values"]["silence_at_anchor"] is not None
    assert row["chance"]["retrieval"] == pytest.approx(
        np.mean([len(set(WORDS[n])) for n in (0, 1, 2, 3, 4, 5, 7)]) / len(TOKENS)
    )


def test_the_spread_is_even_sorted_and_whole_where_the_set_is_small():
    assert spread(list("hgfedcba"), 4) == list("aceg")
    assert spread(["b", "a"], 10) == ["a", "b"]


def test_without_a_regularised_system_the_defaults_are_used(experiments):
    conf, whose = shared_conf([experiments / "stock"])
    assert conf.epsilon == 0.1 and "defaults" in whose
    _, whose = shared_conf([experiments / "stock", experiments / "ours2"])
    assert Path(whose).name == "ours2"


@pytest.mark.parametrize(
    "change, message",
    [
        (["--utterances", "0"], "--utterances must be 1 or more"),
        (["--model_file", "x.pth"], "x.pth does not exist"),
        (["--systems", "exp/none"], "config.yaml does not exist"),
    ],
)
def test_mistakes_are_told(experiments, data, tmp_path, change, message):
    given = ["--systems", str(experiments / "stock"), "--sets", str(data)]
    with pytest.raises(SystemExit, match=message):
        gap.main([*given, "--output", str(tmp_path), *change])
