"""`model: ot_transfer` against the stock model with the same postencoder, and against its sums."""

import copy
import dataclasses

import pytest
import torch
from transformers import BertTokenizer

from espnet_otreg.errors import UserError
from espnet_otreg.models.ctc import ctc_places
from espnet_otreg.models.teacher import FEATURES
from espnet_otreg.ot import align
from espnet_otreg.pretrained.masked_lm import LanguageModel
from tests.support.tiny_lm import save_bert
from tests.support.tiny_models import ENCODER, TOKENS, make_batch, run

WIDTH = 12  # of the language model
ADAPTER = {
    "postencoder": "transfer_adapter",
    "postencoder_conf": {"text_size": WIDTH, "scale": 0.7},
    "model_conf": {"ctc_weight": 1.0},
    "decoder": None,
    "decoder_conf": {},
}
DECODER = {
    "decoder": "transformer",
    "decoder_conf": {"attention_heads": 2, "linear_units": 24, "num_blocks": 1},
}
KEYS = {"loss_align", "ot_cost", "ot_mass", "ot_marginal_error", "ot_entropy", "ot_ends_mass"}
KEYS |= {"ctc_blank"}
KINDS = ["balanced", "unbalanced", "semi_relaxed", "diagonal", "softmax"]
AT_CTC = {"temporal_weight": 0.5, "temporal_places": "ctc"}


def add_features(batch):
    """Features of a language model: [CLS], the tokens, [SEP]; padding is noise."""
    generator = torch.Generator().manual_seed(5)
    rows, tokens = batch["text"].shape
    batch[FEATURES] = torch.randn(rows, tokens + 2, WIDTH, generator=generator)
    batch[f"{FEATURES}_lengths"] = batch["text_lengths"] + 2
    return batch


@pytest.fixture
def taught_batch(batch):
    return add_features(batch)


def taught(build_model, alignment=None, layers=None, variant=None, **transfer):
    options = copy.deepcopy({**ADAPTER, **(variant or {})})
    options["model_conf"]["alignment_conf"] = alignment or {}
    options["model_conf"]["transfer_conf"] = {"layers": layers or [], **transfer}
    return build_model(**options, model="ot_transfer")


def plain(build_model, **variant):
    return build_model(**copy.deepcopy({**ADAPTER, **variant}))


def without_features(batch):
    return {key: value for key, value in batch.items() if FEATURES not in key}


def test_full_main_weight_is_the_stock_model_bit_for_bit(build_model, taught_batch):
    stock, ours = plain(build_model).train(), taught(build_model, main_weight=1.0).train()
    expected, _, _ = run(stock, without_features(taught_batch))
    loss, _, _ = run(ours, taught_batch)
    expected.backward()
    loss.backward()
    assert torch.equal(loss, expected)
    gradients = dict(stock.named_parameters())
    for name, parameter in ours.named_parameters():
        assert torch.equal(parameter.grad, gradients[name].grad), name


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_published_sum_of_its_three_terms(build_model, taught_batch, kind):
    stock, _, _ = run(plain(build_model).eval(), without_features(taught_batch))
    model = taught(
        build_model, {"kind": kind}, main_weight=0.3, align_weight=0.6, transport_weight=2.0
    ).eval()
    loss, stats, _ = run(model, taught_batch)
    expected = 0.3 * stock + 0.7 * (0.6 * stats["loss_align"] + 2.0 * stats["ot_cost"])
    torch.testing.assert_close(loss, expected)
    assert set(stats) >= KEYS


def test_the_alignment_loss_is_what_a_loop_over_tokens_gives(build_model, taught_batch):
    model = taught(build_model).eval()
    _, stats, _ = run(model, taught_batch)
    plan, _, _ = model.align(
        taught_batch["speech"],
        taught_batch["speech_lengths"],
        taught_batch["text"],
        taught_batch["text_lengths"],
        taught_batch[FEATURES],
    )
    kept = []
    hook = model.postencoder.to_text.register_forward_hook(lambda *given: kept.append(given[2]))
    model.encode(taught_batch["speech"].clone(), taught_batch["speech_lengths"])
    hook.remove()
    total = 0.0
    for row, tokens in enumerate(taught_batch["text_lengths"].tolist()):
        for column in range(1, tokens + 1):  # neither [CLS] nor [SEP]
            heard = (plan.coupling[row, :, column, None] * kept[0][row]).sum(0)
            target = taught_batch[FEATURES][row, column]
            total += 1 - torch.cosine_similarity(heard, target, dim=0)
    torch.testing.assert_close(stats["loss_align"].squeeze(), total.detach() / 3)


