import json
from dataclasses import replace

import pytest
import yaml

from espnet_otreg.errors import UserError
from espnet_otreg.hub.card import Card, model_card
from espnet_otreg.hub.card_results import read_results
from espnet_otreg.hub.contents import Contents
from espnet_otreg.hub.facts import BaseModel, Facts
from espnet_otreg.hub.training_data import training_data
from espnet_otreg.scoring.provenance import TrainingRun

CONFIG = {
    "model": "otreg",
    "model_conf": {"ctc_weight": 0.3, "ot_conf": {"weight": 0.3}},
    "encoder": "conformer",
    "encoder_conf": {"num_blocks": 4},
    "normalize": "utterance_mvn",
    "train_data_path_and_name_and_type": [["dump/raw/covost2_train/wav.scp", "speech", "sound"]],
}
FACTS = Facts("otreg", "beam", "0.1.0", "my model", loaded_as="user/model")


def result(rates, low, high, points=None):
    value = None if None in rates else sum(rates) / len(rates)
    bounds = {"value": value, "low": low, "high": high}
    difference = points and {
        "absolute": {"value": points[0], "low": points[1], "high": points[2]},
        "p": points[3],
    }
    return {"seed_rates": rates, "interval": bounds, "difference": difference}


@pytest.fixture
def results(tmp_path):
    ours = result([0.071, 0.083], 0.06, 0.09, (-0.012, -0.02, -0.004, 0.003))
    silent = result([None, None], None, None, (None, None, None, None))
    base = result([0.09, 0.088], 0.08, 0.1)
    parts = {
        "en": {"metric": "WER", "results": {"Base": base, "OTReg": ours}},
        "zh": {"metric": "CER", "results": {"Base": base, "OTReg": silent}},
        "total": {"metric": "mixed", "results": {"Base": base, "OTReg": ours}},
    }
    content = {
        "baseline": "Base",
        "normaliser": "basic",
        "systems": [
            {"name": name, "seeds": [{"folder": f"exp/{name}_{i}"} for i in (1, 2)]}
            for name in ("Base", "OTReg")
        ],
        "test_sets": [{"name": "covost2_test", "domain": "in-domain", "parts": parts}],
    }
    path = tmp_path / "results.json"
    path.write_text(json.dumps(content))
    return path


def make_card(
    mini,
    results=None,
    page=None,
    facts=FACTS,
    stock=False,
    languages=("en", "zh-CN"),
    config=CONFIG,
):
    data = training_data(config, [], ["mls"], list(languages), mini)
    run = TrainingRun(seed=2, device="abacus")
    card = Card(data, "cc-by-4.0", run, "valid.acc.ave_3best.pth", stock, results, page)
    return model_card(Contents(facts, config, config, {"beam_size": 4}), card)


def head_of(card):
    return yaml.safe_load(card.split("---\n")[1])


