"""`ot_conf.whiten` in the models: frames and targets through one whitening, made of the table."""

import pytest
import torch

from espnet_otreg.errors import UserError
from espnet_otreg.models.controls import Transcripts
from espnet_otreg.models.options import OTConf
from espnet_otreg.models.transport_term import TransportTerm
from espnet_otreg.ot import OTRegLoss, whitening
from tests.support.tiny_llm import save_llm
from tests.support.tiny_models import build as build_asr
from tests.support.tiny_models import make_batch as make_asr_batch
from tests.support.tiny_models import run
from tests.support.tiny_slm import build, make_batch

WHITE = {"whiten": "vocabulary", "whiten_shrinkage": 0.2}


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return save_llm(tmp_path_factory.mktemp("llm"))


def test_the_speech_language_models_term_is_otreg_in_the_whitened_space(lm):
    conf = {"ot_conf": {"weight": 0.3, **WHITE}}
    model, batch = build(lm, model_conf=conf).eval(), make_batch(lm)
    model._count.epoch = 1
    loss, stats, _ = run(model, batch)
    heard = model.hear(batch["speech"], batch["speech_lengths"])
    ids = model.piece_ids[batch["text"].clamp(min=0)].masked_fill(batch["text"] < 0, -1)
    table = model.decoder.table.detach()
    said = Transcripts(ids, batch["text_lengths"])
    plain = model.ot_loss.targets(said, table, model.silence)
    white = whitening(table, 0.2)
    term = OTRegLoss()(
        white(heard.whole), heard.whole_lengths, white(table)[plain.ids.clamp(min=0)], plain.lengths
    )
    torch.testing.assert_close(stats["loss_ot"].squeeze(), term.loss.detach())
    torch.testing.assert_close(loss.detach(), (stats["loss_ce"] + 0.3 * term.loss.detach()))
    unlike = build(lm, model_conf={"ot_conf": {"weight": 0.3}}).eval()
    assert abs(run(unlike, batch)[1]["loss_ot"] - stats["loss_ot"]) > 0.01
    assert set(model.state_dict()) == set(unlike.state_dict())


def test_a_table_that_trains_is_whitened_as_it_is_now():
    conf = {"ctc_weight": 0.3, "ot_conf": {"text_table": "ctc", **WHITE}}
    model, batch = (
        build_asr(model="otreg", model_conf=conf).eval(),
        make_asr_batch([30, 22], [6, 4]),
    )
    before = run(model, batch)[1]["ot_cost"]
    with torch.no_grad():
        model.ctc.ctc_lo.weight[5:9] += 1.0
    after = run(model, batch)[1]["ot_cost"]
    assert not torch.equal(before, after)
    fresh = build_asr(model="otreg", model_conf=conf).eval()
    fresh.load_state_dict(model.state_dict())  # nothing of it is saved, all of it is found again
    assert torch.equal(run(fresh, batch)[1]["ot_cost"], after)


def test_gradients_pass_the_whitening_and_nan_in_padding_does_not():
    table = torch.randn(20, 8)
    term = TransportTerm(OTConf(**WHITE))
    lengths = torch.tensor([9, 5])
    said = Transcripts(torch.tensor([[3, 4, 5], [6, 7, -1]]), torch.tensor([3, 2]))
    targets = term.targets(said, table, 0)
    found = []
    for filling in (0.0, torch.nan):
        torch.manual_seed(0)
        frames = torch.randn(2, 9, 8)
        frames[1, 5:] = filling
        frames.requires_grad_()
        out = term(frames, lengths, targets, table)
        out.loss.backward()
        found.append((out.loss.detach(), frames.grad))
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])
    assert found[0][1][0].any() and not found[0][1][1, 5:].any()


@pytest.mark.parametrize("whiten", ["none", "vocabulary"])
def test_centred_frames_may_be_double_and_alike_ones_are_not_torn_apart_by_rounding(whiten):
    table, lengths = torch.randn(20, 8, dtype=torch.double), torch.tensor([9, 1])
    said = Transcripts(torch.tensor([[3, 4, 5], [6, -1, -1]]), torch.tensor([3, 1]))
    term = TransportTerm(OTConf(whiten=whiten, centre_frames=True))
    frames = torch.randn(2, 1, 8, dtype=torch.double).expand(2, 9, 8).clone().requires_grad_()
    for dtype in (torch.double, torch.float):
        given = frames.to(dtype), lengths, term.targets(said, table.to(dtype), 0), table.to(dtype)
        out = term(*given)
        (grad,) = torch.autograd.grad(out.loss, frames)
        assert out.cost.dtype == dtype and out.loss.isfinite() and grad.abs().max() < 10


@pytest.mark.parametrize("whiten", ["none", "vocabulary"])
def test_centred_frames_know_nothing_of_what_all_of_them_have_in_common(whiten):
    table, lengths = torch.randn(20, 8), torch.tensor([9, 5])
    said = Transcripts(torch.tensor([[3, 4, 5], [6, 7, -1]]), torch.tensor([3, 2]))
    frames = torch.randn(2, 9, 8)
    own = torch.randn(2, 1, 8)  # of each utterance
    for centre in (True, False):
        term = TransportTerm(OTConf(whiten=whiten, centre_frames=centre))
        targets = term.targets(said, table, 0)
        with_it = term(frames + 10 * own, lengths, targets, table).cost
        without = term(frames, lengths, targets, table).cost
        assert torch.allclose(with_it, without, atol=1e-4) == centre


def test_a_table_of_equal_rows_is_an_error_that_names_the_option():
    conf = {"ctc_weight": 0.3, "ot_conf": {"text_table": "ctc", **WHITE}}
    model = build_asr(model="otreg", model_conf=conf).eval()
    with torch.no_grad():
        model.ctc.ctc_lo.weight[:] = 1.0
    with pytest.raises(UserError, match=r"ot_conf\.whiten: the table of ctc: .*all the same"):
        run(model, make_asr_batch([30, 22], [6, 4]))
