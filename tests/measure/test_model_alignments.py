"""Plans of a trained model: CTC's path and the decoder's attention, one utterance at a time."""

import numpy as np
import pytest
import torch
from transformers import BertTokenizer

from espnet_otreg.measure.model_alignments import ATTENTION, CLOSED, FORCED, align_batch, describe
from espnet_otreg.ot import AlignmentConf
from espnet_otreg.pretrained.masked_lm import LanguageModel
from tests.support.tiny_lm import save_bert
from tests.support.tiny_models import TOKENS, build, make_batch

FRAMES, SIZES = [30, 22, 14], [6, 4, 3]


@pytest.fixture
def batch():
    return make_batch(FRAMES, SIZES)


def pieces_of(batch):
    rows = zip(batch["text"].tolist(), SIZES, strict=True)
    return [[TOKENS[token] for token in row[:size]] for row, size in rows]


def aligned(model, batch, pieces):
    """No language model is asked, as the stock model was taught by none."""
    return align_batch(
        model.eval(), batch["speech"], batch["speech_lengths"], pieces, None, longest_gap=3
    )


def test_attention_is_what_the_decoder_computes_while_it_predicts_each_token(batch):
    model = build(decoder_conf={"attention_heads": 2, "linear_units": 24, "num_blocks": 2}).eval()
    found = aligned(model, batch, pieces_of(batch))
    for row, (frames, size) in enumerate(zip(FRAMES, SIZES, strict=True)):
        text = batch["text"][row, :size]
        with torch.no_grad():
            speech = batch["speech"][row : row + 1, :frames]
            encoded, lengths = model.encode(speech, torch.tensor([frames]))
            for token in range(size):  # step by step: only what is known so far is fed
                known = torch.cat([torch.tensor([model.sos]), text[:token]])[None]
                model.decoder(encoded, lengths, known, torch.tensor([token + 1]))
                attended = model.decoder.decoders[-1].src_attn.attn[0, :, -1].mean(0)
                plan = found[row].plans[ATTENTION]
                assert plan.shape == (frames, size + 2)
                np.testing.assert_allclose(plan[:, token + 1], attended, rtol=1e-4, atol=1e-6)
        assert (plan[:, [0, -1]] == 0).all()  # nothing attends for [CLS] and [SEP]


def test_a_model_without_decoder_has_the_rows_of_ctc_alone(batch):
    model = build(model_conf={"ctc_weight": 1.0}, decoder=None, decoder_conf={})
    for found, frames, size in zip(
        aligned(model, batch, pieces_of(batch)), FRAMES, SIZES, strict=True
    ):
        assert set(found.plans) == {FORCED, CLOSED}
        assert found.plans[FORCED].shape == (frames, size + 2)
        assert (found.plans[FORCED].sum(1) <= found.plans[CLOSED].sum(1)).all()


def test_too_many_tokens_for_the_frames_are_a_problem_of_that_utterance_alone(batch):
    pieces = pieces_of(batch)
    pieces[2] = ["a"] * 20
    found = aligned(build(), batch, pieces)
    assert "too few" in found[2].problem and not found[2].plans
    assert all(not one.problem and one.plans for one in found[:2])


def test_the_models_own_plan_is_what_it_gives_each_utterance_alone(batch, tmp_path):
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *TOKENS[2:-1]]
    tokenizer = BertTokenizer(vocab={piece: i for i, piece in enumerate(pieces)})
    teacher = LanguageModel(save_bert(tmp_path, tokenizer, width=12))
    guided = {"temporal_weight": 2.0, "temporal_places": "ctc"}
    model = build(
        model="ot_transfer",
        model_conf={"ctc_weight": 1.0, "alignment_conf": guided},
        postencoder="transfer_adapter",
        postencoder_conf={"text_size": 12},
        decoder=None,
        decoder_conf={},
    ).eval()
    rows = pieces_of(batch)
    together = align_batch(
        model, batch["speech"], batch["speech_lengths"], rows, teacher, longest_gap=3
    )
    for row, (frames, size) in enumerate(zip(FRAMES, SIZES, strict=True)):
        features, _ = teacher.embed([rows[row]])
        alone, _, _ = model.align(
            *(batch["speech"][row : row + 1, :frames], torch.tensor([frames])),
            *(batch["text"][row : row + 1, :size], torch.tensor([size]), features),
        )
        found = together[row].plans["unbalanced + places by CTC"]
        np.testing.assert_allclose(found, alone.coupling[0], rtol=1e-3, atol=1e-6)


def test_an_alignment_is_named_by_what_it_adds_to_its_kind():
    assert describe(AlignmentConf()) == "unbalanced"
    assert describe(AlignmentConf(kind="semi_relaxed", temporal_weight=0.5)) == (
        "semi_relaxed + prior"
    )
    assert describe(AlignmentConf(temporal_weight=2.0, temporal_places="ctc", dustbin=True)) == (
        "unbalanced + dustbin + places by CTC"
    )
    assert describe(AlignmentConf(kind="balanced", structure_weight=0.02)) == "balanced + structure"