def test_the_hubs_own_reader_finds_everything_in_the_head(results, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    card = make_card(False, read_results(results, tmp_path / "OTReg_2"))
    data = hub.ModelCard(card).data
    assert data.language == ["en", "zh"]
    assert data.license == "cc-by-4.0"
    assert data.library_name == "espnet"
    assert {"espnet", "automatic-speech-recognition"} <= set(data.tags)
    assert data.datasets == ["facebook/covost2", "facebook/multilingual_librispeech"]
    assert data.model_name == "my model"
    (found,) = data.eval_results  # neither what is mixed nor what is not known
    assert (found.task_type, found.dataset_type) == ("automatic-speech-recognition", "covost2")
    assert (found.dataset_config, found.dataset_split) == ("en", "test")
    assert (found.metric_type, found.metric_value) == ("wer", 8.3)  # of seed 2, the one packed


def test_the_table_says_normaliser_intervals_and_difference(results, tmp_path):
    card = make_card(False, read_results(results, tmp_path / "OTReg_1"))
    (row,) = [
        line for line in card.splitlines() if line.startswith("| covost2_test | in-domain | en")
    ]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[3:] == [
        *("WER", "7.10", "7.70", "[6.00, 9.00]", "−1.20", "[−2.00, −0.40]", "0.003"),
    ]
    assert "normaliser `basic`" in card
    assert "against Base" in card
    assert "its interval is over speakers." in card  # as all were before files said it


def test_a_miniatures_card_says_plainly_that_the_data_is_synthetic(results, tmp_path):
    found = read_results(results, tmp_path / "OTReg_1")
    mini, real, unknown = (make_card(mini, found) for mini in (True, False, None))
    assert "**The data is synthetic.**" in mini
    assert "never heard a human voice" in mini
    assert "The test sets are synthetic too." in mini
    assert "synthetic" not in real
    assert "was not recorded" in unknown
    head = head_of(mini)
    assert "datasets" not in head
    assert "synthetic-data" in head["tags"]
    (one,) = head["model-index"][0]["results"]
    assert one["dataset"]["name"] == "covost2 (synthetic miniature)"
    assert not {"datasets", "model-index"} & head_of(unknown).keys()


def test_corpora_that_exist_in_miniature_alone_are_synthetic_whoever_says_nothing():
    assert training_data(CONFIG, ["graded0", "graded1"], [], [], None).mini is True
    with pytest.raises(UserError, match="graded0 exist as mini corpora alone"):
        training_data(CONFIG, ["graded0"], [], [], False)


def test_corpora_are_read_from_the_configuration_and_languages_are_checked():
    assert training_data(CONFIG, [], [], [], None).corpora == ("covost2",)
    several = {"train_data_path_and_name_and_type": [["d/mls_fleurs_train/feats.scp", "x", "npy"]]}
    assert training_data(several, [], ["mls"], [], None)[:2] == (("mls", "fleurs"), ())
    with pytest.raises(UserError, match="'xx' has no name"):
        training_data(CONFIG, [], [], ["xx"], None)
    every = make_card(False, languages=["all"])
    assert "languages: all that these corpora have" in every
    assert "language" not in head_of(every)


def test_an_experiment_that_is_not_in_the_results_is_an_error(results, tmp_path):
    with pytest.raises(UserError, match=r"compares Base, OTReg, and .*other is none"):
        read_results(results, tmp_path / "other")
    results.write_text("{}")
    with pytest.raises(UserError, match=r"has no 'systems'.*stages\.compare"):
        read_results(results, tmp_path / "OTReg_1")


def test_sections_stand_in_order_and_code_blocks_are_closed():
    card = make_card(True, page="| BLEU |\n| ---- |")
    sections = [line for line in card.splitlines() if line.startswith("## ")]
    assert sections == [
        *("## How to load it", "## Results", "## Training data", "## Intended use and limits"),
        *("## Training and decoding", "## Citation"),
    ]
    assert card.count("```") % 2 == 0
    for told in ("| BLEU |", "seed: 2", "valid.acc.ave_3best.pth", "2508.08131", "num_blocks: 4"):
        assert told in card
    assert "base_model" not in head_of(card)


def test_the_example_names_what_has_to_be_given():
    bases = (
        BaseModel("encoder", "model", "org/encoder", "ab" * 32, False, None),
        BaseModel("decoder", "model", "my-llm", "cd" * 32, True, None),
    )
    facts = Facts("slm", "slm", "0.1.0", "my model", bases=bases, loaded_as="packed.zip")
    config = {**CONFIG, "model": "slm", "encoder_conf": {"model": "org/encoder"},
              "decoder": "causal_lm", "decoder_conf": {"model": "/home/me/my-llm"}}  # fmt: skip
    card = make_card(False, facts=facts, config=config)
    assert 'from_pretrained("packed.zip", decoder="decoder_folder")' in card
    assert 'model("speech.wav", language="en")' in card
    assert "cd" * 32 in card
    assert "espnet-otreg fetch" not in card
    fetched = (BaseModel("decoder", "model", "smollm2-135m", "cd" * 32, True, None),)
    assert "`espnet-otreg fetch smollm2-135m` makes" in make_card(
        False, facts=replace(facts, bases=fetched), config=config
    )
    assert "/home/me" not in card
    assert head_of(card)["base_model"] == ["org/encoder"]
    assert "can write fluent text that was not said" in card
    stock = make_card(False, stock=True)
    assert "from espnet2.bin.asr_inference import Speech2Text" in stock
    assert "espnet_otreg.decode" not in stock