def test_the_terms_teach_encoder_and_projection_but_not_the_way_back(build_model, taught_batch):
    model = taught(build_model, main_weight=0.0).train()
    run(model, taught_batch)[0].backward()
    adapter = model.postencoder
    assert adapter.to_text.weight.grad.abs().max() > 0
    assert model.encoder.embed[0].weight.grad.abs().max() > 0
    assert adapter.to_speech.weight.grad.abs().max() == 0  # η = 0 hides the CTC loss


def test_inner_layers_add_projections_that_the_stock_model_does_not_have(build_model, taught_batch):
    model = taught(build_model, layers=[1, 2]).train()
    extra = set(model.state_dict()) - set(plain(build_model).state_dict())
    assert extra == {f"layer_projections.{i}.{kind}" for i in (0, 1) for kind in ("weight", "bias")}
    run(model, taught_batch)[0].backward()
    assert all(layer.weight.grad.abs().max() > 0 for layer in model.layer_projections)


def test_speech_is_encoded_once_and_no_graph_outlives_the_step(build_model, taught_batch):
    model = taught(build_model, layers=[1])
    calls = []
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    run(model.train(), taught_batch)
    assert len(calls) == 1
    assert model._seen is None
    assert model._encoded is None


def test_places_from_ctc_are_those_of_the_models_own_output(build_model, taught_batch):
    model = taught(build_model, AT_CTC, layers=[1]).eval()
    _, stats, _ = run(model, taught_batch)
    given = [taught_batch[key] for key in ("text", "text_lengths")]
    kept = []
    hook = model.postencoder.to_text.register_forward_hook(lambda *found: kept.append(found[2]))
    plan, frames, lengths = model.align(
        taught_batch["speech"], taught_batch["speech_lengths"], *given, taught_batch[FEATURES]
    )
    hook.remove()
    places = ctc_places(model.ctc.log_softmax(frames), lengths, *given)
    features = taught_batch[FEATURES], given[1] + 2
    expected = align(kept[0], lengths, *features, model.alignment_conf, places)
    torch.testing.assert_close(plan.coupling, expected.coupling)
    torch.testing.assert_close(stats["ot_mass"].squeeze(), plan.speech_mass.sum(1).mean())
    assert (
        plan.coupling - align_without_places(model, kept[0], lengths, features)
    ).abs().max() > 0.02


def align_without_places(model, projected, lengths, features):
    conf = dataclasses.replace(model.alignment_conf, temporal_places="diagonal")
    return align(projected, lengths, *features, conf).coupling


def test_centred_frames_know_nothing_of_what_all_of_them_have_in_common(build_model, taught_batch):
    model = taught(build_model, centre_frames=True).eval()
    before = run(model, taught_batch)[1]
    with torch.no_grad():
        model.postencoder.to_text.bias += 30 * torch.randn_like(model.postencoder.to_text.bias)
    after = run(model, taught_batch)[1]
    for key in ("loss_align", "ot_cost", "ot_entropy"):
        torch.testing.assert_close(after[key], before[key], rtol=1e-4, atol=1e-4)
    as_they_are = taught(build_model).eval()
    as_they_are.load_state_dict(model.state_dict())
    assert abs(run(as_they_are, taught_batch)[1]["ot_cost"] - before["ot_cost"]) > 0.01


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("alignment", [{}, AT_CTC, {"kind": "monotone"}])
def test_the_terms_do_not_depend_on_batch_neighbours(build_model, alignment, centred):
    model = taught(build_model, alignment, layers=[1], centre_frames=centred).eval()
    together = add_features(make_batch([30, 22, 14], [6, 4, 3]))
    alone = []
    for row, (frames, tokens) in enumerate([(30, 6), (22, 4), (14, 3)]):
        one = {
            "speech": together["speech"][row : row + 1, :frames],
            "speech_lengths": torch.tensor([frames]),
            "text": together["text"][row : row + 1, :tokens],
            "text_lengths": torch.tensor([tokens]),
            FEATURES: together[FEATURES][row : row + 1, : tokens + 2],
            f"{FEATURES}_lengths": torch.tensor([tokens + 2]),
        }
        alone.append(run(model, one)[1])
    stats = run(model, together)[1]
    for key in ("loss_align", "ot_cost", "ot_mass"):
        mean = torch.stack([each[key] for each in alone]).mean(0)
        torch.testing.assert_close(stats[key], mean, rtol=1e-4, atol=1e-5)


def test_the_log_always_has_the_same_keys(build_model, taught_batch):
    found = []
    for weight in (0.3, 1.0):
        model = taught(build_model, main_weight=weight)
        for mode in (model.train, model.eval):
            _, stats, _ = run(mode(), taught_batch)
            found.append(set(stats))
            assert all(torch.isfinite(stats[key]).all() for key in KEYS)
    assert all(keys == found[0] for keys in found)


