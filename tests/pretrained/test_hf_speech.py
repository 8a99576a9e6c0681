"""Encoders of Hugging Face: what they return is what transformers itself would."""

import json
import logging
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor, AutoModel, HubertConfig, HubertForCTC

from espnet_otreg.errors import UserError
from espnet_otreg.pretrained.hf_speech import HFSpeechEncoder
from tests.support.tiny_speech import SECONDS, noises, save_encoder

KINDS = {  # name of a test -> kind, changes of its configuration
    "whisper": ("whisper", {}),
    "w2v-bert": ("wav2vec2-bert", {}),
    "w2v-bert with rotary positions": ("wav2vec2-bert", {"position_embeddings_type": "rotary"}),
    "w2v-bert with an adapter": ("wav2vec2-bert", {"add_adapter": True, "output_hidden_size": 12}),
    "wav2vec2": ("wav2vec2", {}),
    "wav2vec2 with an adapter": ("wav2vec2", {"add_adapter": True, "output_hidden_size": 12}),
    "hubert": ("hubert", {}),
    "hubert with a batch norm": ("hubert", {"conv_pos_batch_norm": True}),
    "hubert with a group norm": (
        "hubert",
        {"feat_extract_norm": "group", "do_stable_layer_norm": False},
    ),
    "wavlm": ("wavlm", {}),
    "wavlm with a group norm": (
        "wavlm",
        {"feat_extract_norm": "group", "do_stable_layer_norm": False},
    ),
}
SAMPLES = (9001, 16000, 4321, 15999, 1200, 15700)  # up to Whisper's window here


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folders = {}

    def save(name):
        if name not in folders:
            kind, changes = KINDS[name]
            folders[name] = save_encoder(tmp_path_factory.mktemp("encoder"), kind, **changes)
        return folders[name]

    return save


def build(folder, **options):
    return HFSpeechEncoder(1, str(folder), **options).eval()


@torch.no_grad()
def stock(folder, wave):
    """Run transformers' own classes on one utterance: hidden states, the top's last."""
    network, extractor = (
        AutoModel.from_pretrained(folder),
        AutoFeatureExtractor.from_pretrained(folder),
    )
    network = network.encoder if network.config.model_type == "whisper" else network
    given = extractor(wave.numpy(), sampling_rate=16000, return_tensors="pt")
    output = network.eval()(**given, output_hidden_states=True)
    return [*output.hidden_states, output.last_hidden_state]


@pytest.mark.parametrize("name", KINDS)
def test_frames_do_not_depend_on_batch_neighbours(saved, name):
    encoder = build(saved(name))
    speech, samples = noises(*SAMPLES)
    with torch.no_grad():
        together, lengths, _ = encoder(speech, samples)
        for row, wave in enumerate(speech):
            alone, length, _ = encoder(wave[None, : samples[row]], samples[row : row + 1])
            assert length == lengths[row] == alone.shape[1]
            torch.testing.assert_close(
                together[row, : lengths[row]], alone[0], atol=1e-5, rtol=1e-5
            )
            assert not together[row, lengths[row] :].any()
    assert together.shape == (len(SAMPLES), lengths.max(), encoder.output_size())
    assert together.dtype == torch.float32


@pytest.mark.parametrize("name", [name for name in KINDS if name != "whisper"])
def test_frames_are_those_of_transformers(saved, name):
    encoder = build(saved(name))
    speech, samples = noises(7000, 4321)
    with torch.no_grad():
        frames, lengths, _ = encoder(speech, samples)
    for row, wave in enumerate(speech):
        expected = stock(saved(name), wave[: samples[row]])[-1][0]
        assert lengths[row] <= len(expected)  # an odd spectrum is padded to pairs
        if "adapter" in name:
            assert lengths[row] >= len(expected) - 1
            continue
        torch.testing.assert_close(
            frames[row, : lengths[row]], expected[: lengths[row]], atol=1e-5, rtol=1e-5
        )


def test_full_padding_gives_exactly_the_frames_of_whisper(saved):
    encoder = build(saved("whisper"), padding="full")
    speech, samples = noises(*SAMPLES)
    with torch.no_grad():
        frames, lengths, _ = encoder(speech, samples)
    assert lengths.tolist() == [29, 50, 14, 50, 4, 50]  # 20 ms each, the last one begun
    for row, wave in enumerate(speech):
        expected = stock(saved("whisper"), wave[: samples[row]])[-1][0]
        assert len(expected) == 50 * SECONDS
        torch.testing.assert_close(frames[row, : lengths[row]], expected[: lengths[row]])


