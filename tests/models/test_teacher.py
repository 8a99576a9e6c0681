"""What the transfer model aligns with: features whitened, and input embeddings for the plan."""

import numpy as np
import pytest
import torch
from transformers import BertTokenizer

from espnet_otreg.errors import UserError
from espnet_otreg.files import write_json, write_lines
from espnet_otreg.models.teacher import FEATURES
from espnet_otreg.ot import align, whitening
from espnet_otreg.ot.tensors import centred
from espnet_otreg.pretrained.masked_lm import LanguageModel
from espnet_otreg.stages.export_stock import TRAINING_ONLY
from tests.support.tiny_lm import save_bert
from tests.support.tiny_models import TOKENS, build, make_batch, run

WIDTH = 12
STATIC = {"plan_features": "static"}
PRIOR = {"kind": "unbalanced", "temporal_weight": 0.05}


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    """A masked language model whose pieces are the tokens of the tiny models."""
    folder = tmp_path_factory.mktemp("lm")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *TOKENS[2:-1]]
    tokenizer = BertTokenizer(vocab={piece: i for i, piece in enumerate(pieces)})
    return str(save_bert(folder, tokenizer, width=WIDTH, positions=24))


@pytest.fixture(scope="module")
def cached(tmp_path_factory, lm):
    """Features of 30 utterances, as stage 5 leaves them."""
    folder = tmp_path_factory.mktemp("features")
    generator = torch.Generator().manual_seed(0)
    rows = []
    for number in range(30):
        array = torch.randn(6, WIDTH, generator=generator) * torch.logspace(0, -1, WIDTH) + 3
        np.save(folder / f"{number}.npy", array.half().numpy())
        rows.append(f"u{number} {folder / f'{number}.npy'}")
    write_lines(folder / "feats.scp", rows)
    write_json(folder / "features.json", {"lm": lm})
    return folder / "feats.scp"


@pytest.fixture
def batch():
    found = make_batch([30, 22, 14], [6, 4, 3])
    generator = torch.Generator().manual_seed(5)
    found[FEATURES] = torch.randn(3, 8, WIDTH, generator=generator)
    found[f"{FEATURES}_lengths"] = found["text_lengths"] + 2
    return found


def taught(cached=None, alignment=None, **transfer):
    conf = {"ctc_weight": 1.0, "transfer_conf": transfer, "alignment_conf": alignment or {}}
    data = [] if cached is None else [(str(cached), FEATURES, "npy")]
    return build(
        model="ot_transfer", model_conf=conf, decoder=None, decoder_conf={},
        postencoder="transfer_adapter", postencoder_conf={"text_size": WIDTH},
        train_data_path_and_name_and_type=data,
    )  # fmt: skip


def rows_of(cached):
    paths = [line.split()[1] for line in cached.read_text().splitlines()]
    return torch.cat([torch.from_numpy(np.load(path)[1:-1]).float() for path in paths])


def aligned(model, batch):
    given = [batch[key] for key in ("speech", "speech_lengths", "text", "text_lengths")]
    return model.align(given[0].clone(), *given[1:], batch[FEATURES])[0]


def test_whitened_features_are_whitened_by_those_of_the_training_text(cached, batch):
    white = whitening(rows_of(cached), 0.3)
    model = taught(cached, whiten=True, whiten_shrinkage=0.3).eval()
    _, stats, _ = run(model, batch)
    plan = aligned(model, batch)
    batch[FEATURES] = white(batch[FEATURES])
    _, expected, _ = run(taught().eval(), batch)
    for key in ("loss_align", "ot_cost", "ot_entropy"):
        torch.testing.assert_close(stats[key], expected[key])
    torch.testing.assert_close(plan.coupling, aligned(taught().eval(), batch).coupling)


def test_whitening_reads_a_part_of_a_large_training_text(cached, batch, monkeypatch):
    monkeypatch.setattr("espnet_otreg.models.teacher._UTTERANCES", 10)
    model = taught(cached, whiten=True)
    every_third = rows_of(cached).view(30, 4, WIDTH)[::3].flatten(0, 1)
    expected = whitening(every_third, 0.01)(batch[FEATURES])
    torch.testing.assert_close(model.teacher.whitened(batch[FEATURES]), expected)


