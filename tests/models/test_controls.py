"""Transcripts that are not the utterance's, and how much of them fits nevertheless."""

import pytest
import torch

from espnet_otreg.errors import UserError
from espnet_otreg.models.controls import Control, Transcripts, shared_tokens
from espnet_otreg.models.options import OTConf
from espnet_otreg.models.transport_term import TransportTerm
from tests.support.tiny_llm import save_llm
from tests.support.tiny_models import build as build_asr
from tests.support.tiny_models import make_batch as make_asr_batch
from tests.support.tiny_models import run
from tests.support.tiny_slm import build, make_batch

IDS = torch.tensor([[3, 4, 3, 5], [6, 7, -1, -1], [3, 9, 8, -1], [2, -1, -1, -1]])
LENGTHS = torch.tensor([4, 2, 3, 1])


def languages(*codes):
    return torch.tensor([list(code.encode()) for code in codes])


def test_the_other_language_is_the_nearest_before_that_differs():
    said = Transcripts(IDS, LENGTHS, languages("en", "en", "es", "fr"))
    taken = Control("other_language")(said)
    assert taken.ids.tolist() == IDS[[3, 3, 1, 2]].tolist()
    assert taken.lengths.tolist() == LENGTHS[[3, 3, 1, 2]].tolist()


def test_a_batch_of_one_language_gets_neighbours_and_data_of_one_is_refused(caplog):
    control, alone = Control("other_language"), Transcripts(IDS, LENGTHS, languages(*["en"] * 4))
    for _ in range(19):
        assert torch.equal(control(alone).ids, IDS.roll(1, 0))
    assert caplog.text.count("this batch has one language") == 1
    with pytest.raises(UserError, match="one language alone in 20 batches"):
        control(alone)
    mixed = Control("other_language")
    mixed(alone._replace(languages=languages("en", "en", "es", "en")))
    for _ in range(30):
        mixed(alone)  # the odd batch is no reason to stop


@pytest.mark.parametrize("kind", ["shuffled", "random_tokens"])
def test_an_utterance_alone_has_nobody_elses_tokens_and_such_data_is_refused(kind, caplog):
    control, alone = Control(kind), Transcripts(IDS[:1], LENGTHS[:1])
    for _ in range(19):
        control(alone)
    assert caplog.text.count("this batch has one utterance") == 1
    with pytest.raises(UserError, match=f"{kind} met one utterance alone in 20 batches: take lar"):
        control(alone)
    mixed = Control(kind)
    mixed(Transcripts(IDS, LENGTHS))
    for _ in range(30):
        mixed(alone)  # the last batch of an epoch


def test_a_language_that_nobody_tells_is_an_error():
    with pytest.raises(UserError, match=r"control: other_language needs .*utt2lang"):
        Control("other_language")(Transcripts(IDS, LENGTHS))


def test_random_tokens_are_the_batchs_own_dealt_out_anew():
    said = Transcripts(IDS, LENGTHS)
    torch.manual_seed(0)
    dealt = [Control("random_tokens")(said) for _ in range(50)]
    for taken in dealt:
        assert torch.equal(taken.lengths, LENGTHS)
        assert torch.equal(taken.ids < 0, IDS < 0)
        assert sorted(taken.ids[IDS >= 0].tolist()) == sorted(IDS[IDS >= 0].tolist())
    firsts = torch.stack([taken.ids[3, 0] for taken in dealt])
    assert len(firsts.unique()) > 4  # of the seven there are
    torch.manual_seed(0)
    assert torch.equal(Control("random_tokens")(said).ids, dealt[0].ids)


def test_what_is_shared_is_counted_in_distinct_targets_without_the_anchor():
    targets = torch.tensor([[3, 9, 0, -1], [6, 7, 0, -1], [4, 2, 1, 0], [0, -1, -1, -1]])
    said = Transcripts(IDS.where(IDS >= 0, torch.tensor(9)), LENGTHS)  # padding may hold anything
    assert shared_tokens(targets, 0, said).tolist() == [0.5, 1.0, 0.0, 0.0]


def test_the_log_tells_what_a_control_shares_with_the_truth():
    table = torch.eye(10)
    said = Transcripts(torch.cat([IDS[:3], torch.tensor([[9, -1, -1, -1]])]), LENGTHS)
    frames, lengths = torch.randn(4, 6, 10), torch.full((4,), 6)
    found = {}
    for control in ("shuffled", "none"):
        term = TransportTerm(OTConf(control=control))
        targets = term.targets(said, table, 0)
        found[control] = term.told(term(frames, lengths, targets, table), targets, said, 0)
    assert "ot_control_shared" not in found["none"]
    # [9] for [3 4 5], [3 4 5] for [6 7], [6 7] for [3 9 8], of [3 9 8] a third for [9]
    assert float(found["shuffled"]["ot_control_shared"]) == pytest.approx(1 / 12)


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return save_llm(tmp_path_factory.mktemp("llm"))


def test_the_speech_language_model_is_drawn_to_another_language(lm):
    batch = make_batch(lm)  # three in English, one in Spanish
    model = build(lm, model_conf={"ot_conf": {"weight": 0.3, "control": "other_language"}}).eval()
    plain = build(lm, model_conf={"ot_conf": {"weight": 0.3}}).eval()
    ids = plain.piece_ids[batch["text"].clamp(min=0)].masked_fill(batch["text"] < 0, -1)
    rows = [3, 3, 3, 2]
    other = {"transcript": ids[rows], "transcript_lengths": batch["text_lengths"][rows]}
    _, stats, _ = model(**batch)
    assert torch.equal(stats["loss_ot"], plain(**batch, **other)[1]["loss_ot"])
    assert 0 <= stats["ot_control_shared"] < 1


def test_a_recogniser_takes_the_language_from_its_batch():
    conf = {"ctc_weight": 0.3, "ot_conf": {"control": "other_language"}}
    model = build_asr(model="otreg", model_conf=conf).eval()
    batch = make_asr_batch([30, 22, 14], [6, 4, 3])
    with pytest.raises(UserError, match="other_language needs"):
        run(model, batch)
    _, stats, _ = run(model, {**batch, "language": languages("en", "es", "en")})
    assert torch.isfinite(stats["loss_ot"]) and "ot_control_shared" in stats
