import pytest
import torch

from espnet_otreg.errors import UserError
from espnet_otreg.models.slm import IGNORED
from espnet_otreg.ot import OTRegLoss, compress, unique_targets
from espnet_otreg.pretrained.bases import audit
from tests.support.tiny_llm import save_llm
from tests.support.tiny_slm import build, make_batch, one_of

OTREG = {"ot_conf": {"weight": 0.3}, "slm_conf": {"compression": "ot"}}
CTC = {"ctc_weight": 0.3, "slm_conf": {"compression": "ctc"}}


@pytest.fixture(scope="module")
def lms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llm")
    return {kind: save_llm(folder / kind, kind) for kind in ("qwen2", "llama", "gpt2")}


@pytest.fixture(scope="module")
def lm(lms):
    return lms["qwen2"]


def run(model, batch):
    return model(**{key: value.clone() for key, value in batch.items()})


@pytest.mark.parametrize("kind", ["qwen2", "llama", "gpt2"])
def test_cross_entropy_is_that_of_the_language_model_read_utterance_by_utterance(lms, kind):
    lm = lms[kind]
    model, batch = build(lm).eval(), make_batch(lm)
    tokenizer, network = model.decoder.tokenizer, model.decoder.network
    expected = []
    for i in range(4):
        alone = one_of(batch, i)
        frames, n = model.encode(alone["speech"], alone["speech_lengths"])
        speech, _ = model.adapter(frames, n)
        code = bytes(batch["language"][i].tolist()).decode()
        before, after = (torch.tensor(ids) for ids in model.prompt.ids(code))
        answer = torch.tensor(
            [tokenizer.convert_tokens_to_ids(model.token_list[t]) for t in alone["text"][0]]
            + [tokenizer.eos_token_id]
        )
        embed = network.get_input_embeddings()
        x = torch.cat([embed(before), speech[0], embed(after), embed(answer)])
        labels = torch.full((len(x),), IGNORED)
        labels[-len(answer) :] = answer
        expected.append(network(inputs_embeds=x[None], labels=labels[None]).loss)
    loss, stats, weight = run(model, batch)
    assert torch.allclose(loss, torch.stack(expected).mean(), atol=1e-5)
    assert torch.equal(loss.detach(), stats["loss_ce"]) and weight == 4


@pytest.mark.parametrize("model_conf", [{}, OTREG, CTC], ids=["base", "otreg", "ctc"])
def test_loss_does_not_depend_on_batch_neighbours(lm, model_conf):
    model, batch = build(lm, model_conf=model_conf).eval(), make_batch(lm)
    together, _, _ = run(model, batch)
    alone = torch.stack([run(model, one_of(batch, i))[0] for i in range(4)])
    assert torch.allclose(together, alone.mean(), atol=1e-5)


def test_the_transport_term_is_otreg_between_adapter_and_transcript(lm):
    model, batch = build(lm, model_conf=OTREG).eval(), make_batch(lm)
    model._count.epoch = 1
    loss, stats, _ = run(model, batch)
    heard = model.hear(batch["speech"], batch["speech_lengths"])
    ids = model.piece_ids[batch["text"].clamp(min=0)].masked_fill(batch["text"] < 0, -1)
    targets = unique_targets(
        ids, batch["text_lengths"], model.decoder.table.detach(), model.silence
    )
    assert model.silence == model.decoder.tokenizer.pad_token_id
    term = OTRegLoss()(heard.whole, heard.whole_lengths, targets.embeddings, targets.lengths)
    assert torch.allclose(stats["loss_ot"], term.loss)
    assert torch.allclose(loss.detach(), stats["loss_ce"] + 0.3 * term.loss.detach())


def test_a_transcript_beside_the_answer_is_what_speech_is_drawn_to(lm):
    model, batch = build(lm, model_conf=OTREG).eval(), make_batch(lm)
    ids = model.piece_ids[batch["text"].clamp(min=0)].masked_fill(batch["text"] < 0, -1)
    same = run(model, {**batch, "transcript": ids, "transcript_lengths": batch["text_lengths"]})
    other = {**batch, "transcript": ids.roll(1, 0), "transcript_lengths":
             batch["text_lengths"].roll(1, 0)}  # fmt: skip
    plain = run(model, batch)
    assert torch.equal(same[1]["loss_ot"], plain[1]["loss_ot"])
    assert not torch.equal(run(model, other)[1]["loss_ot"], plain[1]["loss_ot"])
    assert torch.equal(run(model, other)[1]["loss_ce"], plain[1]["loss_ce"])


def test_the_control_draws_speech_to_the_transcript_of_its_neighbour(lm):
    batch = make_batch(lm)
    shuffled = build(lm, model_conf={"ot_conf": {"weight": 0.3, "control": "shuffled"}}).eval()
    plain = build(lm, model_conf={"ot_conf": {"weight": 0.3}}).eval()
    ids = plain.piece_ids[batch["text"].clamp(min=0)].masked_fill(batch["text"] < 0, -1)
    other = {"transcript": ids.roll(1, 0), "transcript_lengths": batch["text_lengths"].roll(1, 0)}
    control = run(shuffled, batch)[1]
    assert torch.equal(control["loss_ot"], run(plain, {**batch, **other})[1]["loss_ot"])
    assert not torch.equal(control["loss_ot"], run(plain, batch)[1]["loss_ot"])
    assert torch.equal(control["loss_ce"], run(plain, batch)[1]["loss_ce"])


