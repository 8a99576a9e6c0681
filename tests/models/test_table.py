import pytest
import torch

from espnet_otreg.errors import UserError
from tests.support.tiny_llm import save_llm
from tests.support.tiny_slm import build, make_batch, one_of

FRAMES = (150, 132, 141, 120)  # stacks of three leave more than CTC needs
LIKENESSES = ("dot", "cosine", "distance")


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return save_llm(tmp_path_factory.mktemp("llm"))


def phase(lm, ot_weight=0.0, **conf):
    slm_conf = {"objective": "table", **conf}
    return build(lm, model_conf={"slm_conf": slm_conf, "ot_conf": {"weight": ot_weight}})


def run(model, batch):
    loss, stats, weight = model(**{key: value.clone() for key, value in batch.items()})
    return loss.squeeze(), stats, weight


@pytest.fixture
def batch(lm):
    return make_batch(lm, FRAMES)


def ids_of(model, batch):
    return model.piece_ids[batch["text"].clamp(min=0)].masked_fill(batch["text"] < 0, -1)


@pytest.mark.parametrize("likeness", LIKENESSES)
def test_the_loss_is_ctc_with_the_rows_of_the_table_as_its_output_layer(lm, batch, likeness):
    model = phase(lm, table_likeness=likeness, table_scale=3.0).eval()
    table = model.decoder.table.detach()
    pieces = sorted(set(model.piece_ids[model.piece_ids >= 0].tolist()))
    rows = table[[model.silence, *pieces]]
    expected = []
    for i in range(4):
        alone = one_of(batch, i)
        heard = model.hear(alone["speech"], alone["speech_lengths"])
        x = heard.whole[0]
        logits = {
            "dot": x @ rows.T,
            "cosine": torch.cosine_similarity(x[:, None], rows[None], dim=2),
            "distance": -torch.cdist(x, rows).square() / 2,  # but for |x|², equal in a frame
        }[likeness]
        labels = torch.tensor([1 + pieces.index(k) for k in ids_of(model, alone)[0].tolist()])
        loss = torch.nn.functional.ctc_loss(
            (3 * logits).log_softmax(1), labels, [len(x)], [len(labels)], reduction="sum"
        )
        expected.append(loss / len(labels))
    loss, stats, weight = run(model, batch)
    torch.testing.assert_close(loss, torch.stack(expected).mean(), rtol=1e-4, atol=1e-4)
    assert torch.equal(stats["loss_table"].squeeze(), loss.detach()) and weight == 4


