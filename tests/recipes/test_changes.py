"""This change in a finished recipe → these steps run again, no others. Nothing is run for it."""

import copy
import itertools
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from espnet_otreg.files import write_json
from espnet_otreg.recipe.graph import RUN, Graph
from espnet_otreg.recipe.stamps import Stamps
from tests.support import recipe as recipe_tools

OTREG = "conf/mini/train_otreg.yaml"
ARM = "train:train_otreg:seed1"
TABLES = {"results", "report", "pack:train_otreg"}


class Recipe:
    """A recipe's folder in which everything is as if it had been made."""

    def __init__(self, folder: Path, script: str = "./run.sh") -> None:
        self.folder, self.script = folder, script
        otreg = folder.parent / "TEMPLATE/otreg.sh"
        text = otreg.read_text(encoding="utf-8")
        told = 'cat "${graph}"; rm "${graph}"; exit # '
        otreg.write_text(text.replace("exec python3 -m espnet_otreg.recipe.run", told))

    def graph(self, *options: str, **variables: str) -> Graph:
        done = subprocess.run(
            [self.script, *options],
            cwd=self.folder,
            env={**recipe_tools.environment(), **variables},
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr.decode()
        os.chdir(self.folder)
        return Graph(done.stdout, Stamps(self.folder / "exp/.stamps.json"))

    def finish(self, *options: str) -> None:
        """Write down of every step that it is done."""
        for step in self.graph(*options).steps.values():
            step.out.parent.mkdir(parents=True, exist_ok=True)
            step.out.touch() if step.out.suffix else step.out.mkdir(exist_ok=True)
            read = dict.fromkeys(step.needs, "as made")
            told = json.loads(json.dumps(step.told))
            record = {"key": step.key, "digest": "as made", "read": read, "told": told}
            write_json(step.record, record)

    def would_run(self, *options: str, **variables: str) -> dict[str, str]:
        plan = self.graph(*options, **variables).plan(0, 15)
        return {step.name: reason for step, state, reason in plan if state == RUN}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = recipe_tools.copy_recipe("covost2_otreg", tmp_path_factory.mktemp("changes"))
    recipe = Recipe(folder)
    before = Path.cwd()
    recipe.finish("--seeds", "1")
    yield recipe
    os.chdir(before)


@pytest.fixture
def own(finished, tmp_path, monkeypatch):
    """A copy of the finished recipe, to change what lies in it."""
    monkeypatch.chdir(finished.folder)  # back to it afterwards
    own = copy.copy(finished)
    egs2 = shutil.copytree(finished.folder.parent, tmp_path / "egs2", symlinks=True)
    own.folder = egs2 / finished.folder.name
    return own


def kinds(names) -> set[str]:
    """Leave of decode:x and score:x:y what they are."""
    return {re.sub(r"^(score|decode|data|org|filter|shapes|train)(:.*)?$", r"\1", n) for n in names}


NOTHING: set[str] = set()
FROM_TRAINING = {"train", "decode", "score", "gap", *TABLES}
CHANGES: dict[str, tuple[list[str], set[str]]] = {
    "nothing": ([], NOTHING),
    "processes": (["--nj", "7", "--inference_nj", "3", "--train_nj", "1"], NOTHING),
    "GPUs": (["--ngpu", "2"], NOTHING),
    "the share of rejects that is allowed": (["--max_rejected", "0.5"], NOTHING),
    "another normaliser": (["--normaliser", "none"], {"score", *TABLES}),
    "names": (["--names", "a;b"], {"results", "gap", "report", "pack:train_otreg"}),
    "the metric": (["--metric", "cer"], {"results", "report", "pack:train_otreg"}),
    "no report": (["--report", "false"], NOTHING),
    "another folder for tables": (
        ["--results", "exp/other"],
        {"results", "gap", "report"},
    ),
    "more pictures": (["--pictures", "5"], {"gap", "report"}),
    "arguments of decoding": (["--inference_args", "--x 1"], {"decode", "score", *TABLES}),
    "another method of decoding": (["--inference_method", "beam"], {"decode", "score", *TABLES}),
    "another checkpoint to start from and to decode": (
        ["--inference_asr_model", "valid.loss.best.pth"],
        FROM_TRAINING,
    ),
    "arguments of training": (["--asr_args", "--max_epoch 2"], FROM_TRAINING),
    "more pieces": (["--nbpe", "401"], {"tokens", "shapes", *FROM_TRAINING}),
    "the longest utterance": (
        ["--max_wav_duration", "9"],
        {"filter", "overlap", "tokens", "shapes", *FROM_TRAINING},
    ),
    "frames per second": (["--frames_per_second", "9"], {"shapes", *FROM_TRAINING}),
    "other speeds": (
        ["--speed_perturb_factors", "0.9 1.0"],
        {"org", "filter", "overlap", "tokens", "shapes", *FROM_TRAINING},
    ),
    "a table of normalisers": (
        ["--normalisers", "all"],
        {"normalisers:covost2_test", "normalisers:fleurs_test"},
    ),
    "what is packed": (["--pack_systems", "all"], {"pack:train"}),
    "arguments of packing": (["--pack_args", "--license mit"], {"pack:train_otreg"}),
    "a repository": (["--hf_repo", "me/x"], {"pack:train_otreg", "upload:train_otreg"}),
    "the readme": (["--readme", "README.md"], {"results", "pack:train_otreg"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_options_makes_these_steps_run_and_no_others(finished, change):
    options, expected = CHANGES[change]
    assert kinds(finished.would_run("--seeds", "1", *options)) == expected


def test_a_new_test_corpus_retrains_nothing(finished):
    found = finished.would_run("--seeds", "1", "--test_corpora", "covost2 fleurs mls")
    assert not [name for name in found if name.startswith(("train", "filter", "tokens", "shapes"))]
    new = {"data:mls_test", "org:mls_test", "overlap", "decode:init", "score:init:mls_test"}
    assert new <= found.keys()
    assert not [name for name in found if name.startswith(("data", "org")) and name not in new]


def test_tuning_scores_dev_sets_of_the_same_trainings_and_touches_no_test_set(finished):
    graph = finished.graph("--seeds", "1", "--test_split", "dev")
    assert not [word for step in graph.steps.values() for word in step.words if "_test" in word]
    found = finished.would_run("--seeds", "1", "--test_split", "dev")
    assert not [name for name in found if name.startswith(("train", "filter", "tokens", "shapes"))]
    assert not [name for name in graph.steps if name.startswith(("pack", "upload"))]
    assert {"score:init:covost2_dev", "score:init:fleurs_dev", "results"} <= found.keys()
    assert graph.steps["results"].out == Path("exp/dev/results.json")
    plain = finished.graph("--seeds", "1")  # whose decodings stay as they are
    assert graph.steps["decode:init"].out != plain.steps["decode:init"].out
    # read as trainings read it, and as it is where no training does
    assert {"filter:covost2_dev", "org:fleurs_dev"} <= set(graph.steps["decode:init"].needs)
    assert "filter:covost2_dev" in graph.steps["score:init:covost2_dev"].needs
    words = graph.steps["overlap"].words  # of these sets none may be in those
    places = words.index("--train"), words.index("--test"), words.index("--overlap")
    trained, tested = (
        {Path(word).name for word in words[start + 1 : end]}
        for start, end in itertools.pairwise(places)
    )
    assert trained == {"mls_train", "covost2_train"}
    assert tested == {"covost2_dev", "fleurs_dev"}


def test_sets_that_are_trained_on_together_are_tuned_on_one_by_one(finished):
    recipe = copy.copy(finished)
    recipe.script = "./run_transfer.sh"
    graph = recipe.graph("--test_split", "dev")
    assert not [name for name in graph.steps if name.endswith("_test")]
    three = [f"graded{level}_dev" for level in range(3)]
    scored = {name.removeprefix("score:init:") for name in graph.steps if "score:init:" in name}
    assert scored == set(three)
    needs = graph.steps["overlap"].needs  # dev sets lie in the joined one, which is no leak
    joined = "filter:graded0_graded1_graded2_"
    assert f"{joined}train" in needs and f"{joined}dev" not in needs
    assert {f"org:{name}" for name in three} <= set(needs)


def test_a_new_folder_for_audio_retrains_nothing(finished):
    found = finished.would_run("--seeds", "1", "--dumpdir", "elsewhere")
    assert kinds(found) == {"org", "filter", "overlap"}


def test_another_seed_trains_that_seed_alone(finished):
    found = finished.would_run("--seeds", "1 2")
    trained = {name for name in found if name.startswith("train")}
    assert trained == {"train:train:seed2", "train:train_otreg:seed2"}
    assert {name for name in found if name.startswith("decode")} == {
        f"decode:{name.removeprefix('train:')}" for name in trained
    }


def test_another_common_checkpoint_trains_all_systems_from_it_and_nothing_anew(finished):
    found = finished.would_run("--seeds", "1", "--init_seeds", "0 5")
    trained = {name for name in found if name.startswith("train")}
    arms = {"train:train:init_seed5:seed1", "train:train_otreg:init_seed5:seed1"}
    assert trained == {"train:init_seed5", *arms}
    steps = finished.graph("--seeds", "1", "--init_seeds", "0 5").steps
    assert "--seed 5" in " ".join(steps["train:init_seed5"].words)
    other = steps["train:train_otreg:init_seed5:seed1"]
    assert other.needs[-1] == "train:init_seed5" and steps[ARM].needs[-1] == "train:init"
    words = steps["results"].words
    baseline, ours, row = (
        words[words.index("--baseline") + 1],
        *words[words.index("--systems") + 1 :][:2],
    )
    assert [Path(folder).name[:-9] for folder in f"{baseline},{ours},{row}".split(",")] == [
        *("asr_train_seed1", "asr_train_init_seed5_seed1"),
        *("asr_train_otreg_seed1", "asr_train_otreg_init_seed5_seed1"),
        *("asr_init", "asr_init_seed5"),
    ]


def test_seed_0_of_the_common_checkpoint_is_the_one_that_is_trained_without_an_option(finished):
    plain = finished.graph("--seeds", "1")
    assert "--seed" not in plain.steps["train:init"].words
    told = finished.graph("--seeds", "1", "--init_seeds", "0")
    assert {n: s.key for n, s in told.steps.items()} == {n: s.key for n, s in plain.steps.items()}
    own = finished.graph("--seeds", "1", "--init_seeds", "3")
    assert own.steps["train:init"].key != plain.steps["train:init"].key


def test_another_mini_language_model_is_made_by_its_seed(tmp_path, monkeypatch):
    recipe = Recipe(recipe_tools.copy_recipe("covost2_otreg", tmp_path), "./run_transfer.sh")
    monkeypatch.chdir(recipe.folder)
    first, same, other = (
        recipe.graph(*options).steps["lm"]
        for options in ((), ("--lm_seed", "0"), ("--lm_seed", "2"))
    )
    assert first.out == same.out != other.out
    assert "--seed" not in first.words and other.words[other.words.index("--seed") + 1] == "2"


def test_other_languages_leave_what_was_made_of_these(finished):
    folder = finished.graph("--seeds", "1").steps["data:covost2_train"].out
    found = finished.would_run("--seeds", "1", "--langs", "en")
    assert {"data:covost2_train", "train:init", ARM} <= found.keys()
    other = finished.graph("--seeds", "1", "--langs", "en").steps["data:covost2_train"].out
    assert other != folder and other.name == folder.name


def test_a_score_of_another_normaliser_is_not_taken_for_the_first_ones(tmp_path, monkeypatch):
    recipe = Recipe(recipe_tools.copy_recipe("covost2_otreg", tmp_path))
    monkeypatch.chdir(recipe.folder)
    for normaliser in ("basic", "whisper_basic"):
        recipe.finish("--seeds", "1", "--normaliser", normaliser)
    found = recipe.would_run("--seeds", "1", "--normaliser", "basic")
    assert kinds(found) == {"score", *TABLES}
    assert found["score:init:covost2_test"] == "--normaliser: whisper_basic -> basic"


def test_a_dropped_clip_is_dropped_in_folders_of_their_own(finished):
    kept = finished.graph("--seeds", "1").steps["train:init"].out
    dropped = finished.graph("--seeds", "1", "--overlap", "drop").steps["train:init"].out
    assert kept != dropped


def edited(own, path, old, new, *options):
    config = own.folder / path
    text = config.read_text(encoding="utf-8")
    assert old in text
    config.write_text(text.replace(old, new, 1), encoding="utf-8")
    return own.would_run("--seeds", "1", *options)


def test_an_edited_yaml_trains_that_system_and_the_plan_says_what_was_edited(own):
    found = edited(own, OTREG, "weight: 0.3\n", "weight: 0.7\n")
    assert found[ARM] == f"{OTREG} changed: model_conf.ot_conf.weight: 0.3 -> 0.7"
    assert {name for name in found if name.startswith("train")} == {ARM}


def test_a_comment_in_a_yaml_trains_nothing(own):
    assert not edited(own, OTREG, "model: otreg", "# a remark\nmodel: otreg")


def test_an_edited_common_checkpoint_trains_every_system(own):
    found = edited(own, "conf/mini/init.yaml", "max_epoch: ", "max_epoch: 1")
    trained = {name for name in found if name.startswith("train")}
    assert trained == {"train:init", "train:train:seed1", ARM}
    assert found[ARM] == "train:init is another"


@pytest.mark.parametrize("name", ["org:covost2_test", ARM, "results", "pack:train_otreg"])
def test_what_is_removed_is_made_again_and_alone(own, name):
    steps = own.graph("--seeds", "1").steps
    step = steps[name]
    within = {one.name for one in steps.values() if step.out in one.out.parents}
    step.out.rename(step.out.with_name("aside"))
    found = own.would_run("--seeds", "1")
    assert found.keys() == {name, *within}
    assert found[name] == f"{step.out} was removed"


def test_a_model_that_was_trained_to_other_weights_is_decoded_anew(own):
    record = own.graph("--seeds", "1").steps[ARM].record
    text = record.read_text()
    assert '"digest": "as made"' in text
    record.write_text(text.replace('"digest": "as made"', '"digest": "other"'))
    found = own.would_run("--seeds", "1")
    assert found["decode:train_otreg:seed1"] == f"{ARM} was made anew and is another"
    assert "decode:train:seed1" not in found and ARM not in found


def test_alignments_are_measured_where_the_length_of_a_frame_is_known(tmp_path, monkeypatch):
    recipe = Recipe(recipe_tools.copy_recipe("covost2_otreg", tmp_path), "./run_transfer.sh")
    monkeypatch.chdir(recipe.folder)
    assert "alignment" in recipe.graph().steps
    assert "alignment" not in recipe.graph("--frame_seconds", "").steps


def test_a_folder_with_spaces_and_quotes_is_a_folder_like_any(tmp_path, monkeypatch):
    place = tmp_path / """it's a "folder" of mine"""
    recipe = Recipe(recipe_tools.copy_recipe("covost2_otreg", place), "./run_transfer.sh")
    monkeypatch.chdir(recipe.folder)
    words = recipe.graph().steps["tokens"].words
    assert words[words.index("--lm") + 1].startswith(f"{place}/egs2/downloads/mini-mini-lm_")


@pytest.mark.parametrize("recipe", ["covost2_otreg", "fleurs_otreg"])
@pytest.mark.parametrize("script", ["run.sh", "run_slm.sh", "run_transfer.sh", "run_st.sh"])
def test_every_recipe_declares_its_steps(tmp_path, recipe, script, monkeypatch):
    folder = recipe_tools.copy_recipe(recipe, tmp_path)
    if not (folder / script).exists():
        pytest.skip("FLEURS has no translations")
    monkeypatch.chdir(folder)
    done = recipe_tools.run_recipe(folder, "--plan", script=f"./{script}")
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert any("run   results: never made" in line for line in told)
    assert not (folder / "data").exists()


def make_folders(home):
    """Stand-ins for what is fetched otherwise."""
    for name in ("natural", "prompts", "whisper", "lm"):
        (home / name).mkdir()
        (home / name / "config.json").write_text("{}")


def test_the_real_recipe_takes_folders_in_place_of_packages(finished, tmp_path):
    recipe = copy.copy(finished)
    recipe.script = "./run_real.sh"
    make_folders(tmp_path)
    graph = recipe.graph(
        *("--speech_encoder", str(tmp_path / "whisper"), "--language_model", str(tmp_path / "lm")),
        NATURAL=str(tmp_path / "natural"),
        PROMPTS=str(tmp_path / "prompts"),
        DOWNLOADS=str(tmp_path / "nothing is fetched"),
    )
    assert {"train:warm", "train:init", "train:otreg:seed1", "decode:encoder"} <= graph.steps.keys()
    tested = {name.rsplit(":", 1)[1] for name in graph.steps if name.startswith("score:init")}
    assert tested == {"natural_test", "prompts_all3"}  # the prompts whole: nothing trains on them
    assert "train:warm" in graph.steps["train:init"].needs
    assert {"decode:warm", "score:warm:natural_test"} <= graph.steps.keys()
    assert "the phase before, read by the table" in graph.steps["results"].words
    assert not (tmp_path / "nothing is fetched").exists()


def test_a_plan_of_the_real_recipe_makes_nothing_of_what_was_fetched(finished, tmp_path):
    recipe = copy.copy(finished)
    recipe.script = "./run_real.sh"
    make_folders(tmp_path)
    home = tmp_path / "downloads"
    for name in ("asterisk-en", "natural-en", "whisper-base", "smollm2-135m"):
        (home / name).mkdir(parents=True)
        (home / name / "config.json").write_text("{}")
    before = sorted(home.rglob("*"))
    graph = recipe.graph("--plan", NATURAL="", PROMPTS="", DOWNLOADS=str(home))
    assert "score:init:prompts_all3" in graph.steps
    assert sorted(home.rglob("*")) == before


def test_the_transfer_recipe_takes_a_pretrained_encoders_frames(finished, tmp_path):
    recipe = copy.copy(finished)
    recipe.script = "./run_transfer.sh"
    make_folders(tmp_path)
    given = {"NATURAL": str(tmp_path / "natural"), "PROMPTS": str(tmp_path / "prompts")}
    words = [
        "--language_model",
        str(tmp_path / "lm"),
        "--speech_encoder",
        str(tmp_path / "whisper"),
    ]
    graph = recipe.graph(*words, **given)
    assert {"frames:natural_train", "frames:prompts_all3", "times"} <= graph.steps.keys()
    for name in ("train:init", "train:guided:seed3"):
        told = graph.steps[name].words
        assert told[told.index("--frontend_conf") + 1].startswith("model=")
        assert told[told.index("--normalize") + 1] == "none"
        assert any("feats.scp,speech,npy" in word for word in told)
    assert "frames:natural_test" in graph.steps["decode:whitened:seed2"].needs
    assert "times" in graph.steps["alignment"].needs
    as_sound = recipe.graph(*words, "--cache_frames", "false", **given)
    assert not any(name.startswith("frames:") for name in as_sound.steps)
    assert any("wav.scp,speech,sound" in word for word in as_sound.steps["train:init"].words)


@pytest.mark.parametrize(
    "recipe, words, told",
    [
        ("covost2_otreg", [], "--language_model is missing"),
        ("covost2_otreg", ["--language_model", "x/y", "--mini", "true"], "without --mini true"),
        ("fleurs_otreg", ["--language_model", "x/y"], "are for covost2_otreg's run_transfer.sh"),
    ],
)
def test_a_pretrained_encoder_where_it_cannot_be_is_refused_at_once(tmp_path, recipe, words, told):
    folder = recipe_tools.copy_recipe(recipe, tmp_path)
    given = ["--speech-encoder", "a/b", *words]
    done = recipe_tools.run_recipe(folder, *given, script="./run_transfer.sh")
    assert done.returncode == 1 and told in done.stderr and "Traceback" not in done.stderr
    assert not (folder / "data").exists()