def test_a_hybrid_model_can_be_taught_too(build_model, taught_batch):
    variant = {"model_conf": {"ctc_weight": 0.3}, **DECODER}
    loss, stats, _ = run(taught(build_model, variant=variant).train(), taught_batch)
    loss.backward()
    assert "acc" in stats
    assert torch.isfinite(loss)


def test_an_empty_transcript_leaves_loss_and_gradients_finite(build_model):
    model = taught(build_model).train()
    batch = add_features(make_batch([30, 12], [0, 4]))
    loss, _, _ = run(model, batch)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"main_weight": 1.5},
            "transfer_conf.main_weight: expected a number from 0 to 1; received 1.5",
        ),
        ({"align_weight": -1.0}, "transfer_conf.align_weight"),
        ({"layers": [0]}, "transfer_conf.layers"),
        ({"layers": [1, 1]}, "transfer_conf.layers"),
        ({"layers": [5]}, "between 1 and the encoder's 2 layers"),
        ({"speed": 1}, "unknown key 'speed'"),
        ({"alignment": {"kind": "other"}}, "alignment_conf.kind"),
        ({"alignment": {"epsilon": 0.0}}, "alignment_conf.epsilon"),
        ({"alignment": {"kind": "balanced", "dustbin": True}}, "alignment_conf.dustbin"),
        (
            {"alignment": AT_CTC, "variant": {"model_conf": {"ctc_weight": 0.0}, **DECODER}},
            "temporal_places: ctc needs a CTC branch",
        ),
        ({"variant": {"postencoder": None, "postencoder_conf": {}}}, "transfer_adapter"),
        ({"variant": {"postencoder_conf": {"text_size": 0}}}, "postencoder_conf.text_size"),
    ],
)
def test_a_bad_option_is_an_error_that_names_it(build_model, changes, message):
    with pytest.raises(UserError, match=message):
        taught(build_model, **changes)


def test_features_that_do_not_fit_are_an_error_that_says_what_to_do(build_model, taught_batch):
    model = taught(build_model)
    with pytest.raises(UserError, match="lm_features"):
        run(model, without_features(taught_batch))
    taught_batch[FEATURES] = taught_batch[FEATURES][:, 1:]
    with pytest.raises(UserError, match=r"\[CLS\] and \[SEP\].*lm_features"):
        run(model, taught_batch)


def test_half_precision_around_it_leaves_the_terms_as_they_are(build_model, taught_batch):
    model = taught(build_model).eval()
    expected = run(model, taught_batch)[1]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, stats, _ = run(model, taught_batch)
    assert torch.isfinite(loss)
    assert stats["loss_align"].dtype == torch.float32
    for key in ("loss_align", "ot_cost"):
        torch.testing.assert_close(stats[key], expected[key], rtol=2e-2, atol=2e-2)


def test_without_weight_inner_layers_have_no_projection_for_ddp_to_wait_for(build_model):
    model = taught(build_model, main_weight=1.0, layers=[1])
    assert len(model.layer_projections) == 0


def test_layers_that_may_be_dropped_cannot_be_aligned(build_model):
    encoder = {**ENCODER, "input_layer": "linear", "layer_drop_rate": 0.5}
    with pytest.raises(UserError, match="layer_drop_rate to 0"):
        taught(build_model, layers=[1], variant={"encoder_conf": encoder})


@pytest.fixture(scope="module")
def small_language_model(tmp_path_factory):
    """A masked language model whose pieces are the tokens of the tiny models, all but one."""
    folder = tmp_path_factory.mktemp("lm")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *TOKENS[2:-1]]
    tokenizer = BertTokenizer(vocab={piece: i for i, piece in enumerate(pieces)})
    return str(save_bert(folder, tokenizer, width=WIDTH, positions=24))


def test_without_cached_features_the_language_model_makes_the_same(
    build_model, batch, small_language_model
):
    batch["text"][0, 0] = 1  # <unk>, as a piece outside the vocabulary becomes
    model = taught(build_model, language_model=small_language_model).eval()
    before = set(model.state_dict())
    live, live_stats, _ = run(model, batch)
    rows = zip(batch["text"].tolist(), batch["text_lengths"].tolist(), strict=True)
    pieces = [[TOKENS[i] for i in row[:length]] for row, length in rows]
    features, lengths = LanguageModel(small_language_model).embed(pieces, unknown="<unk>")
    cached, stats, _ = run(model, {**batch, FEATURES: features, f"{FEATURES}_lengths": lengths})
    torch.testing.assert_close(live, cached)
    torch.testing.assert_close(live_stats["ot_cost"], stats["ot_cost"])
    assert set(model.state_dict()) == before  # the teacher is in no checkpoint