@pytest.mark.parametrize("ot_weight", [0.0, 0.5])
def test_the_language_models_layers_do_not_run_and_the_adapter_alone_gets_gradients(
    lm, batch, monkeypatch, ot_weight
):
    model = phase(lm, ot_weight)

    def never(*args, **kwargs):
        raise AssertionError("the language model ran")

    monkeypatch.setattr(model.decoder.network, "forward", never)
    for part in model.decoder.network.modules():
        if type(part).__name__ == "Qwen2DecoderLayer":
            monkeypatch.setattr(part, "forward", never)
    run(model.eval(), batch)
    run(model.train(), batch)[0].backward()
    moved = {n.split(".")[0]: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert moved.keys() == {"adapter"} and all(g.abs().sum() > 0 for g in moved.values())


def test_loss_does_not_depend_on_batch_neighbours(lm, batch):
    model = phase(lm, 0.5).eval()
    together, stats, _ = run(model, batch)
    alone = [run(model, one_of(batch, i)) for i in range(4)]
    torch.testing.assert_close(together, torch.stack([loss for loss, _, _ in alone]).mean())
    tokens = batch["text_lengths"].float()
    ter = sum(one[1]["ter"] * n for one, n in zip(alone, tokens, strict=True)) / tokens.sum()
    torch.testing.assert_close(stats["ter"].squeeze(), ter.squeeze())


@pytest.mark.parametrize("likeness", LIKENESSES)
def test_the_adapter_learns_to_say_the_transcript_in_rows_of_the_table(lm, batch, likeness):
    model = phase(lm, table_likeness=likeness)
    optimiser = torch.optim.Adam(model.adapter.parameters(), lr=0.01)
    first = run(model.eval(), batch)[1]
    for _ in range(100):
        optimiser.zero_grad()
        run(model.train(), batch)[0].backward()
        optimiser.step()
    last = run(model.eval(), batch)[1]
    assert first["ter"] > 60 > 20 > last["ter"]
    assert last["loss"] < 0.3 * first["loss"]
    assert last["table_found"] > 0.8 > first["table_found"]
    assert last["table_right"] > 0.8 > first["table_right"]


def test_transport_alone_is_a_phase_too(lm, batch):
    model = phase(lm, 0.5, table_ctc_weight=0.0)
    loss, stats, _ = run(model.train(), batch)
    torch.testing.assert_close(loss.detach(), 0.5 * stats["loss_ot"].squeeze())
    both = run(phase(lm, 0.5, table_ctc_weight=2.0).train(), batch)[1]
    torch.testing.assert_close(both["loss"], 2 * both["loss_table"] + 0.5 * both["loss_ot"])


def test_the_transcript_is_what_speech_is_held_to_where_the_answer_is_something_else(lm, batch):
    model = phase(lm).eval()
    ids, lengths = ids_of(model, batch), batch["text_lengths"]
    other = {**batch, "transcript": ids.roll(1, 0), "transcript_lengths": lengths.roll(1, 0)}
    rolled = {**batch, "text": batch["text"].roll(1, 0), "text_lengths": lengths.roll(1, 0)}
    assert torch.equal(run(model, other)[0], run(model, rolled)[0])
    unknown = ids.clone()
    unknown[2, 1] = model.silence
    strange = {**batch, "transcript": unknown, "transcript_lengths": lengths}
    with pytest.raises(UserError, match=r"none of the token list.*table_ctc_weight: 0"):
        run(model, strange)
    remedied = phase(lm, 0.5, table_ctc_weight=0.0).eval()
    with torch.no_grad():  # a row that is nearest to all: one error more than without the stranger
        known, other = (run(remedied, each)[1] for each in (batch, strange))
    assert "loss_table" not in other and torch.isfinite(other["loss"])
    assert other["ter"] >= known["ter"] > 0


@pytest.mark.parametrize("compression", ["none", "ot"])
def test_ctc_by_the_table_goes_on_beside_the_answer_where_it_is_asked_for(lm, batch, compression):
    conf = {"compression": compression, "drop_threshold": 0.99}
    plain = run(build(lm, model_conf={"slm_conf": conf}).train(), batch)[1]
    assert "loss_table" not in plain
    kept = build(lm, model_conf={"slm_conf": {**conf, "table_ctc_weight": 0.7}}).train()
    loss, stats, _ = run(kept, batch)
    torch.testing.assert_close(stats["loss_ce"], plain["loss_ce"])
    torch.testing.assert_close(loss.detach(), (stats["loss_ce"] + 0.7 * stats["loss_table"])[0])
    phased = run(phase(lm).train(), batch)[1]
    torch.testing.assert_close(stats["loss_table"], phased["loss_table"])


def test_an_adapter_of_its_own_hears_while_the_other_learns_what_it_would_have_learnt(lm, batch):
    first = phase(lm)
    frozen = {"table_adapter": "own", "freeze": ["encoder", "decoder", "table_adapter"]}
    models = [build(lm, model_conf={"slm_conf": conf}) for conf in ({}, frozen)]
    plain, both = models
    both.table_adapter.load_state_dict(first.adapter.state_dict())
    for model in models:
        optimiser = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=0.01)
        for _ in range(3):
            optimiser.zero_grad()
            loss, stats, _ = run(model.train(), batch)
            loss.backward()
            optimiser.step()
        assert "loss_table" not in stats and "table_found" not in stats  # costs nothing
    for name, value in plain.adapter.state_dict().items():
        assert torch.equal(both.adapter.state_dict()[name], value)
    stats = run(both.eval(), batch)[1]
    assert stats["ter"] == run(first.eval(), batch)[1]["ter"]
    heard = both.hear(batch["speech"], batch["speech_lengths"])
    assert both.read_by_table(heard) == first.read_by_table(
        first.hear(batch["speech"], batch["speech_lengths"])
    )


