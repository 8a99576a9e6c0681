"""What the teacher guesses in a token's place, and what CTC learns of it."""

import argparse
import copy
import math

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertTokenizer

from espnet_otreg.errors import UserError
from espnet_otreg.models.distil import TOP, Guesses, distil
from espnet_otreg.pretrained.pseudo_likelihood import PseudoLikelihood
from espnet_otreg.tasks.asr import check_text_features
from tests.support.tiny_lm import save_bert
from tests.support.tiny_models import TOKENS, build, make_batch, run

WIDTH = 12
OPTIONS = {
    "postencoder": "transfer_adapter",
    "postencoder_conf": {"text_size": WIDTH, "scale": 0.7},
    "decoder": None,
    "decoder_conf": {},
    "model": "ot_transfer",
}


PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *TOKENS[2:-1]]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A masked language model with its head, whose pieces are the tokens of the tiny models."""
    folder = tmp_path_factory.mktemp("teacher")
    BertTokenizer(vocab={piece: i for i, piece in enumerate(PIECES)}).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(PIECES), hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=40, initializer_range=0.5,
    )  # fmt: skip
    BertForMaskedLM(config).save_pretrained(folder)
    return folder


def taught(teacher, **transfer):
    options = copy.deepcopy(OPTIONS)
    transfer = {"main_weight": 0.3, "language_model": str(teacher), **transfer}
    options["model_conf"] = {"ctc_weight": 1.0, "transfer_conf": transfer}
    return build(**options)


def guessed(folder, pieces, place):
    """Mask one piece and ask transformers itself."""
    tokenizer, network = (
        BertTokenizer.from_pretrained(folder),
        BertForMaskedLM.from_pretrained(folder),
    )
    ids = tokenizer.convert_tokens_to_ids(["[CLS]", *pieces, "[SEP]"])
    ids[place + 1] = tokenizer.mask_token_id
    with torch.no_grad():
        logits = network.eval()(torch.tensor([ids])).logits[0, place + 1]
    return {token: float(logits[tokenizer.convert_tokens_to_ids(token)]) for token in TOKENS[2:-1]}


def test_guesses_are_the_language_models_own_over_the_tokens_there_are(teacher):
    text, lengths = torch.tensor([[4, 9, 3], [5, 6, -1]]), torch.tensor([3, 2])
    ids, shares = Guesses(TOKENS)(str(teacher), text, lengths)
    assert ids.shape == shares.shape == (2, 3, min(TOP, len(TOKENS) - 3))
    assert not shares[1, 2].any()
    for row, place, pieces in ((0, 1, "chb"), (1, 0, "de")):
        logits = guessed(teacher, [TOKENS[int(i)] for i in text[row, : lengths[row]]], place)
        total = sum(map(math.exp, logits.values()))
        for token, share in zip(ids[row, place], shares[row, place], strict=True):
            expected = math.exp(logits[TOKENS[int(token)]]) / total
            assert float(share) == pytest.approx(expected, rel=2e-3), pieces


def test_a_transcript_is_asked_for_once(teacher, monkeypatch):
    guesses, asked = Guesses(TOKENS), []
    ask = PseudoLikelihood.guesses
    monkeypatch.setattr(
        PseudoLikelihood,
        "guesses",
        lambda self, pieces, among: asked.append(pieces) or ask(self, pieces, among),
    )
    text, lengths = torch.tensor([[4, 9, 3], [4, 9, 3]]), torch.tensor([3, 3])
    first = guesses(str(teacher), text, lengths)
    again = guesses(str(teacher), text[:1], lengths[:1])
    assert asked == [[TOKENS[4], TOKENS[9], TOKENS[3]]]
    assert torch.equal(first[1][0], again[1][0])


def test_the_loss_is_the_cross_entropy_at_the_tokens_frames_without_the_blank(teacher):
    model = taught(teacher)
    frames = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(0))
    places = torch.tensor([[0.5, 3.5, 9.0], [2.2, 4.0, 0.0]])
    ids = torch.tensor([[[2, 3], [4, 5], [6, 7]], [[2, 9], [3, 4], [0, 0]]])
    shares = torch.tensor([[[0.7, 0.3], [0.5, 0.5], [1.0, 0.0]], [[0.2, 0.8], [0.9, 0.1], [0, 0]]])
    found = distil(model.ctc, frames, places, (ids, shares), torch.tensor([3, 2]))
    for row, at in ((0, (0, 3, 5)), (1, (2, 4))):
        logits = model.ctc.ctc_lo(frames[row])
        total = 0.0
        for place, frame in enumerate(at):
            log_probs = logits[frame, 1:].log_softmax(0)
            for token, share in zip(ids[row, place], shares[row, place], strict=True):
                total -= float((share * log_probs[token - 1]).detach())
        assert float(found[row].detach()) == pytest.approx(total / len(at), rel=1e-5)


def test_it_enters_the_loss_by_its_weight_and_teaches_encoder_and_output_layer(teacher):
    batch = make_batch([30, 22], [4, 3])
    losses = {}
    for weight in (0.0, 0.5):
        model = taught(teacher, distil_weight=weight, align_weight=0.0, transport_weight=0.0).eval()
        loss, stats, _ = run(model, batch)
        losses[weight] = float(loss)
        assert ("loss_distil" in stats) == (weight > 0)
    assert losses[0.5] == pytest.approx(
        losses[0.0] + 0.7 * 0.5 * float(stats["loss_distil"]), rel=1e-5
    )
    model = taught(
        teacher, main_weight=0.0, distil_weight=1.0, align_weight=0.0, transport_weight=0.0
    )
    loss, _, _ = run(model, batch)
    loss.backward()
    for part in (model.encoder, model.ctc):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
    assert not any("guess" in name or "network" in name for name in model.state_dict())


def test_a_language_model_without_a_head_is_refused(tmp_path):
    tokenizer = BertTokenizer(vocab={piece: i for i, piece in enumerate(PIECES)})
    bare = save_bert(tmp_path, tokenizer, width=WIDTH)
    conf = {"language_model": str(bare), "distil_weight": 1.0}
    data = {f"{use}_data_path_and_name_and_type": [] for use in ("train", "valid")}
    told = argparse.Namespace(model_conf={"transfer_conf": conf}, **data)
    with pytest.raises(
        UserError, match="distil_weight needs a language model that predicts masked"
    ):
        check_text_features(told)  # before training starts
    check_text_features(
        argparse.Namespace(model_conf={"transfer_conf": conf | {"distil_weight": 0}}, **data)
    )
    model = taught(bare, distil_weight=1.0)
    with pytest.raises(
        UserError, match="distil_weight needs a language model that predicts masked"
    ):
        run(model, make_batch([30], [3]))


def test_long_transcripts_are_guessed_in_parts_and_strange_ones_are_refused(teacher):
    model = PseudoLikelihood(teacher)
    pieces, among = list("abcdefghijklmnopabc"), torch.arange(5, 20)
    whole = model.guesses(pieces, among)
    assert whole.shape == (19, 15)
    for place in (0, 9, 18):
        expected = guessed(teacher, pieces, place)
        row = whole[place].tolist()
        assert row[0] == pytest.approx(expected["a"], abs=1e-4)
    strange = Guesses(["<blank>", "<unk>", "xyz", "<sos/eos>"])
    with pytest.raises(UserError, match="knows none of the token list"):
        strange(str(teacher), torch.tensor([[2]]), torch.tensor([1]))
