"""Encoders of ESPnet experiments: what they return is what the experiment's model encodes."""

import shutil

import pytest
import torch

from espnet_otreg.errors import UserError
from espnet_otreg.pretrained.espnet_speech import CHECKPOINT, ESPnetSpeechEncoder
from espnet_otreg.tasks.asr import ASRTask
from tests.support.tiny_models import ENCODER
from tests.support.tiny_speech import noises, save_experiment

SAMPLES = (9001, 16000, 4321)
CONDITIONED = "e_branchformer, conditioned"  # later blocks are fed with what CTC guesses
ENCODERS = ("transformer", "conformer", "e_branchformer", CONDITIONED)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folders = {}

    def train(encoder):
        if encoder not in folders:
            changes = {}
            if encoder == CONDITIONED:
                options = {"interctc_layer_idx": [1], "interctc_use_conditioning": True}
                changes = {
                    "encoder_conf": {**ENCODER, "input_layer": "conv2d", **options},
                    "model_conf": {"ctc_weight": 0.3, "interctc_weight": 0.3},
                }
            folder = tmp_path_factory.mktemp("experiment")
            folders[encoder] = save_experiment(folder, encoder.split(",")[0], **changes)
        return folders[encoder]

    return train


def build(folder, **options):
    return ESPnetSpeechEncoder(1, str(folder), **options).eval()


def stock(folder):
    """Build the experiment's own model."""
    files = str(folder / "config.yaml"), str(folder / CHECKPOINT)
    return ASRTask.build_model_from_file(*files, "cpu")[0].eval()


@torch.no_grad()
@pytest.mark.parametrize("encoder", ENCODERS)
def test_frames_are_those_of_each_utterance_alone(trained, encoder):
    speech, samples = noises(*SAMPLES)
    frames, lengths, _ = build(trained(encoder))(speech, samples)
    model = stock(trained(encoder))
    for row, wave in enumerate(speech):
        expected, length = model.encode(wave[None, : samples[row]], samples[row : row + 1])
        expected = expected[0] if isinstance(expected, tuple) else expected  # inter-CTC
        assert lengths[row] == length
        torch.testing.assert_close(frames[row, :length], expected[0])
        assert not frames[row, length:].any()


@torch.no_grad()
def test_a_padded_batch_is_encoded_in_one_go_if_asked_for(trained):
    speech, samples = noises(*SAMPLES)
    frames, lengths, _ = build(trained("e_branchformer"), batched=True)(speech, samples)
    expected, expected_lengths = stock(trained("e_branchformer")).encode(speech, samples)
    assert lengths.equal(expected_lengths)
    torch.testing.assert_close(frames, expected)


@torch.no_grad()
@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_an_inner_layer_is_that_blocks_output(trained, encoder, layer):
    model, seen = stock(trained(encoder)), []
    model.encoder.encoders[layer - 1].register_forward_hook(lambda *given: seen.append(given[2][0]))
    speech, samples = noises(9001)
    frames, lengths, _ = build(trained(encoder), layer=layer)(speech, samples)
    model.encode(speech, samples)
    expected = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
    assert frames.shape == expected.shape and lengths.item() == expected.shape[1]
    torch.testing.assert_close(frames, expected)


def test_the_last_block_is_not_the_top(trained):
    speech, samples = noises(9001)
    inner = build(trained("transformer"), layer=2)(speech, samples)[0]
    top = build(trained("transformer"))(speech, samples)[0]
    assert (inner - top).abs().max() > 1e-2  # the top is normalised


@pytest.mark.parametrize("layer", [0, 3])
def test_a_layer_out_of_range_is_refused(trained, layer):
    with pytest.raises(UserError, match=rf"between 1 and 2.*got {layer}"):
        build(trained("conformer"), layer=layer)


def test_only_what_encodes_is_kept(trained):
    names = {name.split(".")[0] for name in build(trained("conformer")).state_dict()}
    assert names == {"frontend", "encoder"}