def test_an_adapter_of_its_own_learns_where_it_is_not_frozen(lm, batch):
    model = build(lm, model_conf={"slm_conf": {"table_adapter": "own"}}).train()
    loss, stats, _ = run(model, batch)
    loss.backward()
    torch.testing.assert_close(loss.detach(), (stats["loss_ce"] + stats["loss_table"])[0])
    for part in (model.adapter, model.table_adapter):
        assert all(p.grad.abs().sum() > 0 for p in part.parameters())


def test_utterances_too_short_for_ctc_are_told_and_do_no_harm(lm):
    model, batch = phase(lm), make_batch(lm, (150, 132, 141, 6))
    loss, stats, _ = run(model.train(), batch)
    assert stats["too_short"] == 0.25 and torch.isfinite(loss)


def clear(lm, frames=(1, 1, 0, 2, 2, 2, 0, 0, 3), **conf):
    """A model and an utterance that says these rows, embedding by embedding; 0 is silence."""
    model = build(lm, model_conf={"slm_conf": {"compression": "table", **conf}}).eval()
    table = model.by_table
    assert table is not None
    rows = model.decoder.table[table.ids].detach()
    torch.manual_seed(0)
    x = rows[list(frames)] + 1e-4 * torch.randn(len(frames), rows.shape[1])
    return model, table, rows, x[None], torch.tensor([len(frames)])


def test_compression_by_the_table_leaves_an_embedding_for_each_token_that_is_read(lm):
    model, table, rows, x, lengths = clear(lm, table_likeness="distance")
    short = model._shorten(x, lengths)
    expected = torch.stack([x[0, :2].mean(0), x[0, 3:6].mean(0), x[0, 8]])
    torch.testing.assert_close(short.x[0], expected)
    assert short.lengths.tolist() == [3]
    assert (short.merged + short.dropped).tolist() == [6]
    padded = torch.cat([x, rows[None, 4:7]], 1)
    torch.testing.assert_close(model._shorten(padded, lengths).x, short.x)
    assert table.read(padded, lengths, rows) == [table.ids[1:4].tolist()]


def test_a_mixture_is_of_the_tables_rows_without_silence_and_lets_gradients_through(lm):
    options = {"table_likeness": "distance", "table_mixture": True}
    model, _, rows, x, lengths = clear(lm, table_scale=1e4, **options)
    sure = model._shorten(x, lengths).x[0]
    torch.testing.assert_close(sure, rows[1:4], rtol=1e-3, atol=1e-3)
    model, _, rows, x, lengths = clear(lm, table_scale=0.5, **options)
    unsure = model._shorten(x.requires_grad_(), lengths).x[0]
    shares = (0.5 * (x[0, 8] @ rows.T - rows.square().sum(1) / 2))[1:].softmax(0)
    torch.testing.assert_close(unsure[2], shares @ rows[1:])
    unsure.sum().backward()
    assert x.grad[0, [0, 3, 8]].abs().sum() > 0


