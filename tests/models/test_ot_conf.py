"""What a user may write under `ot_conf`, and what the error says otherwise."""

import math
from pathlib import Path

import pytest
import yaml

from espnet_otreg.errors import UserError
from espnet_otreg.models.options import read_options
from espnet_otreg.models.ot_conf import OTConf


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epsilom: 0.1", "unknown key 'epsilom'.*epsilon"),
        ("epsilon: 0", "epsilon must be > 0.*got 0"),
        ("epsilon: -0.1", "epsilon must be > 0.*got -0.1"),
        ("epsilon: .nan", "epsilon must be a number"),
        ("epsilon: 1e-1", "epsilon must be of type float, got '1e-1'.*1.0e-3"),
        ("relax_text: inf", "relax_text must be of type float.*.inf"),
        ("relax_speech: 0", "relax_speech must be > 0"),
        ("weight: true", "weight must be of type float, got True"),
        ("weight: -1", "weight must be >= 0"),
        ("max_iters: 2.5", "max_iters must be of type int"),
        ("max_iters: 0", "max_iters must be >= 1, got 0"),
        ("cost: euclid", "cost must be 'cosine' or 'sqeuclidean', got 'euclid'"),
        ("frames_per_token: .inf", "frames_per_token must be > 0 and finite, got inf"),
        ("frames_per_token: 0.0", "frames_per_token must be > 0"),
        ("text_table: bert", "text_table must be one of decoder, ctc, llm, got 'bert'"),
        ("unique_threshold: 1.5", r"unique_threshold must be in \(0, 1\], got 1.5"),
        ("start_epoch: 0", "start_epoch must be >= 1"),
        ("unroll: 1", "unroll must be of type bool"),
        ("[1, 2]", "must be a mapping"),
    ],
)
def test_a_wrong_value_names_the_key_what_came_and_what_is_allowed(text, message):
    with pytest.raises(UserError, match=message) as error:
        read_options(OTConf, yaml.safe_load(text), "ot_conf")
    assert str(error.value).count("ot_conf") == 1


def test_whole_numbers_and_infinity_are_numbers():
    conf = read_options(
        OTConf, yaml.safe_load("{weight: 1, relax_speech: .inf, relax_text: 2}"), "ot_conf"
    )
    assert conf.weight == 1.0
    assert conf.relax_speech == math.inf
    assert conf.relax_text == 2.0


def test_the_recipes_write_out_the_defaults():
    recipes = Path(__file__).parents[2] / "egs2"
    for path in recipes.glob("*/conf/train_otreg_*.yaml"):
        given = yaml.safe_load(path.read_text())["model_conf"]["ot_conf"]
        assert read_options(OTConf, given, "ot_conf") == OTConf(), path