def test_gradients_reach_the_encoder_when_it_trains(trained):
    encoder = build(trained("conformer")).train()
    encoder(*noises(9001, 8000))[0].square().mean().backward()
    gradients = [weight.grad for weight in encoder.encoder.encoders[0].parameters()]
    assert all(gradient is not None for gradient in gradients)
    assert sum(gradient.abs().sum() for gradient in gradients) > 0


def test_weights_come_back_after_espnets_initialisation(trained):
    encoder = build(trained("conformer"), layer=1)
    before = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    for weight in encoder.parameters():
        torch.nn.init.normal_(weight)
    encoder.reload_pretrained_parameters()
    assert all(weight.equal(before[name]) for name, weight in encoder.state_dict().items())


def test_the_base_survives_a_move_of_the_folder_and_no_change_of_it(trained, tmp_path):
    base = build(trained("conformer")).base
    assert base.name == str(trained("conformer"))
    moved = shutil.copytree(trained("conformer"), tmp_path / "moved")
    config = moved / "config.yaml"
    text = config.read_text()
    config.write_text(f"{text}output_dir: /elsewhere\n")
    assert build(moved).base.sha256 == base.sha256
    changed = text.replace("hop_length: 160", "hop_length: 80")
    assert changed != text
    config.write_text(changed)
    assert build(moved).base.sha256 != base.sha256
    config.write_text(text)
    state = torch.load(moved / CHECKPOINT)
    state["encoder.after_norm.bias"] += 1
    torch.save(state, moved / CHECKPOINT)
    assert build(moved).base.sha256 != base.sha256


def test_the_place_of_the_statistics_is_no_part_of_the_base(tmp_path):
    folder = save_experiment(tmp_path / "a", "conformer", normalize="global_mvn")
    base = build(folder).base
    (folder / "stats.npz").rename(tmp_path / "stats.npz")
    config = folder / "config.yaml"
    config.write_text(
        config.read_text().replace(str(folder / "stats.npz"), str(tmp_path / "stats.npz"))
    )
    assert build(folder).base.sha256 == base.sha256


def test_an_experiment_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match=r"config\.yaml does not exist.*stage 11 of run_slm\.sh"):
        build(tmp_path)
    (tmp_path / "config.yaml").write_text("encoder: conformer\n")
    with pytest.raises(UserError, match=rf"{CHECKPOINT} does not exist"):
        build(tmp_path)


def test_a_file_of_another_kind_is_told(tmp_path):
    (tmp_path / CHECKPOINT).touch()
    for text in ("encoder: [", "just text", "other: 1"):
        (tmp_path / "config.yaml").write_text(text)
        with pytest.raises(UserError, match=r"not valid YAML|does not describe an ESPnet"):
            build(tmp_path)


def test_weights_of_another_model_are_told(trained, tmp_path):
    folder = shutil.copytree(trained("conformer"), tmp_path / "copy")
    state = torch.load(folder / CHECKPOINT)
    del state["encoder.encoders.1.norm_mha.weight"]
    torch.save(state, folder / CHECKPOINT)
    with pytest.raises(UserError, match=r"lacks 1 weights.*first encoder\.encoders\.1\.norm_mha"):
        build(folder)
    build(folder, layer=1)  # which has no need of it


def test_a_missing_file_of_statistics_is_told(tmp_path):
    folder = save_experiment(tmp_path, "conformer", normalize="global_mvn")
    (folder / "stats.npz").unlink()
    with pytest.raises(UserError, match=r"cannot be built .*stats\.npz"):
        build(folder)


def test_an_encoder_of_features_is_refused(tmp_path):
    folder = save_experiment(tmp_path, "conformer", frontend=None, input_size=80)
    with pytest.raises(UserError, match="has no frontend"):
        build(folder)


def test_features_instead_of_waveforms_are_refused(trained):
    with pytest.raises(UserError, match=r"takes waveforms.*\(1, 30, 80\).*frontend: null"):
        build(trained("conformer"))(torch.zeros(1, 30, 80), torch.tensor([30]))


def test_an_utterance_too_short_for_a_frame_is_told(trained):
    with pytest.raises(UserError, match=r"makes 6 frames.*more than 7.*min_wav_duration"):
        build(trained("conformer"))(*noises(9001, 900))