@pytest.mark.parametrize("mixture", [False, True])
def test_what_the_phase_taught_is_read_by_the_language_model_afterwards(lm, batch, mixture):
    conf = {"compression": "table", "table_likeness": "distance", "table_mixture": mixture}
    model = build(lm, model_conf={"slm_conf": conf})
    first = phase(lm, table_likeness="distance")
    optimiser = torch.optim.Adam(first.adapter.parameters(), lr=0.01)
    for _ in range(100):
        optimiser.zero_grad()
        run(first.train(), batch)[0].backward()
        optimiser.step()
    model.load_state_dict(first.state_dict(), strict=False)
    heard = model.eval().hear(batch["speech"], batch["speech_lengths"])
    tokens = batch["text_lengths"]
    assert (heard.lengths - tokens).abs().max() <= 2 < (heard.whole_lengths - tokens).min()
    loss, stats, _ = run(model.train(), batch)
    loss.backward()
    assert torch.isfinite(loss) and stats["kept"] < 0.8
    torch.testing.assert_close(stats["loss"], stats["loss_ce"] + stats["loss_table"])
    assert all(p.grad is not None for p in model.adapter.parameters())
    together = run(model.eval(), batch)[0]
    alone = [run(model, one_of(batch, i))[0] for i in range(4)]
    torch.testing.assert_close(together, torch.stack(alone).mean())


def test_only_models_that_know_the_table_can_be_read_by_it(lm, batch):
    model = build(lm).eval()
    heard = model.hear(batch["speech"], batch["speech_lengths"])
    with pytest.raises(UserError, match="table_ctc_weight"):
        model.read_by_table(heard)


def test_a_checkpoint_of_the_phase_opens_in_the_next(lm, batch):
    first = phase(lm)
    with torch.no_grad():
        first.adapter.out.bias.fill_(0.5)
    second = build(lm)
    second.load_state_dict(first.state_dict(), strict=False)  # what is missing or unknown raises
    assert torch.equal(second.adapter.out.bias, first.adapter.out.bias)
    assert second.state_dict().keys() == first.state_dict().keys()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model_conf": {"slm_conf": {"objective": "tables"}}}, "answer, table"),
        (
            {"model_conf": {"slm_conf": {"objective": "table", "compression": "ot"}}},
            r"compression: expected none.*'ot'",
        ),
        (
            {"model_conf": {"slm_conf": {"table_mixture": True, "compression": "ot"}}},
            r"table_mixture: expected compression: table.*'ot'",
        ),
        (
            {"model_conf": {"slm_conf": {"objective": "table"}, "ctc_weight": 0.3}},
            "expected ctc_weight: 0.*table_ctc_weight",
        ),
        (
            {"model_conf": {"slm_conf": {"objective": "table", "table_ctc_weight": 0}}},
            r"without a loss.*table_ctc_weight or ot_conf\.weight",
        ),
        (
            {"model_conf": {"slm_conf": {"objective": "table", "silence_token": "e"}}},
            "is in the token list.*silence_token",
        ),
        (
            {"model_conf": {"slm_conf": {"objective": "table", "table_adapter": "own"}}},
            r"table_adapter: expected shared.*'own'",
        ),
        (
            {
                "model_conf": {
                    "slm_conf": {
                        "table_adapter": "own",
                        "freeze": ["table_adapter"],
                        "table_ctc_weight": 0.5,
                    }
                }
            },
            r"table_ctc_weight: expected null or 0.*0\.5",
        ),
        (
            {"model_conf": {"slm_conf": {"table_adapter": "own", "table_ctc_weight": 0}}},
            r"table_ctc_weight: expected null or above 0.*nothing else teaches",
        ),
        (
            {
                "model_conf": {"slm_conf": {"objective": "table"}},
                "lora": {"r": 2, "target_modules": ["q_proj"]},
            },
            "expected a frozen language model",
        ),
    ],
)
def test_a_phase_that_cannot_be_is_refused_before_any_data(lm, changes, told):
    lora = changes.pop("lora", None)
    with pytest.raises(UserError, match=told):
        build(lm, decoder_conf={"model": str(lm), "lora_conf": lora}, **changes)


@pytest.mark.parametrize("likeness", LIKENESSES)
def test_autocast_leaves_the_comparison_with_the_table_exact(lm, likeness):
    table = phase(lm, table_likeness=likeness).by_table
    x, rows = (torch.randn(*shape) for shape in ((2, 5, 16), (9, 16)))
    with torch.autocast("cpu", torch.bfloat16):
        found = table.logits(x, rows)
    torch.testing.assert_close(found, table.logits(x, rows))
