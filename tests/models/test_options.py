"""What a user may write under `ot_conf`, and what the error says otherwise."""

import math
from pathlib import Path

import pytest
import yaml

from espnet_otreg.configuration import read_options
from espnet_otreg.errors import UserError
from espnet_otreg.models.options import OTConf


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epsilom: 0.1", "unknown key 'epsilom'.*epsilon"),
        ("epsilon: 0", "epsilon: expected a number above 0, finite; received 0"),
        ("epsilon: -0.1", "epsilon: expected a number above 0, finite; received -0.1"),
        ("epsilon: .nan", "epsilon: expected a number above 0, finite; received nan"),
        ("epsilon: 1e-1", "epsilon: expected a number.*; received '1e-1', .* as text: .*1.0e-3"),
        ("relax_text: inf", "relax_text: expected .*or inf; received 'inf', .* write .* .inf"),
        ("relax_speech: 0", "relax_speech: expected a number above 0, or inf; received 0"),
        ("weight: true", "weight: expected a number of 0 or more, finite; received True"),
        ("weight: heavy", "weight: expected a number of 0 or more, finite; received 'heavy'$"),
        ("weight: -1", "weight: expected a number of 0 or more, finite; received -1"),
        ("max_iters: 2.5", "max_iters: expected a whole number of 1 or more; received 2.5"),
        ("max_iters: 0", "max_iters: expected a whole number of 1 or more; received 0"),
        ("cost: euclid", "cost: expected one of cosine, sqeuclidean; received 'euclid'"),
        ("frames_per_token: .inf", "frames_per_token: .*finite, or null; received inf"),
        ("frames_per_token: 0.0", "frames_per_token: expected a number above 0"),
        ("text_table: bert", "text_table: expected one of decoder, ctc, llm; received 'bert'"),
        ("unique_threshold: 1.5", "unique_threshold: expected .* above 0 and at most 1; .* 1.5"),
        ("start_epoch: 0", "start_epoch: expected a whole number of 1 or more"),
        ("end_epoch: 0", "end_epoch: expected a whole number of 1 or more, or null; received 0"),
        ("{start_epoch: 3, end_epoch: 2}", r"end_epoch: expected start_epoch \(3\) or later"),
        ("unroll: 1", "unroll: expected true or false; received 1"),
        ("control: neighbour", "control: expected one of none, shuffled, .*; received 'neighbour'"),
        ("{silence: ctc, frames_per_token: 1.0}", "silence: expected alike where frames_per_token"),
        ("whiten: true", "whiten: expected one of none, vocabulary; received True"),
        ("whiten_shrinkage: 1.5", "whiten_shrinkage: expected a number from 0 to 1; received 1.5"),
        ("weight_mode: share", "weight_mode: expected one of value, gradient_share; .* 'share'"),
        ("[1, 2]", "expected a mapping"),
    ],
)
def test_a_wrong_value_names_the_key_what_came_and_what_is_allowed(text, message):
    with pytest.raises(UserError, match=message) as caught:
        read_options(OTConf, yaml.safe_load(text), "ot_conf")
    assert str(caught.value).count("ot_conf") == 1


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
