"""`run_transfer.sh` from nothing to both tables, and what its configurations differ in."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from espnet_otreg.files import read_table, write_lines
from espnet_otreg.tasks.asr import ASRTask
from tests.support import recipe as recipe_tools
from tests.support.tiny_speech import save_encoder

CONF = recipe_tools.ROOT / "egs2/covost2_otreg/conf/transfer"
TRAINING = sorted(path for path in CONF.glob("*/*.yaml"))
STOCK = ("init", "init_early", "ctc", "ctc_attention", "ctc_unclipped")
TAUGHT = [path for path in TRAINING if path.stem not in STOCK]
MODEL = "train.total_count.ave.pth"
SETS = [f"graded{level}_test" for level in range(3)]
OPTIONS = [
    *("--asr_config", "conf/transfer/mini/ctc.yaml conf/transfer/mini/unbalanced.yaml"),
    *("--names", "CTC;unbalanced", "--frames_per_second", "30"),
    *("--allow_missing", "true"),  # so little training text lacks some pieces
    *("--asr_args", "--max_epoch 1 --batch_size 8 --postencoder_conf text_size=32"),
]


def load(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


@pytest.mark.parametrize("path", TRAINING, ids=name)
def test_the_config_builds_its_model(path, tmp_path):
    args = ASRTask.get_parser().parse_args(["--config", str(path), "--output_dir", "unused"])
    if args.frontend == "hf_speech":
        args.frontend_conf["model"] = str(save_encoder(tmp_path, "whisper"))
    args.token_list = ["<blank>", "<unk>", "a", "b", "<sos/eos>"]
    model = ASRTask.build_model(args)
    assert args.model == ("ot_transfer" if path in TAUGHT else "espnet")
    assert (model.postencoder is None) == (path == CONF / "aishell/init.yaml")
    assert (model.decoder is None) == (path.stem != "ctc_attention")


@pytest.mark.parametrize("path", TAUGHT, ids=name)
def test_all_systems_differ_from_the_baseline_by_the_model_alone(path):
    ours, baseline = load(path), load(path.with_name("ctc.yaml"))
    assert ours.pop("model") == "ot_transfer"
    baseline.pop("model")
    for own in ("transfer_conf", "alignment_conf"):
        assert ours["model_conf"].pop(own)
    assert ours == baseline


def test_the_unclipped_control_differs_from_the_baseline_by_that_alone():
    folder = CONF / "whisper_base_e5_small"
    unclipped, baseline = load(folder / "ctc_unclipped.yaml"), load(folder / "ctc.yaml")
    assert unclipped.pop("grad_clip") > 10 * baseline.pop("grad_clip")
    assert unclipped == baseline


@pytest.mark.parametrize("folder", sorted(CONF.glob("*/")), ids=lambda folder: folder.name)
def test_the_control_by_eta_is_a_taught_system_that_nothing_teaches(folder):
    untaught, taught = load(folder / "untaught.yaml"), load(folder / "unbalanced.yaml")
    own, others = (conf["model_conf"]["transfer_conf"] for conf in (untaught, taught))
    for weight in ("align_weight", "transport_weight"):
        assert own.pop(weight) == 0 < others.pop(weight)
    assert untaught == taught


@pytest.mark.parametrize("folder", [CONF / "aishell", CONF / "mini"], ids=lambda f: f.name)
def test_the_hybrid_control_differs_from_the_baseline_by_its_decoder_alone(folder):
    hybrid, baseline = load(folder / "ctc_attention.yaml"), load(folder / "ctc.yaml")
    assert hybrid.pop("decoder") == "transformer" and hybrid.pop("decoder_conf")
    weights = [conf["model_conf"].pop("ctc_weight") for conf in (hybrid, baseline)]
    assert weights == [0.3, 1.0]
    assert hybrid == baseline


@pytest.mark.parametrize("folder", sorted(CONF.glob("*/")), ids=lambda folder: folder.name)
def test_both_phases_train_the_same_encoder(folder):
    first, second = load(folder / "init.yaml"), load(folder / "ctc.yaml")
    network = ("frontend", "frontend_conf", "encoder", "encoder_conf")
    assert {key: first.get(key) for key in network} == {key: second.get(key) for key in network}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The recipe, run through all stages once."""
    folder = recipe_tools.copy_recipe("covost2_otreg", tmp_path_factory.mktemp("transfer"))
    done = recipe_tools.run_recipe(folder, *OPTIONS, script="./run_transfer.sh")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done


def test_the_recipe_ends_with_a_table_of_character_errors_and_one_of_alignments(finished):
    folder, _ = finished
    results = json.loads((folder / "exp/transfer/results.json").read_text())
    assert "CER" in json.dumps(results)
    page = (folder / "exp/transfer/ALIGNMENT.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| graded")]
    methods = {"CTC": 2, "unbalanced": 3}  # forced alignment twice; and transport
    assert len(rows) == len(SETS) * sum(methods.values())
    assert "CTC forced, gaps closed" in page