def test_short_padding_differs_from_full_by_what_is_attended_to_alone(saved):
    """Attention to nothing: then convolutions see what they see with full padding."""
    short, full = build(saved("whisper")), build(saved("whisper"), padding="full")
    for encoder in (short, full):
        for block in encoder.network.layers:
            torch.nn.init.zeros_(block.self_attn.out_proj.weight)
    speech, samples = noises(*SAMPLES)
    with torch.no_grad():
        frames, lengths, _ = short(speech, samples)
        expected, full_lengths, _ = full(speech, samples)
    assert lengths.equal(full_lengths)
    torch.testing.assert_close(frames, expected)


def test_an_utterance_as_long_as_the_window_needs_no_padding(saved):
    speech, samples = noises(16000 * SECONDS)
    with torch.no_grad():
        short = build(saved("whisper"))(speech, samples)[0]
        full = build(saved("whisper"), padding="full")(speech, samples)[0]
    torch.testing.assert_close(short, full)


def test_audio_beyond_the_window_is_refused(saved):
    encoder = build(saved("whisper"))
    with pytest.raises(UserError, match=r"lasts 1\.2 s.* takes 1 s at most.*max_wav_duration 1"):
        encoder(*noises(4000, 19200))


@pytest.mark.parametrize("name", ["whisper", "w2v-bert", "hubert", "hubert with a group norm"])
@pytest.mark.parametrize("layer", [1, 2, 3])
def test_an_inner_layer_is_that_layers_output(saved, name, layer):
    options = {"padding": "full"} if name == "whisper" else {}
    encoder = build(saved(name), layer=layer, **options)
    speech, samples = noises(7000)
    with torch.no_grad():
        frames, lengths, _ = encoder(speech, samples)
    network = AutoModel.from_pretrained(saved(name)).eval()
    network = network.encoder if name == "whisper" else network
    blocks = network.layers if name == "whisper" else network.encoder.layers
    seen = []
    blocks[layer - 1].register_forward_hook(lambda *given: seen.append(given[2]))
    extractor = AutoFeatureExtractor.from_pretrained(saved(name))
    with torch.no_grad():
        network(**extractor(speech[0].numpy(), sampling_rate=16000, return_tensors="pt"))
    expected = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
    torch.testing.assert_close(frames[0], expected[0, : lengths[0]], atol=1e-5, rtol=1e-5)


def test_an_inner_layer_comes_before_the_adapter(saved):
    encoder = build(saved("wav2vec2 with an adapter"), layer=3)
    frames, lengths, _ = encoder(*noises(7000, 3000))
    expected, expected_lengths, _ = build(saved("wav2vec2"), layer=3)(*noises(7000, 3000))
    assert encoder.output_size() == 16 and lengths.equal(expected_lengths)
    assert frames.shape == expected.shape


@pytest.mark.parametrize("layer", [0, 4, -1])
def test_a_layer_out_of_range_is_refused(saved, layer):
    with pytest.raises(UserError, match=rf"between 1 and 3.*got {layer}"):
        build(saved("hubert"), layer=layer)


@pytest.mark.parametrize("name", ["whisper", "w2v-bert", "hubert", "hubert with a group norm"])
def test_gradients_reach_the_encoder_when_it_trains(saved, name):
    encoder = build(saved(name)).train()
    encoder(*noises(7000, 4000))[0].square().mean().backward()
    blocks = encoder.network.layers if name == "whisper" else encoder.network.encoder.layers
    gradients = [weight.grad for weight in blocks[0].parameters()]
    assert all(gradient is not None for gradient in gradients)
    assert sum(gradient.abs().sum() for gradient in gradients) > 0


def test_only_whispers_encoder_is_kept(saved):
    names = [name for name, _ in build(saved("whisper")).named_parameters()]
    assert names and not any("decoder" in name for name in names)


def test_weights_keep_their_dtype_when_espnet_casts_the_model(saved):
    encoder = build(saved("hubert"), dtype="bfloat16")
    exact = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    encoder.to(torch.float32)
    for name, weight in encoder.state_dict().items():
        assert weight.dtype == torch.bfloat16 and weight.equal(exact[name])
    with torch.no_grad():
        frames = encoder(*noises(7000, 3000))[0]
        single = build(saved("hubert"))(*noises(7000, 3000))[0]
    assert frames.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(frames[0], single[0]).min() > 0.95


