"""Where CTC emits each token, against the path itself."""

import pytest
import torch

from espnet_otreg.models.ctc import BlankWatch, ctc_places, forced_plan
from tests.support.tiny_models import ENCODER, build, make_batch, run


def peaky(path: list[int], size: int = 5) -> torch.Tensor:
    """Log probabilities of a CTC that is sure of its path."""
    scores = torch.full((len(path), size), 0.01)
    scores[torch.arange(len(path)), torch.tensor(path)] = 1.0
    return scores.log_softmax(1)


def pad(rows: list[torch.Tensor], value: float) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([len(row) for row in rows])
    return torch.nn.utils.rnn.pad_sequence(rows, True, value), lengths


def test_a_place_is_the_middle_of_the_frames_that_emit_the_token():
    # token 3 in frames 1 and 2, then again in frame 5, token 2 in frame 6
    scores, frames = pad([peaky([0, 3, 3, 0, 0, 3, 2, 0])], 0.0)
    places = ctc_places(scores, frames, torch.tensor([[3, 3, 2]]), torch.tensor([3]))
    assert places.tolist() == [[0.0, 2.0, 5.5, 6.5, 8.0]]


def test_neighbours_and_padding_change_nothing():
    generator = torch.Generator().manual_seed(2)
    rows = [torch.randn(t, 5, generator=generator).log_softmax(1) for t in (12, 7, 9)]
    texts = [torch.tensor(tokens) for tokens in ([1, 2, 2, 4], [3], [4, 1, 4])]
    scores, frames = pad(rows, 7.0)
    text, sizes = pad(texts, -1)
    together = ctc_places(scores, frames, text, sizes)
    assert together.shape == (3, 6)
    for row, (alone, tokens) in enumerate(zip(rows, texts, strict=True)):
        plan = torch.from_numpy(forced_plan(alone, tokens.tolist()))
        middles = ((torch.arange(len(alone)) + 0.5) @ plan) / plan.sum(0)
        expected = [0.0, *middles.tolist(), float(len(alone))]
        assert together[row, : len(tokens) + 2].tolist() == pytest.approx(expected)


def test_without_a_path_tokens_are_spread_evenly():
    scores, frames = pad([peaky([1, 2, 3]), peaky([0, 1, 0])], 0.0)
    text, sizes = pad([torch.tensor([1, 1, 2, 2]), torch.tensor([1])], -1)
    places = ctc_places(scores, frames, text, sizes)
    assert places[0].tolist() == pytest.approx([0.0, 0.375, 1.125, 1.875, 2.625, 3.0])
    assert places[1, :3].tolist() == [0.0, 1.5, 3.0]


def test_an_empty_transcript_has_its_ends_alone():
    scores, frames = pad([peaky([0, 0])], 0.0)
    places = ctc_places(scores, frames, torch.full((1, 1), -1), torch.tensor([0]))
    assert places[0, :2].tolist() == [0.0, 2.0]


CONDITIONED = {
    "encoder": "conformer",
    "encoder_conf": {
        **ENCODER, "input_layer": "linear", "interctc_layer_idx": [1],
        "interctc_use_conditioning": True,
    },
    "model_conf": {"ctc_weight": 0.3, "interctc_weight": 0.3},
}  # fmt: skip


@pytest.mark.parametrize("variant", [{}, CONDITIONED], ids=["plain", "self-conditioned"])
def test_the_share_of_blanks_in_the_log_is_that_of_the_last_layers_output(variant):
    model, batch = build(model="otreg", **variant).eval(), make_batch([30, 22, 14], [6, 4, 3])
    with torch.no_grad():
        model.ctc.ctc_lo.bias[0] = 0.3  # blank is said now and then
        frames, lengths = model.encode(batch["speech"].clone(), batch["speech_lengths"])
        frames = frames[0] if isinstance(frames, tuple) else frames
        best = model.ctc.argmax(frames)
    shares = [(row[:n] == 0).float().mean() for row, n in zip(best, lengths, strict=True)]
    _, stats, _ = run(model, batch)
    assert float(stats["ctc_blank"]) == pytest.approx(float(torch.stack(shares).mean()))
    assert 0 < stats["ctc_blank"] < 1


def test_a_model_without_ctc_tells_no_share_of_blanks():
    watch = BlankWatch(None, 0)
    watch.wait()
    assert watch.share(torch.tensor([3])) is None
    model = build(model="otreg", model_conf={"ctc_weight": 0.0}).eval()
    assert "ctc_blank" not in run(model, make_batch([30, 22], [6, 4]))[1]