def test_the_teacher_as_rescorer_is_a_row_beside_the_baseline(finished):
    folder, _ = finished
    results = json.loads((folder / "exp/transfer/results.json").read_text())
    rows = {system["name"]: system["seeds"] for system in results["systems"]}
    assert list(rows) == ["CTC", "unbalanced", "common checkpoint", "CTC, rescored by the teacher"]
    ours, baseline = rows["CTC, rescored by the teacher"], rows["CTC"]
    assert [row["labels"] for row in ours] == [row["labels"] for row in baseline]
    for row in ours:
        for name in SETS:
            told = folder / row["folder"] / results["decode_tag"] / name / "rescored.json"
            rates = json.loads(told.read_text())["cer"]
            assert rates["oracle"] <= min(rates["first"], rates["rescored"])


def test_utterances_that_cannot_be_aligned_are_listed_and_ctc_is_the_truth_without_times(finished):
    folder, _ = finished
    (trained,) = (path for path in (folder / "exp").glob("asr_ctc_seed1_*") if path.is_dir())
    source, crowded = folder / f"dump/raw/org/{SETS[0]}", folder / "dump/raw/crowded"
    shutil.copytree(source, crowded)
    lines = (source / "text").read_text(encoding="utf-8").splitlines()
    utt, text = lines[0].split(maxsplit=1)
    write_lines(crowded / "text", [f"{utt} {' '.join([text] * 9)}", *lines[1:]])
    output = folder / "exp/crowded"
    command = [
        *(sys.executable, "-m", "espnet_otreg.stages.alignment", "--systems", str(trained)),
        *("--lm", str(next((folder.parent / "downloads").glob("mini-smoke-lm_????????")))),
        *("--sets", str(crowded), "--hop", "0.06"),
        *("--output", f"{output}.md", "--json", f"{output}.json"),
    ]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    page = Path(f"{output}.md").read_text(encoding="utf-8")
    assert "Left out: 1 utterances." in page and f"{utt}: " in page
    assert str(folder) not in page  # a page that is published tells nothing of the machine
    found = json.loads(Path(f"{output}.json").read_text())
    assert [list(problems) for problems in found["left_out"].values()] == [[utt]]
    f1 = {row["alignment"]: row["seeds"][0]["f1"] for row in found["alignments"]}
    assert f1["CTC forced, gaps closed"] == 1.0 > f1["CTC forced"]


def test_a_test_set_with_pieces_that_no_training_text_has_is_an_error(finished):
    folder, _ = finished
    strict = recipe_tools.run_recipe(
        folder,
        *OPTIONS,
        *("--allow_missing", "false", "--stage", "5", "--stop_stage", "5"),
        script="./run_transfer.sh",
    )
    assert strict.returncode == 1
    assert "test sets need pieces that no training text has" in strict.stderr
    assert "--allow_missing true" in strict.stderr


def test_decoded_pieces_become_words_again(finished):
    folder, _ = finished
    found = list((folder / "exp").glob(f"asr_unbalanced_seed1_*/*/{SETS[0]}"))
    assert found
    for decoded in found:
        texts, tokens = read_table(decoded / "text"), read_table(decoded / "token")
        assert texts.keys() == read_table(folder / f"dump/raw/org/{SETS[0]}/wav.scp").keys()
        longer = [utt for utt in texts if len(tokens[utt].split()) > len(texts[utt].split())]
        assert longer
        assert not any(mark in text for text in texts.values() for mark in ("##", "▁", " ' "))


def test_an_exported_model_is_a_stock_model_with_our_postencoder_and_decodes_the_same(finished):
    folder, _ = finished
    (decoded,) = (folder / "exp").glob(f"asr_unbalanced_seed1_*/decode*/{SETS[0]}/token")
    trained = decoded.parents[2].relative_to(folder)
    for module, options in (
        (
            "export_stock",
            ["--asr_exp", trained, "--model_file", MODEL, "--output", "exp/exported"],
        ),
        (
            "ctc_inference",
            [
                *("--asr_train_config", "exp/exported/config.yaml"),
                *("--asr_model_file", "exp/exported/model.pth"),
                *("--wav_scp", f"dump/raw/org/{SETS[0]}/wav.scp", "--output_dir", "exp/again"),
            ],
        ),
    ):
        command = [sys.executable, "-m", f"espnet_otreg.stages.{module}", *map(str, options)]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    config = load(folder / "exp/exported/config.yaml")
    assert (config["model"], config["postencoder"]) == ("espnet", "transfer_adapter")
    assert set(config["model_conf"]) == {"ctc_weight", "report_cer", "report_wer"}
    assert read_table(folder / "exp/again/1best_recog/token") == read_table(decoded)


def test_features_of_another_text_are_refused_before_training(finished):
    folder, _ = finished
    config = folder / "conf/transfer/mini/unbalanced.yaml"
    (pieces,) = folder.glob("data/token_list/????????/lm/graded0_graded1_graded2_train/text")
    kept = pieces.read_text()
    try:
        pieces.write_text(kept.replace(" ", "  ", 1))
        options = [*OPTIONS, "--asr_config", str(config.relative_to(folder)), "--names", "x"]
        options += ["--seeds", "2"]  # trained by nobody yet
        again = recipe_tools.run_recipe(
            folder, *options, "--stage", "11", "--stop_stage", "11", script="./run_transfer.sh"
        )
    finally:
        pieces.write_text(kept)
    assert again.returncode == 1
    assert "another text" in again.stderr