def test_weights_come_back_after_espnets_initialisation(saved):
    encoder = build(saved("whisper"), layer=2)
    before = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    for weight in encoder.parameters():
        torch.nn.init.normal_(weight)
    encoder.reload_pretrained_parameters()
    assert all(weight.equal(before[name]) for name, weight in encoder.state_dict().items())


def test_the_base_is_known_by_what_determines_the_frames(saved, tmp_path):
    folder = save_encoder(tmp_path / "a", "hubert")
    base = build(folder).base
    assert base.name == str(folder)
    assert base.sha256 == build(saved("hubert")).base.sha256
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "do_normalize": False}))
    assert build(folder).base.sha256 != base.sha256


def test_normalisation_is_the_feature_extractors(tmp_path):
    folder = save_encoder(tmp_path, "hubert")
    speech, samples = noises(7000)
    normal = build(folder)
    torch.testing.assert_close(normal(3 * speech, samples)[0], normal(speech, samples)[0])
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "do_normalize": False}))
    plain = build(folder)
    assert (plain(3 * speech, samples)[0] - plain(speech, samples)[0]).abs().max() > 1e-3


def test_a_model_with_a_head_of_its_own_is_taken_without_it(saved, tmp_path):
    save_encoder(tmp_path, "hubert")
    config = HubertConfig.from_pretrained(tmp_path)
    HubertForCTC(config).save_pretrained(tmp_path)
    assert build(tmp_path)(*noises(7000))[0].shape[2] == 16


@pytest.mark.parametrize(
    ("name", "samples", "needed"),
    [("hubert", 164, 165), ("hubert with a group norm", 164, 165), ("w2v-bert", 559, 560)],
)
def test_an_utterance_too_short_for_a_frame_is_told(saved, name, samples, needed):
    encoder = build(saved(name))
    assert encoder(*noises(4000, needed))[1][1] == 1
    with pytest.raises(UserError, match=f"{samples} samples.* {needed} or more.*min_wav_duration"):
        encoder(*noises(4000, samples))


def test_the_shortest_utterance_makes_a_frame_of_whisper(saved):
    frames, lengths, _ = build(saved("whisper"))(*noises(4000, 1))
    assert lengths[1] == 1 and np.isfinite(frames.detach().numpy()).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"dtype": "float8"},
            "dtype: expected one of float32, bfloat16, float16; received 'float8'",
        ),
        ({"padding": "none"}, "padding: expected one of longest, full; received 'none'"),
        ({"attn_implementation": "magic"}, "cannot be loaded as a speech encoder.*magic"),
    ],
)
def test_options_out_of_range_are_told(saved, options, message):
    with pytest.raises(UserError, match=message):
        build(saved("hubert"), **options)


def test_features_instead_of_waveforms_are_refused(saved):
    with pytest.raises(UserError, match=r"takes waveforms.*\(1, 30, 80\).*frontend: null"):
        build(saved("hubert"))(torch.zeros(1, 30, 80), torch.tensor([30]))


def test_another_kind_of_model_is_refused(tmp_path):
    from transformers import BertConfig, BertModel

    save_encoder(tmp_path, "hubert")
    BertModel(
        BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    ).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"of the kind bert.*whisper, wav2vec2-bert"):
        build(tmp_path)


def test_whisper_without_a_feature_extractor_gets_the_standard_one(saved, tmp_path, caplog):
    save_encoder(tmp_path, "whisper")
    (tmp_path / "preprocessor_config.json").unlink()
    speech, samples = noises(7000, 4321)
    with caplog.at_level(logging.INFO), torch.no_grad():
        frames = build(tmp_path)(speech, samples)[0]
    torch.testing.assert_close(frames, build(saved("whisper"))(speech, samples)[0])
    assert "no preprocessor_config.json: the standard one of 20 mel bands" in caplog.text


@pytest.mark.parametrize("name", ["w2v-bert", "hubert"])
def test_another_folder_without_a_feature_extractor_is_told(saved, tmp_path, name):
    shutil.copytree(saved(name), tmp_path, dirs_exist_ok=True)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match="feature extractor cannot be loaded"):
        build(tmp_path)


def test_another_models_feature_extractor_is_told(saved, tmp_path):
    save_encoder(tmp_path, "whisper")
    path = tmp_path / "preprocessor_config.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "chunk_length": 2, "nb_max_frames": 200})
    )
    with pytest.raises(UserError, match=r"takes 100 frames.*makes 200"):
        build(tmp_path)
