"""`run_slm.sh` from nothing to its tables, and what its configurations are."""

import json
from pathlib import Path

import pytest
import yaml

from espnet_otreg.pretrained.causal_lm import load_tokenizer
from espnet_otreg.tasks.asr import ASRTask
from tests.support import recipe as recipe_tools
from tests.support.tiny_llm import SENTENCES, save_llm
from tests.support.tiny_speech import save_encoder

CONF = recipe_tools.ROOT / "egs2/covost2_otreg/conf/slm"
PAPER = CONF / "whisper_large_v3_qwen2.5_7b"
ARMS = ("base", "ctc", "otreg")
SHOWN = ("Base", "Base+CTC", "Base+OTReg")  # the other two are trained and decoded as these are
OPTIONS = [
    *("--asr_args", "--max_epoch 1 --batch_size 8", "--inference_args", "--max_new_tokens 9"),
    *("--frames_per_second", "60"),  # the smallest language model spells: it drops no answer
]


def load(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Whisper and Qwen2 by their real classes, with next to no width."""
    folder = tmp_path_factory.mktemp("bases")
    return save_encoder(folder / "whisper", "whisper"), save_llm(folder / "qwen2", "qwen2")


@pytest.mark.parametrize("arm", ("base", "otreg"))
@pytest.mark.parametrize("size", ("mini", "whisper_base_smollm2", "whisper_base_gemma3_270m"))
def test_an_augmented_arm_differs_from_its_twin_by_that_alone(size, arm):
    ours, twin = (load(CONF / size / f"{stem}.yaml") for stem in (f"{arm}_augmented", arm))
    assert ours["model_conf"]["slm_conf"].pop("augment")["stretch"] == [0.75, 1.35]
    assert ours == twin


@pytest.mark.parametrize("size", ("whisper_base_smollm2", "whisper_base_gemma3_270m"))
@pytest.mark.parametrize("stem", ("stage0_ctc", "stage0_ot", "stage1", *ARMS, "shuffled"))
def test_the_settings_of_small_real_models_build(small, tmp_path, size, stem):
    whisper, qwen2 = small
    args = ASRTask.get_parser().parse_args([
        "--config", str(CONF / size / f"{stem}.yaml"), "--output_dir", "unused",
        "--encoder_conf", f"model={whisper}", "--decoder_conf", f"model={qwen2}",
    ])  # fmt: skip
    args.token_list = ["<blank>", "<unk>", *load_tokenizer(qwen2).tokenize(SENTENCES[0])[:3],
                       "<sos/eos>"]  # fmt: skip
    model = ASRTask.build_model(args)
    assert model.before_answers == stem.startswith("stage0")
    real = {"whisper_base_smollm2": 576, "whisper_base_gemma3_270m": 640}[size]  # Whisper's: 512
    width = model.adapter.hidden.out_features
    assert 1.9e6 < (model.adapter.stack * 512 + real) * width < 2.2e6


@pytest.mark.parametrize("stem", ("stage0_ctc", "stage0_ot", "stage1", *ARMS, "shuffled"))
def test_the_two_small_language_models_have_the_same_settings(stem):
    one, other = (
        load(CONF / size / f"{stem}.yaml")
        for size in ("whisper_base_smollm2", "whisper_base_gemma3_270m")
    )
    assert one == other


@pytest.mark.parametrize("size", ("whisper_base_smollm2", "whisper_base_gemma3_270m"))
def test_every_phase_trains_the_same_adapter(size):
    stems = ("stage0_ctc", "stage0_ot", "stage1", *ARMS)
    confs = [load(CONF / size / f"{stem}.yaml") for stem in stems]
    for key in ("encoder", "encoder_conf", "postencoder", "postencoder_conf", "decoder_conf"):
        assert all(conf[key] == confs[0][key] for conf in confs)


@pytest.mark.parametrize("stem", ("stage1", *ARMS))
def test_the_published_setting_builds_the_real_architectures(small, stem):
    whisper, qwen2 = small
    args = ASRTask.get_parser().parse_args([
        "--config", str(PAPER / f"{stem}.yaml"), "--output_dir", "unused",
        "--encoder_conf", f"model={whisper}", "--decoder_conf", f"model={qwen2}",
    ])  # fmt: skip
    tokenizer = load_tokenizer(qwen2)
    args.token_list = ["<blank>", "<unk>", *tokenizer.tokenize(SENTENCES[0])[:3], "<sos/eos>"]
    model = ASRTask.build_model(args)
    assert type(model.decoder.network).__name__ == "Qwen2ForCausalLM"
    assert any(type(part).__name__ == "WhisperEncoder" for part in model.encoder.modules())
    assert model.adapter.stack == 5 and model.adapter.hidden.out_features == 2048
    (optimiser,) = ASRTask.build_optimizers(args, model=model)
    assert optimiser.defaults["lr"] == 1e-4


def test_the_published_setting_is_the_papers():
    ours = load(PAPER / "otreg.yaml")
    assert (ours["batch_size"], ours["max_epoch"], load(PAPER / "stage1.yaml")["max_epoch"]) == (
        48, 3, 2,
    )  # fmt: skip
    conf = ours["model_conf"]
    assert (conf["ot_conf"]["weight"], conf["ot_conf"]["sparsity_weight"]) == (0.3, 0.1)
    assert conf["slm_conf"]["merge_threshold"] == conf["slm_conf"]["drop_threshold"] == 0.9
    assert ours["scheduler_conf"]["max_lr"] == 1e-4 and ours["scheduler_conf"]["min_lr"] == 1e-6


@pytest.mark.parametrize("stem", ("stage1", *ARMS))
def test_the_papers_protocol_is_that_setting_with_the_papers_prompt_and_data(stem):
    ours, paper = load(PAPER / f"{stem}.yaml"), load(CONF / f"paper/{stem}.yaml")
    prompt = paper["model_conf"].pop("prompt_conf")["instruction"]
    assert prompt.startswith("Write down the user's content word for word in {language},")
    del ours["model_conf"]["prompt_conf"]
    epochs = paper.pop("max_epoch")
    # an epoch is once through 281,241 + 220,701 + 258,213 utterances
    each = paper.pop("num_iters_per_epoch")
    assert 0.99 < each * paper["batch_size"] / (281_241 + 220_701 + 258_213) < 1.01
    assert paper["scheduler_conf"].pop("first_cycle_steps") == each * epochs
    assert epochs == ours.pop("max_epoch")
    del ours["num_iters_per_epoch"], ours["scheduler_conf"]["first_cycle_steps"]
    assert paper == ours


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(CONF.glob("*/*.yaml")) if path.stem in ARMS[1:]],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_arms_differ_from_the_baseline_by_the_models_options_alone(path):
    ours, base = load(path), load(path.with_name("base.yaml"))
    for conf in (ours["model_conf"], base["model_conf"]):
        conf.pop("ot_conf", None)
        conf.pop("ctc_weight")
        conf["slm_conf"].pop("compression")
        conf["slm_conf"].pop("compression_start", None)
    assert ours == base


@pytest.mark.parametrize("size", ("mini", PAPER.name))
def test_the_relaxed_variant_differs_from_otreg_by_one_marginal(size):
    ours, otreg = (load(CONF / size / f"{stem}.yaml") for stem in ("otreg_relaxed", "otreg"))
    assert ours["model_conf"]["ot_conf"].pop("relax_text") == 0.1
    assert ours == otreg


@pytest.mark.parametrize("size", ("mini", "whisper_base_smollm2", "whisper_base_gemma3_270m"))
def test_the_control_differs_from_otreg_by_its_targets_alone(size):
    ours, otreg = (load(CONF / size / f"{stem}.yaml") for stem in ("shuffled", "otreg"))
    assert ours["model_conf"]["ot_conf"].pop("control") == "shuffled"
    assert ours == otreg


@pytest.mark.parametrize(
    ("arm", "twin", "option", "value"),
    [
        ("otreg_tuned", "otreg_augmented", "weight", 0.1),
        ("clean_plan_augmented", "otreg_augmented", "plan_from", "clean"),
        ("shuffled_augmented", "otreg_tuned", "control", "shuffled"),
        ("other_language_augmented", "otreg_tuned", "control", "other_language"),
        ("random_tokens_augmented", "otreg_tuned", "control", "random_tokens"),
    ],
)
def test_arms_of_the_square_differ_by_one_option_of_the_term(arm, twin, option, value):
    ours, theirs = (load(CONF / "mini" / f"{stem}.yaml") for stem in (arm, twin))
    assert ours["model_conf"]["ot_conf"].pop(option) == value
    theirs["model_conf"]["ot_conf"].pop(option, None)
    assert ours == theirs


def test_the_uncompressed_arm_of_the_square_differs_by_that_alone():
    ours, tuned = (
        load(CONF / "mini" / f"{stem}.yaml") for stem in ("otreg_tuned_uncompressed", "otreg_tuned")
    )
    assert ours["model_conf"]["slm_conf"].pop("compression") == "none"
    assert tuned["model_conf"]["slm_conf"].pop("compression") == "ot"
    assert ours == tuned


@pytest.mark.parametrize("size", sorted(folder.name for folder in CONF.iterdir()))
def test_both_stages_train_the_same_adapter(size):
    first, second = (load(CONF / size / f"{stem}.yaml") for stem in ("stage1", "base"))
    for key in ("encoder", "encoder_conf", "postencoder", "postencoder_conf", "decoder_conf"):
        assert first[key] == second[key]


@pytest.mark.parametrize("size", ("mini", PAPER.name))
@pytest.mark.parametrize("stem", ("stage1", "base", "otreg"))
def test_translation_differs_by_its_prompt_and_the_size_of_its_data(size, stem):
    ours, theirs = (load(CONF / folder / f"{stem}.yaml") for folder in (f"{size}_st", size))
    assert (
        "translate the user's speech into English"
        in ours["model_conf"].pop("prompt_conf")["instruction"]
    )
    theirs["model_conf"].pop("prompt_conf", None)
    for key in ("batch_size", "num_iters_per_epoch", "scheduler_conf"):
        assert ours.pop(key) and theirs.pop(key)
    assert ours == theirs


def test_stock_espnet_has_the_updates_of_both_stages():
    stock, *stages = (load(CONF / "mini" / f"{stem}.yaml") for stem in ("stock", "stage1", "base"))
    assert stock["max_epoch"] == sum(stage["max_epoch"] for stage in stages)
    for key in ("batch_type", "batch_size", "num_iters_per_epoch", "optim", "grad_clip"):
        assert stock[key] == stages[1][key]


@pytest.mark.parametrize(
    "path", sorted(CONF.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_all_arms_select_their_checkpoint_by_the_same_quantity(path):
    """`loss` holds λ·L_OT in some arms and not in others; the cross-entropy is in all."""
    conf = load(path)
    if conf.get("model") != "slm":
        return
    of_table = conf["model_conf"]["slm_conf"].get("objective") == "table"
    name = "loss" if of_table else "loss_ce"
    assert conf["best_model_criterion"] == [["valid", name, "min"]]
    assert of_table == path.stem.startswith("stage0")


def test_the_recipe_takes_the_checkpoint_that_its_configs_select():
    script = (recipe_tools.ROOT / "egs2/covost2_otreg/run_slm.sh").read_text(encoding="utf-8")
    assert "--inference_asr_model valid.loss_ce.best.pth" in script


@pytest.mark.parametrize("path", sorted(CONF.glob("*/*.yaml")), ids=lambda path: path.stem)
def test_the_schedule_ends_with_the_training(path):
    conf = load(path)
    if conf.get("scheduler") == "cosineannealingwarmuprestarts":
        steps = conf["num_iters_per_epoch"] * conf["max_epoch"]
        assert conf["scheduler_conf"]["first_cycle_steps"] == steps
        assert conf["scheduler_conf"]["max_lr"] == conf["optim_conf"]["lr"]


THREE = ["--asr_config", " ".join(f"conf/slm/mini/{stem}.yaml" for stem in ARMS),
         "--names", ";".join(SHOWN)]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The recipe, run through all stages once."""
    folder = recipe_tools.copy_recipe("covost2_otreg", tmp_path_factory.mktemp("slm"))
    done = recipe_tools.run_recipe(
        folder,
        *OPTIONS,
        *THREE,
        script="./run_slm.sh",
        ENCODER_ARGS="--max_epoch 1 --batch_size 8",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done


def test_the_recipe_ends_with_the_arms_the_checkpoint_the_encoder_and_stock_espnet(finished):
    folder, done = finished
    results = json.loads((folder / "exp/slm/results.json").read_text())
    names = [system["name"] for system in results["systems"]]
    further = ["common checkpoint", "the encoder's own CTC", "stock ESPnet's speech LLM"]
    assert names == [*SHOWN, *further]
    assert "Base+OTReg" in done.stdout


def test_what_the_language_model_read_is_reported_for_every_arm_and_set(finished):
    folder, _ = finished
    found = json.loads((folder / "exp/slm/compression.json").read_text())
    sets = ("covost2_test", "fleurs_test")
    assert found.keys() == {f"{name}/{place}" for name in SHOWN for place in sets}
    assert found["Base/fleurs_test"]["merged"] == 0 < found["Base/fleurs_test"]["before"]


def test_all_arms_start_from_one_checkpoint_with_the_same_data(finished):
    folder, _ = finished
    records = [
        json.loads(path.read_text())
        for arm in ARMS
        for path in folder.glob(f"exp/.steps/asr_{arm}_seed1_*.json")
    ]
    assert len(records) == 3
    assert len({json.dumps(record["told"]["steps"], sort_keys=True) for record in records}) == 1
    assert all("train:init" in record["read"] for record in records)


def test_the_encoders_frames_are_read_as_they_are(finished):
    folder, _ = finished
    for trained in ("stage1", *(f"{arm}_seed1" for arm in (*ARMS, "stock"))):
        (path,) = folder.glob(f"exp/asr_{trained}_????????/config.yaml")
        assert load(path)["normalize"] is None


def test_checkpoints_hold_no_base_model(finished):
    folder, _ = finished
    (path,) = folder.glob("exp/asr_otreg_seed1_*")
    assert (path / "valid.loss_ce.best.pth").stat().st_size < 2e6
    log = (path / "train.log").read_text()
    assert "trainable parameters: " in log and "decoder 0 of" in log


def test_a_second_run_does_nothing(finished):
    folder, _ = finished
    again = recipe_tools.run_recipe(
        folder,
        *OPTIONS,
        *THREE,
        script="./run_slm.sh",
        ENCODER_ARGS="--max_epoch 1 --batch_size 8",
    )
    assert again.returncode == 0, again.stderr[-3000:]
    assert "training in" not in again.stderr and "never made" not in again.stderr


def test_tuning_trains_nothing_anew_and_scores_dev_sets(finished):
    folder, _ = finished
    before = (folder / "exp/slm/results.json").read_bytes()
    tuned = recipe_tools.run_recipe(
        folder,
        *OPTIONS,
        *THREE,
        *("--test_split", "dev"),
        script="./run_slm.sh",
        ENCODER_ARGS="--max_epoch 1 --batch_size 8",
    )
    assert tuned.returncode == 0, tuned.stderr[-3000:]
    assert "training in" not in tuned.stderr
    results = json.loads((folder / "exp/slm/dev/results.json").read_text())
    assert [tested["name"] for tested in results["test_sets"]] == ["covost2_dev", "fleurs_dev"]
    names = [system["name"] for system in results["systems"]]
    assert names[:4] == [*SHOWN, "common checkpoint"] and "the encoder's own CTC" in names
    assert (folder / "exp/slm/results.json").read_bytes() == before


def test_translation_ends_with_bleu_of_every_system(finished):
    folder, _ = finished
    done = recipe_tools.run_recipe(
        folder,
        *OPTIONS,
        *("--seeds", "1"),
        script="./run_st.sh",
        ENCODER_ARGS="--max_epoch 1 --batch_size 8",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((folder / "exp/slm_st/translation.json").read_text())
    names = ("Base", "Base+OTReg", "common checkpoint")
    assert found["scores"].keys() == {f"{name}/covost2_test" for name in names}
    assert "tok:13a" in found["signatures"]["BLEU"] and "Base+OTReg" in done.stdout
    answers = (folder / "data/covost2_train/text.en").read_text(encoding="utf-8")
    assert answers == answers.lower() and "." not in answers.partition(" ")[2].split("\n")[0]
