"""Spaces of trained models: the same frames, table and plan as in the models' own training."""

import numpy as np
import pytest
import torch

from espnet_otreg.errors import UserError
from espnet_otreg.measure.model_plans import close_gaps
from espnet_otreg.measure.spaces import Space, spell
from espnet_otreg.models.ctc import forced_plan
from espnet_otreg.models.options import OTConf
from espnet_otreg.pretrained.causal_lm import load_tokenizer
from tests.support.tiny_llm import SENTENCES, save_llm
from tests.support.tiny_models import TOKENS, build, make_batch
from tests.support.tiny_slm import build as build_slm
from tests.support.tiny_slm import make_batch as make_slm_batch
from tests.support.tiny_speech import save_experiment

FRAMES, SIZES = [30, 22, 14], [6, 4, 3]


def by_letters(utt, data):
    return {"text": np.array([TOKENS.index(letter) for letter in data["text"]])}


@pytest.fixture
def batch():
    return make_batch(FRAMES, SIZES)


@pytest.fixture
def texts(batch):
    rows = zip(batch["text"].tolist(), SIZES, strict=True)
    return ["".join(TOKENS[token] for token in row[:size]) for row, size in rows]


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return save_llm(tmp_path_factory.mktemp("llm"))


def place(model, batch, texts, **options):
    space = Space(model, by_letters, hop=0.04, **options)
    return space, space.place(batch["speech"], batch["speech_lengths"], texts)


@pytest.mark.parametrize("table", ["decoder", "ctc"])
def test_an_otreg_model_costs_what_its_own_validation_says(batch, texts, table):
    conf = {"ctc_weight": 0.3, "ot_conf": {"text_table": table, "epsilon": 0.05}}
    model = build(model="otreg", model_conf=conf).eval()
    space, placed = place(model, batch, texts)
    found = space.transport(placed)
    with torch.no_grad():
        _, stats, _ = model(**{key: value.clone() for key, value in batch.items()})
    mean = np.mean([one.cost for one in found])
    assert mean == pytest.approx(float(stats["ot_cost"]), rel=1e-5)
    assert space.regularised and space.table_name == table
    assert [one.targets[-1] for one in found] == [model.blank_id] * 3


def test_a_stock_model_is_measured_as_the_regularised_one_with_its_weights(batch, texts):
    stock, regularised = build(), build(model="otreg")
    regularised.load_state_dict(stock.state_dict())
    conf = OTConf(epsilon=0.2)
    (before, of_stock), (after, of_ours) = (
        place(model, batch, texts) for model in (stock, regularised)
    )
    assert not before.regularised and torch.equal(before.table, after.table)
    for one, other in zip(of_stock, of_ours, strict=True):
        assert torch.equal(one.speech, other.speech) and one.ids == other.ids
        np.testing.assert_array_equal(one.forced, other.forced)
    plans = before.transport(of_stock, conf), after.transport(of_ours, conf)
    for one, other in zip(*plans, strict=True):
        np.testing.assert_array_equal(one.coupling, other.coupling)


def test_neighbours_in_a_batch_change_nothing(batch, texts):
    space, together = place(build(), batch, texts)
    plans = space.transport(together)
    for row, size in enumerate(FRAMES):
        (alone,) = space.place(
            batch["speech"][row : row + 1, :size], torch.tensor([size]), [texts[row]]
        )
        torch.testing.assert_close(alone.speech, together[row].speech, rtol=1e-4, atol=1e-5)
        (plan,) = space.transport([alone])
        np.testing.assert_allclose(plan.coupling, plans[row].coupling, rtol=1e-3, atol=1e-6)


def test_forced_times_are_the_models_own_ctc_path_with_gaps_closed(batch, texts):
    model = build().eval()
    _, placed = place(model, batch, texts)
    with torch.no_grad():
        frames, lengths = model.encode(batch["speech"], batch["speech_lengths"])
        log_probs = model.ctc.log_softmax(frames)
    for row, one in enumerate(placed):
        path = forced_plan(log_probs[row, : lengths[row]], one.ids)
        np.testing.assert_array_equal(one.forced, close_gaps(path, 10))  # 0.4 s of 40 ms
        assert one.pieces == list(texts[row])


