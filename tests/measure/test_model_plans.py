"""Plans of a trained model: CTC's path and the decoder's attention, one utterance at a time."""

from itertools import groupby, pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertTokenizer

from espnet_otreg.errors import UserError
from espnet_otreg.measure.alignment_scores import measure
from espnet_otreg.measure.model_plans import (
    ATTENTION,
    CLOSED,
    FORCED,
    align_batch,
    attention_plan,
    close_gaps,
    describe,
)
from espnet_otreg.measure.truth import truth_of_plan
from espnet_otreg.models.ctc import forced_plan
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


def log_probs(frames: int, size: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(frames, size, generator=generator).mul(2).log_softmax(1)


def best_path(scores: torch.Tensor, tokens: list[int], blank: int) -> tuple[int, ...]:
    """Of all label sequences, the likeliest that reads as the tokens."""
    frames, size = scores.shape
    table = scores.tolist()

    def reads(path: tuple[int, ...]) -> list[int]:
        return [label for label, _ in groupby(path) if label != blank]

    paths = [path for path in product(range(size), repeat=frames) if reads(path) == tokens]
    return max(paths, key=lambda path: sum(table[t][label] for t, label in enumerate(path)))


def plan_of(path: tuple[int, ...], tokens: list[int], blank: int) -> np.ndarray:
    plan, column = np.zeros((len(path), len(tokens))), -1
    for t, label in enumerate(path):
        column += label not in (blank, path[t - 1] if t else blank)
        if label != blank:
            plan[t, column] = 1
    return plan


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    frames=st.integers(1, 6),
    tokens=st.lists(st.integers(0, 1), max_size=4),
    blank=st.integers(0, 2),
    seed=st.integers(0, 10**6),
)
def test_the_path_is_the_best_of_all_there_are(frames, tokens, blank, seed):
    labels = [label for label in range(3) if label != blank]
    tokens = [labels[token] for token in tokens]
    scores = log_probs(frames, 3, seed)
    if frames < len(tokens) + sum(a == b for a, b in pairwise(tokens)):
        with pytest.raises(UserError, match="frames are too few"):
            forced_plan(scores, tokens, blank=blank)
        return
    found = forced_plan(scores, tokens, blank=blank)
    expected = plan_of(best_path(scores, tokens, blank), tokens, blank)
    np.testing.assert_array_equal(found, expected)


def test_a_repeated_token_gets_two_columns_with_a_blank_between():
    scores = torch.full((5, 3), -9.0)
    for frame, label in enumerate([1, 1, 0, 1, 2]):
        scores[frame, label] = 0
    plan = forced_plan(scores, [1, 1, 2])
    assert plan.argmax(1).tolist() == [0, 0, 0, 1, 2]
    assert plan.sum(1).tolist() == [1, 1, 0, 1, 1]


def test_too_few_frames_are_told_with_the_number_needed():
    with pytest.raises(UserError, match=r"3 frames are too few for 3 tokens.*CTC needs 4"):
        forced_plan(log_probs(3, 4, 0), [1, 1, 2])


@pytest.mark.parametrize("tokens", [[0], [4], [-1, 1]])
def test_tokens_that_are_blank_or_unknown_are_refused(tokens):
    with pytest.raises(UserError, match="cannot be aligned"):
        forced_plan(log_probs(3, 4, 0), tokens)


def test_impossible_transcripts_and_shapes_are_refused():
    scores = log_probs(3, 4, 0)
    scores[:, 2] = -torch.inf
    with pytest.raises(UserError, match="no CTC path"):
        forced_plan(scores, [2])
    with pytest.raises(UserError, match="expected \\(frames, vocabulary\\)"):
        forced_plan(scores[None], [1])
    with pytest.raises(UserError, match="blank 7"):
        forced_plan(scores, [1], blank=7)


def test_an_alignment_measured_against_itself_is_perfect():
    plan = forced_plan(log_probs(30, 6, 3), [1, 2, 2, 5, 3])
    truth = truth_of_plan(plan, np.arange(5), 0.04)
    figures = measure(plan, truth).figures()
    assert figures.pop("boundary_ms") == figures.pop("missed") == 0
    assert set(figures.values()) == {1.0}


def test_short_gaps_are_shared_by_their_neighbours_and_long_ones_stay():
    path = [-1, 0, -1, -1, -1, 1, -1, 2, 2, -1, -1, -1, -1, 3, -1]
    plan = np.array([[float(token == column) for column in range(4)] for token in path])
    closed = close_gaps(plan, 3)
    found = [int(row.argmax()) if row.any() else -1 for row in closed]
    assert found == [-1, 0, 0, 0, 1, 1, 1, 2, 2, -1, -1, -1, -1, 3, -1]
    np.testing.assert_array_equal(close_gaps(plan, 0), plan)


def test_attention_becomes_a_plan_whose_tokens_weigh_the_same():
    weights = np.array([[0.2, 0.6, 0.2], [0.0, 0.5, 1.5], [0.0, 0.0, 0.0]])
    expected = [[0.2, 0, 0], [0.6, 0.25, 0], [0.2, 0.75, 0]]
    np.testing.assert_allclose(attention_plan(weights), expected)
    with pytest.raises(UserError, match="expected \\(tokens, frames\\)"):
        attention_plan(weights[None])
