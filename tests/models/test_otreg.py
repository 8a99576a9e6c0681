"""`model: otreg` against the stock model it extends."""

import copy
import importlib.util

import pytest
import torch

from espnet_otreg.compat import ESPnetASRModel
from espnet_otreg.errors import UserError
from espnet_otreg.models.controls import Transcripts
from espnet_otreg.models.transport_term import EPOCH_KEY, tell_epoch
from tests.support.tiny_models import ENCODER, make_batch, run

OT_KEYS = {"loss_ot", "ot_cost", "ot_sparsity", "ot_marginal_error", "ot_silence_mass"}
OT_KEYS |= {"ot_entropy", "ot_gradient_share", "ctc_blank"}
RNN = {"decoder": "rnn", "decoder_conf": {"hidden_size": 16, "num_layers": 1}}
VARIANTS = {
    "hybrid": {"model_conf": {"ctc_weight": 0.3}},
    "ctc only": {"model_conf": {"ctc_weight": 1.0}},
    "attention only": {"model_conf": {"ctc_weight": 0.0}},
    "rnn decoder": {"model_conf": {"ctc_weight": 0.3}, **RNN},
    "normalised": {"model_conf": {"ctc_weight": 0.3, "length_normalized_loss": True}},
    "inter-ctc": {
        "model_conf": {"ctc_weight": 0.3, "interctc_weight": 0.3},
        "encoder_conf": {**ENCODER, "input_layer": "linear", "interctc_layer_idx": [1]},
    },
}


