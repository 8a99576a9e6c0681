"""Batched greedy CTC decoding against its definition, one utterance and one frame at a time."""

import pytest
import torch

from espnet_otreg.decode.batches import ctc_greedy
from espnet_otreg.errors import UserError
from tests.support.tiny_models import build, make_batch


@pytest.fixture
def model():
    built = build().eval()
    with torch.no_grad():  # spread the outputs, or an untrained model says one token throughout
        built.ctc.ctc_lo.weight.mul_(30)
    return built


def reference(model, speech):
    """Collapse the best path of one utterance in plain Python."""
    with torch.no_grad():
        frames, _ = model.encode(speech[None], torch.tensor([len(speech)]))
    path, tokens = model.ctc.argmax(frames)[0].tolist(), []
    for before, now in zip([None, *path], path, strict=False):
        if now not in (before, model.blank_id):
            tokens.append(now)
    return tokens


@pytest.mark.parametrize("frames", [[30, 22, 14], [14, 30, 1], [5]])
def test_a_batch_gives_what_each_utterance_gives_alone(model, frames):
    batch = make_batch(frames, [3] * len(frames))
    expected = [
        reference(model, speech[:length])
        for speech, length in zip(batch["speech"], frames, strict=True)
    ]
    assert ctc_greedy(model, batch["speech"], batch["speech_lengths"]) == expected
    assert any(len(set(tokens)) > 1 for tokens in expected) or frames == [5]


def test_a_model_without_ctc_is_an_error_that_names_the_option():
    model = build(model_conf={"ctc_weight": 0.0}).eval()
    batch = make_batch([9], [2])
    with pytest.raises(UserError, match=r"no CTC branch.*--inference_method beam"):
        ctc_greedy(model, batch["speech"], batch["speech_lengths"])
