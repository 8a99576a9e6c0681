import logging

import numpy as np
import pytest
import soundfile
import torch

from espnet_otreg.decode.slm import SpeechLanguageModel
from espnet_otreg.errors import UserError
from tests.support.tiny_llm import save_llm
from tests.support.tiny_slm import build

LENGTHS = (40, 61, 17, 52, 33, 8, 70, 25)


@pytest.fixture(scope="module", params=["qwen2", "llama", "gpt2"])
def listener(request, tmp_path_factory):
    lm = save_llm(tmp_path_factory.mktemp(request.param), request.param)
    model = build(lm, model_conf={"slm_conf": {"compression": "ot", "drop_threshold": 0.2}})
    with torch.no_grad():
        model.adapter.out.weight.mul_(20)  # so that answers depend on what is heard
    model.encoder.base = "frames stand for it"
    return SpeechLanguageModel(model)


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(0)
    return [rng.standard_normal((length, 16)).astype(np.float32) for length in LENGTHS]


@pytest.mark.parametrize("beam", [1, 3])
def test_a_batch_of_one_gives_the_tokens_of_a_batch_of_eight(listener, frames, beam):
    languages = ["en", "es"] * 4
    options = {"beam_size": beam, "max_new_tokens": 12}
    together = listener.transcribe(frames, languages, batch_size=8, **options)
    alone = listener.transcribe(frames, languages, batch_size=1, **options)
    assert [answer.tokens for answer in together] == [answer.tokens for answer in alone]
    assert [answer.shortening for answer in together] == [answer.shortening for answer in alone]
    assert len({answer.text for answer in together}) > 1  # they are about what was heard


def test_greedy_decoding_takes_the_likeliest_token_again_and_again(listener, frames):
    """Against the whole input read anew for every token, without a cache."""
    found = listener.transcribe(frames[:3], "en", batch_size=3, max_new_tokens=6)
    model = listener.model
    for clip, answer in zip(frames, found, strict=False):
        heard = model.hear(torch.from_numpy(clip)[None], torch.tensor([len(clip)]))
        ids: list[int] = []
        while len(ids) < 6:
            given = torch.tensor([ids]) if ids else None
            inputs, prefix = model.read(heard, ["en"], given)
            logits = model.decoder.logits(inputs, 1, prefix)
            best = int(logits[0, -1].argmax())
            if best == model.decoder.eos:
                break
            ids.append(best)
        assert listener.tokenizer.convert_ids_to_tokens(ids) == answer.tokens


def test_answers_that_were_cut_off_are_told(listener, frames, caplog):
    with caplog.at_level(logging.WARNING):
        found = listener.transcribe(frames, "en", max_new_tokens=1)
    capped = sum(answer.capped for answer in found)
    assert capped > 0
    assert f"{capped} of 8 answers were cut off at max_new_tokens=1" in caplog.text


def test_what_compression_dropped_adds_up(listener, frames):
    for clip, answer in zip(
        frames, listener.transcribe(frames, "en", max_new_tokens=1), strict=True
    ):
        found = answer.shortening
        assert found.embeddings == -(-len(clip) // 3)
        assert found.dropped <= len(found.silent) <= found.dropped + found.merged
        assert found.embeddings - found.merged - found.dropped >= 1


def test_a_model_of_the_phase_before_is_read_by_the_table(tmp_path, frames, monkeypatch, caplog):
    model = build(save_llm(tmp_path), model_conf={"slm_conf": {"objective": "table"}})
    with torch.no_grad():
        model.adapter.out.weight.mul_(20)
    model.encoder.base = "frames stand for it"
    monkeypatch.setattr(model.decoder.network, "forward", None)
    listener = SpeechLanguageModel(model)
    found = listener.transcribe(frames, "en", batch_size=8)
    assert "no effect" not in caplog.text
    assert listener.transcribe(frames, "en", beam_size=4, ctc_weight=0.5) == found
    assert "beam_size and ctc_weight have no effect" in caplog.text
    for clip, answer in zip(frames, found, strict=True):
        heard = model.hear(torch.from_numpy(clip)[None], torch.tensor([len(clip)]))
        (ids,) = model.read_by_table(heard)
        assert answer.tokens == model.decoder.tokenizer.convert_ids_to_tokens(ids)
        assert not answer.capped
    assert any(answer.tokens for answer in found)


@pytest.mark.parametrize(
    ("recordings", "options", "told"),
    [
        (["no.wav"], {}, r"no\.wav cannot be read"),
        ([np.zeros((0, 16), np.float32)], {}, r"shape \(0, 16\)"),
        ([np.zeros((4, 16), np.float32)], {"batch_size": 0}, "batch_size must be 1 or more"),
        ([np.zeros((4, 16), np.float32)], {"language": ["en", "es"]}, "1 recordings and 2 lang"),
        ([np.zeros((4, 16), np.float32)], {"language": "xx"}, "'xx' has no name"),
    ],
)
def test_what_cannot_be_transcribed_is_told(listener, recordings, options, told):
    with pytest.raises(UserError, match=told):
        listener.transcribe(recordings, **{"language": "en", **options})


def test_recordings_of_any_rate_and_channels_are_read_as_the_encoder_wants_them(
    listener, tmp_path, monkeypatch
):
    seen = []
    monkeypatch.setattr(
        listener.model, "hear", lambda speech, lengths: seen.append((speech, lengths))
    )
    tone = np.sin(np.arange(24000) * 2 * np.pi * 440 / 48000).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", np.stack([tone, tone], 1), 48000, subtype="FLOAT")
    with pytest.raises(AttributeError):  # the pretended model heard nothing
        listener.transcribe([str(tmp_path / "a.wav")], "en")
    ((speech, lengths),) = seen
    assert lengths.tolist() == [8000]
    expected = np.sin(np.arange(8000) * 2 * np.pi * 440 / 16000)
    assert np.abs(speech[0, 200:-200].numpy() - expected[200:-200]).max() < 1e-2
