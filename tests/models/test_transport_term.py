"""What speech is drawn to, and how heavy each target is."""

import pytest
import torch

from espnet_otreg.errors import UserError
from espnet_otreg.models.controls import Transcripts
from espnet_otreg.models.options import OTConf
from espnet_otreg.models.transport_term import TransportTerm, target_weights
from tests.support.tiny_llm import save_llm
from tests.support.tiny_models import build as build_asr
from tests.support.tiny_models import make_batch as make_asr_batch
from tests.support.tiny_models import run
from tests.support.tiny_slm import build, make_batch

IDS = torch.tensor([[3, 4, 3, 5], [6, 7, -1, -1], [-1, -1, -1, -1]])
LENGTHS = torch.tensor([4, 2, 0])
ANCHOR = 0


@pytest.fixture
def table():
    return torch.randn(9, 16, generator=torch.Generator().manual_seed(0)).requires_grad_()


def targets_of(table, **conf):
    return TransportTerm(OTConf(**conf)).targets(Transcripts(IDS, LENGTHS), table, ANCHOR)


def test_targets_are_the_transcripts_tokens_and_silence_without_a_gradient(table):
    targets = targets_of(table)
    assert targets.ids.tolist() == [[3, 4, 5, 0], [6, 7, 0, -1], [0, -1, -1, -1]]
    assert not targets.embeddings.requires_grad


def test_the_control_gives_every_utterance_another_ones(table):
    targets = targets_of(table, control="shuffled")
    assert targets.ids.tolist() == [[0, -1, -1, -1], [3, 4, 5, 0], [6, 7, 0, -1]]


def test_silence_weighs_what_tokens_leave_but_no_less_than_one(table):
    targets = targets_of(table)
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


def test_silence_weighs_what_ctc_calls_blank_but_no_less_than_a_token(table):
    targets, frames = targets_of(table), torch.tensor([10, 4, 5])
    conf, blanks = OTConf(silence="ctc"), torch.tensor([0.7, 0.1, 1.0])
    weights = target_weights(conf, targets, frames, blanks).masked_fill(targets.ids < 0, 0)
    shares = weights / weights.sum(1, keepdim=True)
    expected = [[0.1, 0.1, 0.1, 0.7], [1 / 3, 1 / 3, 1 / 3, 0.0], [1.0, 0.0, 0.0, 0.0]]
    torch.testing.assert_close(shares, torch.tensor(expected))
    assert target_weights(conf, targets, frames) is None  # where CTC has not been asked
    whole = target_weights(conf, targets, frames, torch.ones(3))[0]
    torch.testing.assert_close(whole[3] / whole.sum(), torch.tensor(0.95))


@pytest.mark.parametrize("table_name", ["decoder", "ctc"])
def test_a_recogniser_transports_as_much_to_silence_as_it_calls_blank(table_name):
    ot_conf = {"silence": "ctc", "text_table": table_name}
    model = build_asr(model="otreg", model_conf={"ctc_weight": 0.3, "ot_conf": ot_conf}).eval()
    with torch.no_grad():
        model.ctc.ctc_lo.bias[0] = 1.0  # blank is said often enough
    _, stats, _ = run(model, make_asr_batch([60, 44], [3, 2]))
    assert float(stats["ot_silence_mass"]) == pytest.approx(float(stats["ctc_blank"]), abs=1e-3)
    conf = {"ctc_weight": 0.0, "ot_conf": {"silence": "ctc"}}
    with pytest.raises(UserError, match="silence: ctc needs a CTC branch"):
        build_asr(model="otreg", model_conf=conf)


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
    ids = model.piece_ids[batch["text"].clamp(min=0)].masked_fill(batch["text"] < 0, -1)
    said = Transcripts(ids, batch["text_lengths"])
    targets = model.ot_loss.targets(said, model.decoder.table, model.silence)
    tokens = targets.lengths - 1
    assert found[None] == pytest.approx(float((1 / targets.lengths).mean()), abs=1e-3)
    rest = torch.maximum(1 - tokens / lengths, 1 / targets.lengths)
    assert found[1.0] == pytest.approx(float(rest.mean()), abs=1e-3) != found[None]
