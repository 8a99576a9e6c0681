"""`frontend: hf_speech`: a frozen encoder's frames, from waveforms or from disk alike."""

import numpy as np
import pytest
import soundfile
import torch

from espnet_otreg.decode.batches import padded_batches
from espnet_otreg.errors import UserError
from espnet_otreg.hub.base_models import find_bases
from espnet_otreg.pretrained.bases import HASHES
from espnet_otreg.pretrained.hf_frontend import HFSpeechFrontend
from espnet_otreg.pretrained.hf_speech import HFSpeechEncoder
from tests.support.tiny_models import ENCODER, TOKENS, build, run
from tests.support.tiny_speech import noises, save_encoder

SAMPLES = (9001, 16000, 4321)


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("whisper"), "whisper")


def model_on(folder, **options):
    return build(
        frontend="hf_speech", frontend_conf={"model": str(folder)}, input_size=None, **options
    )


@pytest.fixture
def model(whisper):
    return model_on(whisper)


@pytest.fixture
def batch():
    speech, lengths = noises(*SAMPLES)
    text = torch.tensor([[2, 3, 4], [4, 2, 2], [3, 4, -1]])
    given = {"speech": speech, "speech_lengths": lengths, "text": text}
    return {**given, "text_lengths": torch.tensor([3, 3, 2])}


def cached(folder, batch):
    with torch.no_grad():
        frames, lengths, _ = HFSpeechEncoder(1, str(folder)).eval()(
            batch["speech"], batch["speech_lengths"]
        )
    return {**batch, "speech": frames, "speech_lengths": lengths}


def test_it_gives_the_encoders_frames_and_passes_cached_ones_on(whisper, batch):
    frontend = HFSpeechFrontend(model=str(whisper))
    frames, lengths = frontend(batch["speech"], batch["speech_lengths"])
    stored = cached(whisper, batch)
    assert torch.equal(frames, stored["speech"]) and torch.equal(lengths, stored["speech_lengths"])
    again, same = frontend(stored["speech"].half(), lengths)
    assert torch.equal(again, stored["speech"].half().float()) and torch.equal(same, lengths)
    with pytest.raises(UserError, match="cached frames have 7 dimensions, the frontend's 16"):
        frontend(torch.zeros(2, 5, 7), torch.tensor([5, 4]))


def test_a_training_step_is_the_same_on_cached_frames(model, whisper, batch):
    model.train()
    losses = []
    for given in (batch, cached(whisper, batch)):
        model.zero_grad()
        loss, _, _ = run(model, given)
        loss.backward()
        gradients = {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}
        losses.append((loss.detach(), gradients))
    (heard, first), (read, second) = losses
    assert torch.equal(heard, read)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert first and not any(name.startswith("frontend") for name in first)
    assert not any(part.training for part in model.frontend.modules())


def test_a_checkpoint_does_without_it_and_knows_it_by_its_hash(model, whisper, tmp_path):
    state = model.state_dict()
    assert HASHES in state and not any(name.startswith("frontend") for name in state)
    model_on(whisper).load_state_dict(state)
    other = save_encoder(tmp_path, "whisper", encoder_ffn_dim=20)
    with pytest.raises(UserError, match="trained on another frontend"):
        model_on(other).load_state_dict(state)
    config = {"model": "espnet", "frontend": "hf_speech", "frontend_conf": {"model": str(whisper)}}
    (base,) = find_bases(config, state)
    assert (base.part, base.option, base.local) == ("frontend", "model", True)
    assert base.sha256 == model.frontend.base.sha256


def test_files_of_frames_are_decoded_like_recordings(whisper, batch, tmp_path):
    stored = cached(whisper, batch)
    paths = {}
    for name, row, size in zip("abc", stored["speech"], stored["speech_lengths"], strict=True):
        np.save(tmp_path / f"{name}.npy", row[:size].numpy())
        paths[name] = str(tmp_path / f"{name}.npy")
    ((names, speech, lengths),) = padded_batches(paths, 3, "cpu")
    assert names == ["b", "a", "c"]  # the longest first
    order = [1, 0, 2]
    assert torch.equal(speech, stored["speech"][order])
    assert torch.equal(lengths, stored["speech_lengths"][order])
    soundfile.write(tmp_path / "d.wav", np.zeros(400, np.float32), 16000)
    ((_, speech, _),) = padded_batches({"d": str(tmp_path / "d.wav")}, 3, "cpu")
    assert speech.shape == (1, 400)


def test_any_encoder_of_espnet_stands_behind_it(whisper):
    model = model_on(whisper, encoder="conformer", encoder_conf=ENCODER)
    assert model.encoder.embed is not None and len(TOKENS) == model.vocab_size
