"""What another ESPnet trained is read whole; what stock ESPnet opens suits each of them."""

import copy
import zipfile

import pytest
import torch
from espnet2.torch_utils.load_pretrained_model import load_pretrained_model

from espnet_otreg.decode.speech2text import Speech2Text
from espnet_otreg.pretrained.espnet_speech import ESPnetSpeechEncoder
from espnet_otreg.stages import export_stock
from espnet_otreg.weights import copy_for_stock, fill, named_as_in
from tests.support import tiny_models
from tests.support.tiny_packs import DECODING, MODEL, make_pack, save_clip, save_recogniser
from tests.support.tiny_speech import noises, save_experiment

OLDER, NEWER = "encoder.embed.out.0.", "encoder.embed.out."  # 202511, 202611
CONV = {"encoder_conf": {**tiny_models.ENCODER, "input_layer": "conv2d"}}


def renamed(state):
    """Name the tensors as the other ESPnet does."""
    here, there = (OLDER, NEWER) if f"{OLDER}weight" in state else (NEWER, OLDER)
    other = copy.copy(state)  # with what torch noted beside it
    for end in ("weight", "bias"):
        other[there + end] = other.pop(here + end)
    return other


def rename(checkpoint):
    torch.save(renamed(torch.load(checkpoint, weights_only=True)), checkpoint)


def different(model):
    other = copy.deepcopy(model)
    with torch.no_grad():
        for value in other.parameters():
            value.add_(1)
    return other


def same(model, other):
    theirs = other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in model.state_dict().items())


def test_a_pack_opens_and_answers_as_before(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = save_recogniser(tmp_path / "home")
    clip = str(save_clip(tmp_path / "speech.wav"))
    ours = make_pack(folder, tmp_path / "ours.zip", "--mini", "true")
    rename(folder / MODEL)
    theirs = make_pack(folder, tmp_path / "theirs.zip", "--mini", "true")
    expected, answers = (
        Speech2Text.from_pretrained(pack, **DECODING)(clip) for pack in (ours, theirs)
    )
    assert expected[0][0]
    assert [each[:3] for each in answers] == [each[:3] for each in expected]
    assert answers[0][3].score == expected[0][3].score


def test_a_frozen_encoder_encodes_as_before(tmp_path):
    folder = save_experiment(tmp_path / "exp", "conformer")
    waves = noises(16000)
    expected = ESPnetSpeechEncoder(1, experiment=str(folder)).eval()(*waves)[0]
    rename(folder / MODEL)
    assert torch.equal(ESPnetSpeechEncoder(1, experiment=str(folder)).eval()(*waves)[0], expected)


@pytest.mark.parametrize("part", ["", ":encoder:encoder"])
def test_a_training_starts_from_all_of_it(tmp_path, part):
    model = tiny_models.build(**CONV)
    torch.save(renamed(model.state_dict()), tmp_path / "init.pth")
    started = different(model)
    load_pretrained_model(f"{tmp_path}/init.pth{part}", started, ignore_init_mismatch=False)
    assert same(model.encoder, started.encoder)
    assert same(model, started) == (not part)


def test_a_training_goes_on_from_it_with_what_torch_noted_beside_it(tmp_path):
    model = tiny_models.build(**CONV, model="otreg", model_conf={"ot_conf": {"weight": 0.3}})
    model._count.epoch = 7
    torch.save(renamed(model.state_dict()), tmp_path / "x.pth")
    other = different(model)
    other._count.epoch = 0
    assert fill(other, tmp_path / "x.pth") == set(model.state_dict())
    assert same(model, other) and other._count.epoch == 7


def test_stock_packs_and_exports_have_the_names_that_every_espnet_finds(tmp_path):
    folder = save_recogniser(tmp_path / "home")
    make_pack(folder, tmp_path / "stock.zip", "--mini", "true", "--stock")
    with zipfile.ZipFile(tmp_path / "stock.zip") as stream:
        stream.extract("model.pth", tmp_path / "packed")
    export_stock.export(folder, MODEL, tmp_path / "exported")
    for place in ("packed", "exported"):
        found = torch.load(tmp_path / place / "model.pth", weights_only=True)
        assert f"{OLDER}weight" in found and f"{NEWER}weight" not in found


@pytest.mark.parametrize(
    "config",
    [{"encoder_conf": {"input_layer": "conv2d8"}}, {"encoder": "contextual_block_conformer"}],
)
def test_names_that_are_the_same_everywhere_stay(tmp_path, config):
    """Of these two the older ESPnet has the newer names too."""
    torch.save({f"{NEWER}weight": torch.ones(2)}, tmp_path / "from.pth")
    copy_for_stock(tmp_path / "from.pth", tmp_path / "to.pth", config)
    assert (tmp_path / "to.pth").read_bytes() == (tmp_path / "from.pth").read_bytes()
    assert named_as_in({f"{NEWER}weight": 1}, [f"{NEWER}weight"]) == {f"{NEWER}weight": 1}