def regularised(build_model, variant=None, **ot_conf):
    """The same model with the OT term."""
    options = copy.deepcopy(variant or {})
    conf = options.setdefault("model_conf", {"ctc_weight": 0.3})
    default = "ctc" if conf["ctc_weight"] == 1.0 else "decoder"
    conf["ot_conf"] = {"text_table": default, **ot_conf}
    return build_model(**options, model="otreg")


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())
def test_weight_zero_is_the_stock_model_bit_for_bit(build_model, batch, variant):
    stock, ours = build_model(**variant), regularised(build_model, variant, weight=0.0)
    expected, stock_stats, _ = run(stock.train(), batch)
    loss, stats, _ = run(ours.train(), batch)
    expected.backward()
    loss.backward()
    assert torch.equal(loss, expected)
    assert all(
        stats[key] is None or torch.equal(stats[key], value) for key, value in stock_stats.items()
    )
    gradients = dict(stock.named_parameters())
    for name, parameter in ours.named_parameters():
        assert (parameter.grad is None) == (gradients[name].grad is None), name
        if parameter.grad is not None:
            assert torch.equal(parameter.grad, gradients[name].grad), name


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())
def test_the_term_adds_its_weighted_value_and_reaches_the_encoder(build_model, batch, variant):
    stock, _, _ = run(build_model(**variant).train(), batch)
    ours = regularised(build_model, variant, weight=0.5)
    half, stats, _ = run(ours.train(), batch)
    twice, _, _ = run(regularised(build_model, variant, weight=1.0).train(), batch)
    assert half > stock
    torch.testing.assert_close(twice - stock, 2 * (half - stock), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(stats["loss"], half.detach())
    (half - stock.detach()).backward()
    assert sum(p.grad.abs().sum() for p in ours.encoder.parameters() if p.grad is not None) > 0


def test_speech_is_encoded_once(build_model, batch):
    model = regularised(build_model)
    calls = []
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    run(model.train(), batch)
    assert len(calls) == 1
    assert model._frames is None  # the graph must not outlive the step


@pytest.mark.parametrize("table", ["decoder", "ctc"])
def test_the_text_table_gets_no_gradient_from_the_term(build_model, batch, table):
    stock = build_model().train()
    ours = regularised(build_model, text_table=table, weight=1.0).train()
    for model in (stock, ours):
        run(model, batch)[0].backward()
    name = {"decoder": "decoder.embed.0.weight", "ctc": "ctc.ctc_lo.weight"}[table]
    torch.testing.assert_close(
        ours.get_parameter(name).grad, stock.get_parameter(name).grad, rtol=1e-4, atol=1e-6
    )
    difference = ours.encoder.embed[0].weight.grad - stock.encoder.embed[0].weight.grad
    assert difference.abs().max() > 1e-4


def test_the_weight_counts_per_token_where_the_main_loss_is_a_sum(build_model):
    batch = make_batch([30], [6])

    def share(normalised: bool, ctc_weight: float) -> float:
        conf = {"ctc_weight": ctc_weight, "length_normalized_loss": normalised}
        model = regularised(build_model, {"model_conf": conf}, weight=1.0).eval()
        model._count.epoch = 1
        loss, stats, _ = run(model, batch)
        stock, _, _ = run(build_model(model_conf=conf).eval(), batch)
        return ((loss - stock) / stats["loss_ot"]).item()

    assert share(False, 0.3) == pytest.approx(6, rel=1e-3)
    assert share(True, 0.0) == pytest.approx(1, rel=1e-3)
    assert share(True, 0.3) == pytest.approx(0.3 * 6 + 0.7, rel=1e-3)


def test_the_term_starts_at_its_epoch_and_resumes_where_it_was(build_model, batch):
    stock, _, _ = run(build_model().train(), batch)
    model = regularised(build_model, start_epoch=2)
    first, first_stats, _ = run(model.train(), batch)
    assert torch.equal(run(model.train(), batch)[0], first)  # still the first epoch
    assert torch.equal(first, stock)
    run(model.eval(), batch)  # validation ends the epoch
    second, second_stats, _ = run(model.train(), batch)
    assert second > first
    assert first_stats.keys() == second_stats.keys()

    resumed = regularised(build_model, start_epoch=2)
    run(model.eval(), batch)
    resumed.load_state_dict(model.state_dict())
    assert torch.equal(run(resumed.train(), batch)[0], second)


def test_the_epoch_survives_a_checkpoint_file_that_only_tensors_may_enter(
    build_model, batch, tmp_path
):
    model = regularised(build_model)
    run(model.train(), batch)
    run(model.eval(), batch)
    run(model.train(), batch)
    torch.save({"model": model.state_dict()}, tmp_path / "checkpoint.pth")
    state = torch.load(tmp_path / "checkpoint.pth", weights_only=True)["model"]
    assert state._metadata[""][EPOCH_KEY] == 2
    fresh = regularised(build_model)
    fresh.load_state_dict(state)
    assert fresh._count.epoch == 2


def test_a_trainer_that_validates_within_epochs_tells_the_epoch(build_model, batch):
    model = regularised(build_model)
    for epoch in (1, 2):
        tell_epoch(model, epoch)
        for mode in (True, False, True, False):  # validation twice in each
            run(model.train(mode), batch)
            assert model._count.epoch == epoch
    fresh = regularised(build_model)
    fresh.load_state_dict(model.state_dict())
    assert fresh._count.epoch == 2
    tell_epoch(build_model(), 1)  # the stock model counts none


def test_a_checkpoint_has_exactly_the_stock_models_keys(build_model):
    stock, ours = build_model(), regularised(build_model)
    assert list(ours.state_dict()) == list(stock.state_dict())
    stock.load_state_dict(ours.state_dict(), strict=True)
    ours.load_state_dict(stock.state_dict(), strict=True)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_log_always_has_the_same_keys(build_model, batch, mode):
    expected = OT_KEYS | {"loss_ctc", "cer_ctc", "loss_att", "acc", "cer", "wer", "loss"}
    for weight in (0.0, 0.3):
        model = regularised(build_model, weight=weight)
        _, stats, _ = run(getattr(model, mode)(), batch)
        assert set(stats) == expected
        assert all(stats[key].numel() == 1 and torch.isfinite(stats[key]) for key in OT_KEYS)
        assert 0 < stats["ot_silence_mass"] < 1


def test_the_term_does_not_depend_on_batch_neighbours(build_model):
    model = regularised(build_model, weight=1.0).eval()
    together = make_batch([30, 22, 14], [6, 4, 3])
    costs = []
    for row, (frames, tokens) in enumerate([(30, 6), (22, 4), (14, 3)]):
        alone = {
            "speech": together["speech"][row : row + 1, :frames],
            "speech_lengths": torch.tensor([frames]),
            "text": together["text"][row : row + 1, :tokens],
            "text_lengths": torch.tensor([tokens]),
        }
        costs.append(run(model, alone)[1]["ot_cost"])
    together_cost = run(model, together)[1]["ot_cost"]
    torch.testing.assert_close(together_cost, torch.stack(costs).mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tokens", [[0, 4, 3], [9, 20, 3]], ids=["empty", "more than frames"])
def test_odd_transcripts_leave_the_term_finite(build_model, tokens):
    model = regularised(build_model, weight=1.0, text_table="ctc").train()
    batch = make_batch([30, 12, 14], tokens)
    run(model, batch)
    frames, lengths = model.encode(batch["speech"], batch["speech_lengths"])
    said = Transcripts(batch["text"], batch["text_lengths"])
    out, _ = model._transport(frames, lengths, said)
    out.loss.backward()
    assert torch.isfinite(out.loss)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.encoder.parameters())


def test_half_precision_frames_give_the_same_term(build_model, batch):
    model = regularised(build_model, weight=1.0).eval()
    expected = run(model, batch)[1]["ot_cost"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, stats, _ = run(model, batch)
    assert torch.isfinite(loss)
    torch.testing.assert_close(stats["ot_cost"], expected, rtol=2e-2, atol=2e-2)
    assert stats["ot_cost"].dtype == torch.float32


def test_a_narrower_table_is_an_error_that_names_the_option(build_model):
    decoder = {"decoder": "rnn", "decoder_conf": {"hidden_size": 12, "num_layers": 1}}
    with pytest.raises(UserError, match=r"16 dimensions.*12.*text_table: ctc"):
        regularised(build_model, {**decoder, "model_conf": {"ctc_weight": 0.3}})
    model = regularised(
        build_model, {**decoder, "model_conf": {"ctc_weight": 0.3}}, text_table="ctc"
    )
    assert isinstance(model, ESPnetASRModel)


@pytest.mark.parametrize(
    ("ctc_weight", "table", "message"),
    [(1.0, "decoder", "no decoder.*text_table: ctc"), (0.0, "ctc", "no CTC layer.*ctc_weight")],
)
def test_a_table_the_model_lacks_is_an_error(build_model, ctc_weight, table, message):
    with pytest.raises(UserError, match=message):
        regularised(build_model, {"model_conf": {"ctc_weight": ctc_weight}}, text_table=table)


def test_statistics_collection_works_as_in_the_stock_model(build_model, batch):
    ours = regularised(build_model).collect_feats(**batch)
    stock = build_model().collect_feats(**batch)
    assert torch.equal(ours["feats"], stock["feats"])


@pytest.mark.skipif(
    importlib.util.find_spec("warprnnt_pytorch") is None, reason="transducer loss not installed"
)
def test_a_transducer_takes_the_term(build_model, batch):
    transducer = {
        "decoder": "transducer",
        "decoder_conf": {"hidden_size": 16},
        "joint_net_conf": {"joint_space_size": 16},
        "model_conf": {"ctc_weight": 0.3},
    }
    stock, _, _ = run(build_model(**transducer).train(), batch)
    ours, _, _ = run(regularised(build_model, transducer, weight=0.0).train(), batch)
    more, _, _ = run(regularised(build_model, transducer, weight=0.5).train(), batch)
    assert torch.equal(ours, stock)
    assert more > stock
