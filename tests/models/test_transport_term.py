"""What speech is drawn to, and how heavy each target is."""

import pytest
import torch

from espnet_otreg.models.options import OTConf
from espnet_otreg.models.transport_term import make_targets, target_weights
from tests.support.tiny_llm import save_llm
from tests.support.tiny_slm import build, make_batch

IDS = torch.tensor([[3, 4, 3, 5], [6, 7, -1, -1], [-1, -1, -1, -1]])
LENGTHS = torch.tensor([4, 2, 0])
ANCHOR = 0


@pytest.fixture
def table():
    return torch.randn(9, 16, generator=torch.Generator().manual_seed(0)).requires_grad_()


def test_targets_are_the_transcripts_tokens_and_silence_without_a_gradient(table):
    targets = make_targets(OTConf(), IDS, LENGTHS, table, ANCHOR)
    assert targets.ids.tolist() == [[3, 4, 5, 0], [6, 7, 0, -1], [0, -1, -1, -1]]
    assert not targets.embeddings.requires_grad


def test_the_control_gives_every_utterance_another_ones(table):
    targets = make_targets(OTConf(control="shuffled"), IDS, LENGTHS, table, ANCHOR)
    assert targets.ids.tolist() == [[0, -1, -1, -1], [3, 4, 5, 0], [6, 7, 0, -1]]


def test_silence_weighs_what_tokens_leave_but_no_less_than_one(table):
    targets = make_targets(OTConf(), IDS, LENGTHS, table, ANCHOR)
    frames = torch.tensor([10, 4, 5])
    assert target_weights(OTConf(), targets, frames) is None
    weights = target_weights(OTConf(frames_per_token=2.0), targets, frames)
    shares = weights.masked_fill(targets.ids < 0, 0)
    shares = shares / shares.sum(1, keepdim=True)
    expected = [
        [0.2, 0.2, 0.2, 0.4],  # three tokens take six of ten frames
        [1 / 3, 1 / 3, 1 / 3, 0.0],  # two would take all four
        [1.0, 0.0, 0.0, 0.0],  # nobody speaks
    ]
    torch.testing.assert_close(shares, torch.tensor(expected))


def test_the_speech_language_model_transports_by_them(tmp_path):
    lm = save_llm(tmp_path / "lm", "qwen2")
    batch = make_batch(lm)
    found = {}
    for frames in (None, 1.0):
        conf = {"weight": 0.3, "frames_per_token": frames}
        model = build(lm, model_conf={"ot_conf": conf}).eval()
        _, stats, _ = model(**batch)
        found[frames] = float(stats["ot_silence_mass"])
    lengths = model.hear(batch["speech"], batch["speech_lengths"]).whole_lengths
    targets = make_targets(
        model.ot_conf,
        model.piece_ids[batch["text"].clamp(min=0)].masked_fill(batch["text"] < 0, -1),
        batch["text_lengths"],
        model.decoder.table,
        model.silence,
    )
    tokens = targets.lengths - 1
    assert found[None] == pytest.approx(float((1 / targets.lengths).mean()), abs=1e-3)
    rest = torch.maximum(1 - tokens / lengths, 1 / targets.lengths)
    assert found[1.0] == pytest.approx(float(rest.mean()), abs=1e-3) != found[None]
