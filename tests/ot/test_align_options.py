"""Options of an alignment that are wrong alone, or together."""

import math

import pytest

from espnet_otreg.ot import AlignmentConf

from .problems import INF

WRONG = [
    (
        {"kind": "optimal"},
        ["kind", "balanced, unbalanced, semi_relaxed, monotone, diagonal, softmax"],
    ),
    ({"cost": "l1"}, ["cost", "cosine, sqeuclidean", "'l1'"]),
    ({"reference": "uniform"}, ["reference", "product, counting", "'uniform'"]),
    ({"epsilon": 0.0}, ["epsilon", "above 0"]),
    ({"epsilon": "1e-2"}, ["epsilon", "'1e-2'"]),
    ({"max_iters": 0}, ["max_iters", "whole number"]),
    ({"tol": -0.1}, ["tol", "0 or more"]),
    ({"relax_speech": -1.0}, ["relax_speech", "or inf"]),
    ({"relax_text": 0.0}, ["relax_text", "or inf"]),
    ({"temporal_weight": -0.5}, ["temporal_weight", "0 or more"]),
    ({"temporal_weight": INF}, ["temporal_weight", "finite"]),
    ({"structure_weight": 1.01, "kind": "balanced"}, ["structure_weight", "0 to 1"]),
    ({"structure_temporal_weight": math.nan}, ["structure_temporal_weight", "0 or more"]),
    ({"proximal_weight": 0}, ["proximal_weight", "above 0"]),
    ({"outer_iters": 0}, ["outer_iters", "whole number"]),
    ({"inner_iters": 2.5}, ["inner_iters", "whole number"]),
    ({"dustbin": 1}, ["dustbin", "true or false"]),
    ({"dustbin_similarity": 1.1}, ["dustbin_similarity", "-1 to 1"]),
    ({"dustbin_similarity": -1.1}, ["dustbin_similarity", "-1 to 1"]),
    ({"window": 0}, ["window", "above 0"]),
    ({"temperature": -1}, ["temperature", "above 0"]),
    ({"relax_speech": INF, "relax_text": INF}, ["relax_speech", "relax_text", "kind: balanced"]),
    ({"relax_speech": INF, "relax_text": INF, "dustbin": True}, ["relax_text", "inf"]),
    ({"kind": "semi_relaxed", "relax_speech": INF}, ["relax_speech", "finite"]),
    ({"kind": "balanced", "dustbin": True}, ["dustbin", "unbalanced or semi_relaxed"]),
    ({"cost": "sqeuclidean", "dustbin": True}, ["dustbin", "cosine", "'sqeuclidean'"]),
    ({"structure_weight": 0.02}, ["structure_weight", "kind balanced", "'unbalanced'"]),
    ({"kind": "balanced", "structure_weight": 0.02, "dustbin": True}, ["dustbin"]),
    ({"kind": "diagonal", "temporal_weight": 0.5}, ["temporal_weight", "'diagonal'"]),
    ({"temporal_places": "words"}, ["temporal_places", "ctc"]),
    ({"temporal_places": "ctc"}, ["temporal_places", "temporal_weight above 0"]),
    ({"kind": "softmax", "temporal_places": "ctc"}, ["temporal_places", "diagonal"]),
    (
        {"kind": "balanced", "structure_weight": 1.0, "temporal_places": "ctc"},
        ["temporal_places", "structure_weight below 1"],
    ),
    ({"kind": "monotone", "temporal_weight": 0.1}, ["temporal_weight", "'monotone'"]),
    ({"kind": "monotone", "reference": "counting"}, ["reference", "'monotone'"]),
    ({"kind": "monotone", "dustbin": True}, ["dustbin", "'monotone'"]),
    ({"kind": "softmax", "reference": "counting"}, ["reference", "'softmax'"]),
]


@pytest.mark.parametrize(("given", "parts"), WRONG)
def test_a_wrong_option_is_named_with_what_was_given_and_what_is_allowed(given, parts):
    with pytest.raises(ValueError) as caught:
        AlignmentConf(**given)
    for part in parts:
        assert part in str(caught.value)