def test_what_cannot_be_aligned_is_a_problem_of_that_utterance_alone(batch, texts):
    _, placed = place(build(), batch, ["", texts[1], "abcdefghijklmnop"])
    assert placed[0].problem == "its transcript is empty" and not placed[1].problem
    # without CTC's path, other times may serve
    assert "too few" in placed[2].unforced and not placed[2].problem
    assert placed[2].forced is None


def test_a_speech_language_model_costs_what_its_own_validation_says(lm):
    model = build_slm(lm).eval()
    batch = make_slm_batch(lm)
    space = Space(model, hop=0.12)
    placed = space.place(batch["speech"], batch["speech_lengths"], SENTENCES[:4])
    mean = np.mean([one.cost for one in space.transport(placed)])
    with torch.no_grad():
        _, stats, _ = model(**batch)
    assert mean == pytest.approx(float(stats["ot_cost"]), rel=1e-5)
    assert space.table_name == "llm" and space.anchor == model.silence
    assert space.label(space.anchor) == "silence"
    for one, text in zip(placed, SENTENCES, strict=False):
        assert "".join(one.pieces).replace("▁", " ").strip() == text
        assert one.forced is None  # no CTC head


def test_shortening_does_not_hide_frames_from_the_measure(lm):
    batch = make_slm_batch(lm)
    conf = {"slm_conf": {"compression": "ot", "merge_threshold": -1.0}}
    given = batch["speech"], batch["speech_lengths"], SENTENCES[:4]
    whole = Space(build_slm(lm), hop=0.12).place(*given)
    short = Space(build_slm(lm, model_conf=conf), hop=0.12).place(*given)
    for one, other in zip(whole, short, strict=True):
        assert torch.equal(one.speech, other.speech)


def test_every_letter_belongs_to_one_piece_also_where_letters_are_cut_into_bytes(lm):
    tokenizer = load_tokenizer(lm)
    text = "l'homme ñandú 猫 est à l'hôpital"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    pieces = spell(tokenizer, ids)
    assert len(pieces) == len(ids) and "" in pieces  # 猫 takes several
    assert "".join(pieces).replace("▁", " ") == text


def test_an_experiment_is_opened_from_its_folder_and_its_hop_is_found(tmp_path):
    cut = dict.fromkeys(("bpemodel", "non_linguistic_symbols", "cleaner", "g2p"))
    folder = save_experiment(
        tmp_path, "transformer", use_preprocessor=True, token_type="char", **cut
    )
    space = Space.open(folder, "valid.acc.ave.pth")
    assert space.hop == pytest.approx(0.04, rel=0.005)  # 10 ms, subsampled by 4
    speech = 0.1 * torch.randn(1, 16000, generator=torch.Generator().manual_seed(0))
    (one,) = space.place(speech, torch.tensor([16000]), ["badge"])
    assert one.ids == [TOKENS.index(letter) for letter in "badge"]
    with pytest.raises(UserError, match=r"does not exist.*--model_file"):
        Space.open(folder, "valid.loss.best.pth")
    save_experiment(tmp_path / "raw", "transformer", use_preprocessor=False)
    with pytest.raises(UserError, match="use_preprocessor: false"):
        Space.open(tmp_path / "raw", "valid.acc.ave.pth")


def test_models_without_a_table_of_tokens_are_sent_elsewhere():
    model = build(
        model="ot_transfer",
        model_conf={"ctc_weight": 1.0},
        postencoder="transfer_adapter",
        postencoder_conf={"text_size": 12},
        decoder=None,
        decoder_conf={},
    )
    with pytest.raises(UserError, match=r"espnet_otreg\.stages\.alignment"):
        Space(model, by_letters, hop=0.04)


def test_frames_cached_of_nothing_known_are_refused(batch, texts):
    space, _ = place(build(), batch, texts)
    with pytest.raises(UserError, match="model: slm with an encoder that comes trained"):
        space.check_features("dump/frames")
    with pytest.raises(UserError, match="seconds from frame to frame"):
        Space(build(), by_letters, hop=0.0)