def test_without_a_weight_training_measures_no_transport_and_validation_does(lm):
    model, batch = build(lm), make_batch(lm)
    assert "loss_ot" not in run(model.train(), batch)[1]
    assert run(model.eval(), batch)[1]["loss_ot"] > 0


def test_the_term_acts_from_its_first_to_its_last_epoch(lm):
    conf = {"ot_conf": {"weight": 0.3, "start_epoch": 2, "end_epoch": 2}}
    model, batch = build(lm, model_conf=conf), make_batch(lm)
    acts = []
    for _ in range(3):
        stats = run(model.train(), batch)[1]
        acts.append(bool(stats["loss"] > stats["loss_ce"]))
        run(model.eval(), batch)
    assert acts == [False, True, False]


def test_the_language_model_reads_what_compression_leaves(lm):
    conf = {"compression": "ot", "merge_threshold": 0.0, "drop_threshold": 0.0}
    model, batch = build(lm, model_conf={"slm_conf": conf}).eval(), make_batch(lm)
    heard = model.hear(batch["speech"], batch["speech_lengths"])
    short = compress(
        heard.whole, heard.whole_lengths, model.decoder.table[model.silence],
        merge_threshold=0.0, drop_threshold=0.0,
    )  # fmt: skip
    assert torch.equal(heard.x, short.x) and (heard.lengths < heard.whole_lengths).any()
    around = [sum(map(len, model.prompt.ids("en")))] * 4
    inputs, prefix = model.read(heard, ["en"] * 4)
    assert (prefix.lengths + inputs.mask.sum(1)).tolist() == (
        heard.lengths + torch.tensor(around)
    ).tolist()


def test_training_reads_everything_until_compression_starts_and_validation_never(lm):
    conf = {"compression": "ot", "merge_threshold": 0.0, "drop_threshold": 0.0}
    model = build(lm, model_conf={"slm_conf": {**conf, "compression_start": 2}})
    batch = make_batch(lm)
    kept = {}
    for epoch in (1, 2):
        for part in ("training", "validation"):
            model.train(part == "training")
            kept[epoch, part] = float(run(model, batch)[1]["kept"])
    assert kept[1, "training"] == 1
    assert kept[1, "validation"] == kept[2, "training"] == kept[2, "validation"] < 1


def test_compression_that_would_drop_everything_keeps_one(lm):
    conf = {"compression": "ot", "merge_threshold": 1.0, "drop_threshold": -1.0}
    model, batch = build(lm, model_conf={"slm_conf": conf}).eval(), make_batch(lm)
    heard = model.hear(batch["speech"], batch["speech_lengths"])
    assert heard.lengths.tolist() == [1, 1, 1, 1]
    assert torch.isfinite(run(model, batch)[0])


def test_only_the_adapter_and_the_ctc_head_get_gradients(lm):
    model, batch = build(lm, model_conf={**CTC, "ot_conf": {"weight": 0.3}}), make_batch(lm)
    run(model.train(), batch)[0].backward()
    moved = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert moved == {"adapter", "ctc"}
    assert not model.encoder.training and not model.decoder.training and model.adapter.training


def test_parts_can_be_set_free_by_name(lm):
    model = build(lm, model_conf={"slm_conf": {"freeze": ["decoder"]}})
    assert all(p.requires_grad for p in model.encoder.parameters())
    assert model.train().encoder.training
    with pytest.raises(UserError, match=r"slm_conf\.freeze.*encodre.*encoder.*adapter"):
        build(lm, model_conf={"slm_conf": {"freeze": ["encodre"]}})


def test_the_audit_counts_what_trains_by_part(lm, caplog):
    model = build(lm)
    trained = sum(p.numel() for p in model.adapter.parameters())
    assert f"adapter {trained / 1000:.4g}k of {trained / 1000:.4g}k" in audit(model)
    assert "decoder 0 of" in audit(model)


def test_cached_frames_stand_for_the_encoder_that_made_them(lm):
    model, batch = build(lm).eval(), make_batch(lm)
    expected = run(model, batch)[0]
    frames, lengths = model.encode(batch["speech"], batch["speech_lengths"])
    model.encoder.base = "what a pretrained encoder has"
    cached = {**batch, "speech": frames, "speech_lengths": lengths}
    assert torch.allclose(run(model, cached)[0], expected, atol=1e-6)
    with pytest.raises(UserError, match="cached frames have 7 dimensions, the encoder's 16"):
        run(model, {**cached, "speech": frames[..., :7]})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model_conf": {"slm_conf": {"compression": "ctc"}}}, "needs a CTC head"),
        ({"model_conf": {"ctc_weight": 1.0}}, "ctc_weight"),
        ({"model_conf": {"ot_conf": {"text_table": "ctc"}}}, "text_table: llm"),
        ({"model_conf": {"slm_conf": {"drop": 1}}}, "unknown key 'drop'"),
        ({"model_conf": {"slm_conf": {"silence_token": "<hush>"}}}, "'<hush>' is no token"),
        ({"postencoder_conf": {"output_size": 48}}, "gives 48 dimensions .* takes 32"),
        ({"postencoder": None}, "stack_adapter"),
        ({"token_list": ["<blank>", "ξ", "<sos/eos>"]}, "not pieces of .*'ξ'"),
    ],
)
def test_a_model_that_cannot_be_is_refused_before_any_data(lm, changes, told):
    with pytest.raises(UserError, match=told):
        build(lm, **changes)
