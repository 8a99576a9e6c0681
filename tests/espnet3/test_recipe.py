"""Both recipes of ESPnet3 from nothing to the table and the page, on seconds of speech."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from espnet3.components.data.dataloader import build_batch_sampler
from espnet3.utils.config_utils import load_and_merge_config
from omegaconf import OmegaConf

from espnet_otreg.espnet3.inference import Listener, recogniser
from espnet_otreg.espnet3.training import CALLBACK, Phase, with_phase
from espnet_otreg.files import read_json, read_table
from espnet_otreg.pretrained.bases import HASHES
from espnet_otreg.scoring.score_file import load_score
from espnet_otreg.stages import score
from tests.support.egs3 import ROOT, SMOKE, newest_checkpoint, same, weights

TESTS = ("covost2_test", "fleurs_test")


@pytest.fixture(scope="module")
def finished(recipe):
    """The recipe of `otreg` at its end."""
    write_metrics(recipe, "", "base", "otreg")
    others = {"inference": "inference", "metrics": "smoke_metrics"}
    recipe.run("smoke_base", "train", "infer", "measure", **others)
    recipe.run("smoke_otreg", "train", "infer", "measure", "compare", "report", **others)
    return recipe.folder


@pytest.fixture(scope="module")
def listening(recipe, finished):
    """The recipe of `slm` at its end, with the encoder of the other one."""
    write_metrics(recipe, "_slm", "slm_base", "slm_otreg")
    own = {"speech_encoder": "${recipe_dir}/exp/smoke_base", "model": {"batch_size": 8}}
    for name in ("slm_base", "slm_otreg"):
        settings = {**SMOKE, **own, "model": {"max_epoch": 2, "keep_nbest_models": 2}}
        recipe.write(f"smoke_{name}", [f"training_{name}"], {**settings, "tokenizer": {}})
    others = {"inference": "inference_slm", "metrics": "smoke_metrics_slm"}
    before = ("create_dataset", "train_tokenizer", "collect_stats")
    recipe.run("smoke_slm_base", *before, "train", "infer", "measure", **others)
    recipe.run("smoke_slm_otreg", "train", "infer", "measure", "compare", **others)
    return recipe.folder


def write_metrics(recipe, kind, base, otreg):
    """Let the metrics compare the smallest trainings."""
    text = (recipe.folder / f"conf/metrics{kind}.yaml").read_text()
    text = text.replace("training_", "smoke_").replace("title:", "nj: 1\n  title:")
    (recipe.folder / f"conf/smoke_metrics{kind}.yaml").write_text(text)


def test_the_recipe_ends_with_the_comparison_and_the_page(finished):
    results = read_json(finished / "exp/results.json")
    assert [system["name"] for system in results["systems"]] == ["stock ESPnet", "OTReg"]
    runs = [system["seeds"][0]["run"] for system in results["systems"]]
    assert all(run["finished"] and run["updates"] == 3 for run in runs)
    table = (finished / "exp/RESULTS.md").read_text()
    assert all(name in table for name in (*TESTS, "in-domain is", "cross-domain is"))
    page = (finished / "exp/report.html").read_text()
    for name in TESTS:
        for utterance in read_table(finished / f"data/raw/org/{name}/text"):
            assert f'data-audio="{name}/{utterance}"' in page


def test_the_rates_are_those_of_our_own_command(finished, tmp_path):
    found = read_json(finished / "exp/smoke_otreg/inference/metrics.json")
    (rates,) = found.values()
    for name in TESTS:
        hypotheses = finished / f"exp/smoke_otreg/inference/{name}/text.scp"
        shutil.copy(hypotheses, tmp_path / "text")
        output = tmp_path / f"{name}.json"
        reference = ("--ref", str(finished / f"data/raw/org/{name}"))
        score.main([*reference, "--hyp", str(tmp_path / "text"), "--output", str(output)])
        ours = load_score(hypotheses.with_name("score.json"))
        assert ours.utterances == load_score(output).utterances
        assert rates[name]["WER"] == round(100 * ours.summaries["total"].words.rate, 2)


def test_the_arms_share_everything_but_the_model(finished):
    configs = [
        yaml.safe_load((finished / f"exp/smoke_{name}/config.yaml").read_text())
        for name in ("base", "otreg")
    ]
    assert configs[1]["model_conf"].pop("ot_conf")["weight"] == 0.3
    for config in configs:
        for name in ("model", "exp_tag", "exp_dir", "trainer"):  # the last names the folder of logs
            config.pop(name)
    assert configs[0] == configs[1]


def test_a_checkpoint_of_lightning_is_decoded_as_the_average_of_it_alone(finished):
    folder = finished / "exp/smoke_otreg"
    (checkpoint,) = folder.glob("epoch*.ckpt")
    assert same(weights(checkpoint), weights(folder / "valid.acc.ave.pth"))
    speech = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    files = (str(checkpoint), str(folder / "valid.acc.ave.pth"))
    config = rooted(finished, folder / "config.yaml")
    found = [recogniser(config, file, beam_size=1, maxlenratio=0.1)(speech) for file in files]
    first, second = (each[0][0][1] for each in found)  # inter-CTC's come beside the answers
    assert first == second


def load(path):
    """Read a training's configuration as ESPnet3 does, up to what one file takes from another."""
    return load_and_merge_config(path, "training.yaml", "egs3.TEMPLATE.esp2_asr", resolve=False)