@pytest.mark.parametrize("whiten", [False, True])
def test_static_features_are_the_input_embeddings_of_what_is_said(lm, cached, batch, whiten):
    batch["text"][0, 0] = 1  # <unk>
    model = taught(cached, **STATIC, whiten=whiten)
    found = model.teacher.static(batch["text"], batch["text_lengths"])
    teacher = LanguageModel(lm)
    known, table = teacher.tokenizer.vocabulary, teacher.table
    if whiten:
        table = whitening(table[[known[token] for token in TOKENS[2:-1]]], 0.01)(table)
    for row, size in enumerate(batch["text_lengths"].tolist()):
        pieces = [known.get(TOKENS[token], known["[UNK]"]) for token in batch["text"][row, :size]]
        expected = table[[known["[CLS]"], *pieces, known["[SEP]"]]]
        torch.testing.assert_close(found[row, : size + 2], expected)


@pytest.mark.parametrize("centre", [False, True])
@pytest.mark.parametrize("layers", [[], [1, 2]])
def test_the_plan_is_of_static_features_and_the_loss_of_contextual_ones(
    cached, batch, layers, centre
):
    options = {**STATIC, "layers": layers, "whiten": True, "centre_frames": centre}
    model = taught(cached, PRIOR, **options).eval()
    kept = []
    hook = model.postencoder.to_text.register_forward_hook(lambda *given: kept.append(given[1:]))
    _, stats, _ = run(model, batch)
    hook.remove()
    (frames,), top = kept[0]
    static = model.teacher.static(batch["text"], batch["text_lengths"])
    sizes = batch["text_lengths"] + 2
    projected, lengths = model.plan_projection(frames), torch.tensor([30, 22, 14])
    if centre:
        top, projected = centred(top, lengths), centred(projected, lengths)
    plan = align(projected, lengths, static, sizes, model.alignment_conf)
    torch.testing.assert_close(stats["ot_cost"].squeeze(), plan.cost.mean())
    torch.testing.assert_close(aligned(model, batch).coupling, plan.coupling)
    if not layers:
        features = model.teacher.whitened(batch[FEATURES])
        heard = plan.coupling.transpose(1, 2) @ top
        each = 1 - torch.cosine_similarity(heard, features, dim=2)
        inner = torch.arange(8) < sizes.unsqueeze(1) - 1
        inner[:, 0] = False
        torch.testing.assert_close(stats["loss_align"].squeeze(), (each * inner).sum(1).mean())


def test_all_weights_are_taught_and_those_of_the_plan_serve_training_alone(cached, batch):
    model = taught(cached, **STATIC, layers=[1]).train()
    loss, _, _ = run(model, batch)
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in model.plan_projection.parameters())
    assert model.postencoder.to_text.weight.grad.any()
    extra = set(model.state_dict()) - set(taught().state_dict())
    assert {key.split(".")[0] for key in extra} == {"layer_projections", "plan_projection"}
    assert all(key.startswith(TRAINING_ONLY) for key in extra)


def test_a_language_model_that_is_asked_anew_gives_its_embeddings_too(lm, batch):
    for key in (FEATURES, f"{FEATURES}_lengths"):
        del batch[key]
    model = taught(language_model=lm, **STATIC).eval()
    assert run(model, batch)[1]["ot_cost"].isfinite()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"plan_features": "both"}, "plan_features: expected one of contextual, static"),
        ({**STATIC, "main_weight": 1.0}, "plan_features: static needs main_weight below 1"),
        ({**STATIC, "transport_weight": 0.0}, "plan_features: static needs .* transport_weight"),
        ({"whiten": "vocabulary"}, "whiten: expected true or false; received 'vocabulary'"),
        ({"whiten_shrinkage": -1}, "whiten_shrinkage: expected a number from 0 to 1"),
    ],
)
def test_a_bad_option_is_an_error_that_names_it(given, told):
    with pytest.raises(UserError, match=told):
        taught(**given)


def test_what_cannot_be_known_is_an_error_that_says_what_to_do(batch, tmp_path):
    with pytest.raises(UserError, match=r"whiten needs the training text's features, cached"):
        run(taught(whiten=True), batch)
    with pytest.raises(UserError, match="static needs the language model: set"):
        run(taught(**STATIC), batch)
    write_lines(tmp_path / "feats.scp", [f"u1 {tmp_path / 'gone.npy'}"])
    with pytest.raises(UserError, match=r"gone\.npy, listed in .*cannot be read"):
        run(taught(tmp_path / "feats.scp", whiten=True), batch)
    np.save(tmp_path / "gone.npy", np.ones((5, WIDTH), np.float16))
    with pytest.raises(UserError, match=r"transfer_conf\.whiten: .*feats\.scp: .*all the same"):
        run(taught(tmp_path / "feats.scp", whiten=True), batch)
