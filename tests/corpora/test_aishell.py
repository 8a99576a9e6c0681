from pathlib import Path

import pytest
import yaml

from espnet_otreg.corpora import aishell
from espnet_otreg.corpora.record import by_category
from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table
from espnet_otreg.models.options import TransferConf
from espnet_otreg.ot.align_options import AlignmentConf
from espnet_otreg.scoring.wer import metric_of
from espnet_otreg.stages import prepare_data
from tests.support import corpus_trees as trees

A, B, C = "BAC009S0002W0122", "BAC009S0002W0123", "BAC009S0764W0121"
LINES = [f"{A} 而 对 楼市 成交", f"{B} 也 成为", f"{C} 甚至 出现"]
CONFIGS = Path(__file__).parents[2] / "egs2/covost2_otreg/conf/transfer/aishell"


def prepare(root, split="train", language="zh"):
    return aishell.prepare(root, language, split, root / "work")


def test_a_split_is_what_its_speakers_folders_hold(tmp_path):
    root = trees.aishell(tmp_path, {"train": [A, B], "test": [C]}, LINES)
    train, test = prepare(root), prepare(root, "test")
    assert [(r.utt_id, r.speaker, r.language) for r in train.records] == [
        (f"aishell-zh-train-{A}", "aishell-S0002", "zh"),
        (f"aishell-zh-train-{B}", "aishell-S0002", "zh"),
    ]
    assert [Path(record.audio).stem for record in test.records] == [C]
    assert train.rejected == test.rejected == []


def test_words_are_joined_into_text_without_spaces(tmp_path):
    root = trees.aishell(tmp_path, {"train": [A]}, [f"{A}   而 对\t楼市  成交 \r"])
    assert [record.text for record in prepare(root).records] == ["而对楼市成交"]


@pytest.mark.parametrize("place", [".", "data_aishell", "aishell"])
def test_root_may_be_the_folder_itself_or_one_above(tmp_path, place):
    trees.aishell(tmp_path / "aishell" if place == "aishell" else tmp_path, {"train": [A]}, LINES)
    root = tmp_path if place == "aishell" else tmp_path / place
    assert len(prepare(root).records) == 1


def test_every_clip_and_every_transcript_is_used_or_listed(tmp_path):
    clips = [A, B, "BAC009S0002W0124", "BAC009S0002W0125", "BAC009S0003W0001", "BAC009S0002W01"]
    lines = [
        *(f"{A} 好", f"{A} 好", f"{B} 好", f"{B} 坏"),
        *("BAC009S0002W0124", "BAC009S0002W0126 好", "BAC009S0999W0001 好", "T0055 好"),
    ]
    root = trees.aishell(tmp_path, {"train": clips}, lines)
    stray = root / "data_aishell/wav/train/S0003/BAC009S0003W0001.wav"
    stray.rename(stray.parents[1] / "S0002" / stray.name)
    prepared = prepare(root)
    assert [record.utt_id for record in prepared.records] == [f"aishell-zh-train-{A}"]
    assert prepared.notes == {"identical duplicate rows": 1}
    assert by_category(prepared.rejected) == {
        "two different transcripts": 1,
        "empty sentence": 1,
        "no transcript": 1,
        "missing clip": 1,
        "not an id of speaker S0002": 2,
        "not an id of AISHELL-1": 1,
        "speaker without recordings": 1,
    }


def test_a_line_that_is_not_utf8_is_listed_by_its_number(tmp_path):
    root = trees.aishell(tmp_path, {"train": [A]}, LINES[:1])
    table = root / "data_aishell/transcript" / aishell.TRANSCRIPT
    table.write_bytes(table.read_bytes() + f"{B} 好".encode("gbk"))
    (entry,) = prepare(root).rejected
    assert (entry.where, entry.reason) == (f"{table}:2", "not UTF-8")


def test_archives_left_packed_are_an_error_that_says_how_to_unpack_them(tmp_path):
    root = trees.aishell(tmp_path, {"train": [A]}, LINES, packed=["S0002", "S0003", "S0764"])
    with pytest.raises(UserError, match=r"2 of the speakers.*S0003.tar.gz.*tar -xzf"):
        prepare(root)


def test_a_speaker_in_two_splits_is_an_error(tmp_path):
    root = trees.aishell(tmp_path, {"train": [A], "test": [A]}, LINES)
    with pytest.raises(UserError, match=r"speaker S0002 is in .*train/S0002 and in .*test/S0002"):
        prepare(root)


def test_what_is_absent_or_unknown_is_named(tmp_path):
    with pytest.raises(UserError, match=r"(?s)AISHELL-1 \(wav/.*Set AISHELL in db.sh"):
        prepare(tmp_path)
    root = trees.aishell(tmp_path, {"train": [A]}, LINES)
    with pytest.raises(UserError, match="recordings of 'dev' not found"):
        prepare(root, "dev")
    with pytest.raises(UserError, match="no language 'en'; it has zh"):
        prepare(root, language="en")
    with pytest.raises(UserError, match="no split 'valid'"):
        prepare(root, "valid")


def test_stage_1_writes_it_and_the_figure_to_read_is_cer(tmp_path):
    root = trees.aishell(tmp_path / "in", {"train": [A], "test": [C]}, LINES)
    options = ["--corpus", "aishell", "--languages", "zh", "--splits", "train", "test"]
    options += ["--max_rejected", "0.5"]
    prepare_data.main([*options, "--root", str(root), "--output", str(tmp_path / "data")])
    folder = tmp_path / "data" / "aishell_train"
    assert read_table(folder / "text") == {f"aishell-zh-train-{A}": "而对楼市成交"}
    (rejected,) = (folder / "rejected.tsv").read_text().splitlines()
    assert rejected == f"aishell-zh-train-{B}\tmissing clip: " + str(
        root / "data_aishell/wav/train/S0002" / f"{B}.wav"
    )
    assert metric_of(["zh"]) == "CER"


def test_the_published_configs_differ_from_their_stock_twin_in_the_model_alone():
    configs = {path.stem: yaml.safe_load(path.read_text()) for path in CONFIGS.glob("*.yaml")}
    twin = configs["ctc"]
    for name in ("balanced", "unbalanced"):
        changed = {key for key in twin if configs[name].get(key) != twin[key]}
        assert changed == {"model", "model_conf"}
        conf = configs[name]["model_conf"]
        assert TransferConf(**conf["transfer_conf"]) == TransferConf()
        assert AlignmentConf(**conf["alignment_conf"]).kind == name
    lost = {key for key in twin if key not in configs["init"]}
    assert lost == {"postencoder", "postencoder_conf"}
    assert all(configs["init"][key] == twin[key] for key in configs["init"])