CONFIGS = sorted(path.stem for path in (ROOT / "egs3/covost2_otreg/asr/conf").glob("training_*"))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_training_has_the_numbers_of_the_configuration_that_it_nests(recipe, finished, name):
    config = OmegaConf.to_container(load(recipe.folder / f"conf/{name}.yaml"), resolve=True)
    nested = config["model"]
    assert config["optimizer"]["lr"] == nested["optim_conf"]["lr"]
    assert config["trainer"]["max_epochs"] == nested["max_epoch"]
    assert nested["model"] in {"slm"} if "slm" in name else {"otreg", "espnet"}
    batches = config["dataloader"]["train"]["iter_factory"]["batches"]
    stats = str(recipe.folder / "exp/stats/train")
    batches["shape_files"] = [
        each.replace(config["stats_dir"] + "/train", stats) for each in batches["shape_files"]
    ]
    found = list(build_batch_sampler(**batches))
    assert sum(map(len, found)) == 30  # every utterance of the smallest corpus
    size = nested.get("batch_size", 30)  # or as many as batch_bins allows
    assert max(map(len, found)) <= 2 * size


def rooted(recipe, config):
    """Copy a configuration so that its files are found from elsewhere."""
    content = yaml.safe_load(config.read_text())
    content["token_list"] = str(recipe / content["token_list"])
    content["bpemodel"] = str(recipe / content["bpemodel"])
    target = config.with_name("rooted.yaml")
    target.write_text(yaml.safe_dump(content))
    return str(target)


def test_a_speech_language_model_ends_with_the_comparison(listening):
    results = read_json(listening / "exp/results_slm.json")
    assert [system["name"] for system in results["systems"]] == ["cross-entropy", "OTReg"]
    for name in TESTS:
        heard = read_table(listening / f"exp/smoke_slm_otreg/inference_slm/{name}/text.scp")
        assert heard.keys() == read_table(listening / f"data/raw/org/{name}/text").keys()


def test_base_models_are_left_out_of_every_file_that_lightning_and_espnet3_write(listening):
    folder = listening / "exp/smoke_slm_otreg"
    files = [newest_checkpoint(folder), *folder.glob("epoch*.ckpt"), *folder.glob("*.ave*.pth")]
    assert len(files) >= 4
    for path in files:
        names = list(weights(path))
        assert HASHES in names and any(name.startswith("adapter.") for name in names)
        assert not [name for name in names if name.startswith(("encoder.", "decoder."))], path
    hashes = [weights(path)[HASHES] for path in files]
    assert all(torch.equal(hashes[0], each) for each in hashes)  # averages keep them exact


def test_a_training_of_a_speech_language_model_is_resumed(recipe, listening):
    before = newest_checkpoint(listening / "exp/smoke_slm_otreg")
    settings = yaml.safe_load((listening / "conf/smoke_slm_otreg.yaml").read_text())
    settings["model"]["max_epoch"] = 3
    settings["fit"] = {"ckpt_path": str(before)}
    (listening / "conf/smoke_slm_otreg_more.yaml").write_text(yaml.safe_dump(settings))
    folder = recipe.run("smoke_slm_otreg_more", "train")
    assert newest_checkpoint(folder) != before
    assert not same(weights(newest_checkpoint(folder)), weights(before))
    assert json.loads((folder / "run.json").read_text())["epochs"].keys() == {"3"}


def test_frozen_parts_are_as_at_inference_while_the_rest_trains(recipe, listening, monkeypatch):
    seen = []

    def look(self, trainer, module, outputs, batch, index):
        model = module.model
        parts = (model, model.adapter, model.encoder, model.encoder.encoder, model.decoder)
        seen.append([part.training for part in parts])

    monkeypatch.setattr(Phase, "on_train_batch_end", look)
    recipe.run("smoke_slm_base", "train")
    assert seen and all(each == [True, True, False, False, False] for each in seen)


def test_a_listener_answers_one_utterance_as_it_does_in_a_batch(listening, monkeypatch):
    monkeypatch.chdir(listening)
    folder = listening / "exp/smoke_slm_otreg"
    files = (str(folder / "config.yaml"), str(folder / "valid.loss_ce.ave.pth"))
    listener = Listener(*files, max_new_tokens=5)
    generator = np.random.default_rng(0)
    clips = [generator.standard_normal(n).astype(np.float32) for n in (9000, 16000)]
    together = listener(clips, ["en", "es"])
    assert [answer[0][:3] for answer in together] == [
        listener(clip, language)[0][:3] for clip, language in zip(clips, ["en", "es"], strict=True)
    ]


def test_the_callback_is_added_once(recipe):
    config = load(recipe.folder / "conf/smoke_base.yaml")
    with_phase(config)
    with_phase(config)
    assert [each["_target_"] for each in config.trainer.callbacks] == [CALLBACK]
