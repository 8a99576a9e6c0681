"""Cached frames of a speech encoder, as a command."""

import errno
import json
import pickle
import shutil
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
import yaml

from espnet_otreg.corpora.workers import map_batches
from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, read_table, write_lines
from espnet_otreg.pretrained.espnet_speech import ESPnetSpeechEncoder
from espnet_otreg.pretrained.hf_speech import HFSpeechEncoder
from espnet_otreg.pretrained.speech_features import check_speech_features, source_of
from espnet_otreg.recipe import encoders
from espnet_otreg.stages import speech_features
from tests.support.tiny_speech import save_encoder, save_experiment

SAMPLES = {"b": 9001, "a": 16000, "e": 4321, "c": 15999, "d": 1200}


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("whisper"), "whisper")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    for utt, samples in SAMPLES.items():
        soundfile.write(folder / f"{utt}.wav", 0.1 * generator.standard_normal(samples), 16000)
    write_lines(folder / "wav.scp", [f"{utt} {folder / utt}.wav" for utt in SAMPLES])
    return folder


@pytest.fixture
def config(whisper, tmp_path):
    return configure(tmp_path, "hf_speech", model=str(whisper))


def configure(folder, encoder, **conf):
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump({"encoder": encoder, "encoder_conf": conf, "model": "slm"}))
    return path


def frames(config, data, output, *more):
    options = ["--config", str(config), "--data", str(data), "--output", str(output)]
    speech_features.main([*options, "--device", "cpu", *more])
    return {utt: np.load(path) for utt, path in read_table(output / "feats.scp").items()}


def encoded(encoder, data):
    """Encode each utterance by itself."""
    for utt, path in read_table(data / "wav.scp").items():
        speech = torch.from_numpy(soundfile.read(path, dtype="float32")[0])[None]
        with torch.no_grad():
            yield utt, encoder.eval()(speech, torch.tensor([speech.shape[1]]))[0][0].numpy()


def arrays(output):
    return sorted(path for path in output.rglob("*") if path.is_file() and "arrays" in path.parts)


@pytest.mark.parametrize("more", [["--batch_size", "2"], ["--batch_size", "2", "--nj", "3"]])
def test_each_utterance_has_the_encoders_frames(config, whisper, data, tmp_path, monkeypatch, more):
    def pretended(function, jobs, argument, nj):  # starting real processes takes seconds
        function, jobs, argument = pickle.loads(pickle.dumps((function, list(jobs), argument)))
        return map_batches(function, jobs, argument, 1)

    monkeypatch.setattr(speech_features, "map_batches", pretended)
    made = frames(config, data, tmp_path / "cache", "--dtype", "float32", *more)
    assert list(made) == list(SAMPLES)
    for utt, expected in encoded(HFSpeechEncoder(1, str(whisper)), data):
        np.testing.assert_allclose(made[utt], expected, atol=1e-5)


def test_an_experiments_frames_are_cached_too(data, tmp_path):
    folder = save_experiment(tmp_path / "exp", "conformer")
    config = configure(tmp_path, "espnet_speech", experiment="elsewhere", layer=1)
    more = ["--dtype", "float32", "--encoder", str(folder)]
    (tmp_path / "data").mkdir()
    rows = (data / "wav.scp").read_text().splitlines()
    write_lines(tmp_path / "data" / "wav.scp", [row for row in rows if not row.startswith("d ")])
    made = frames(config, tmp_path / "data", tmp_path / "cache", *more)
    for utt, expected in encoded(ESPnetSpeechEncoder(1, str(folder), layer=1), tmp_path / "data"):
        np.testing.assert_allclose(made[utt], expected, atol=1e-5)


def test_frames_need_no_more_of_a_configuration_than_its_encoder(config, whisper, data, tmp_path):
    made = frames(config, data, tmp_path / "cache")
    changed = yaml.safe_load(config.read_text()) | {"max_epoch": 9, "model_conf": {"ctc_weight": 0}}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(changed))
    words = encoders.frames_words(config, str(whisper))
    assert words == encoders.frames_words(tmp_path / "other.yaml", str(whisper))
    assert words[-1] == f"^{whisper}"
    assert encoders.model_words(config, "x") == ["--encoder_conf", "model=^x"]
    as_frontend = yaml.safe_load(config.read_text()) | {"encoder": "conformer"}
    as_frontend |= {"frontend": "hf_speech", "frontend_conf": as_frontend.pop("encoder_conf")}
    (tmp_path / "frontend.yaml").write_text(yaml.safe_dump(as_frontend))
    assert encoders.frames_words(tmp_path / "frontend.yaml", str(whisper)) == words
    assert encoders.model_words(tmp_path / "frontend.yaml", "x") == ["--frontend_conf", "model=^x"]
    options = ["--data", str(data), "--output", str(tmp_path / "again"), "--device", "cpu"]
    speech_features.main([*words[:-1], str(whisper), *options])
    for utt, path in read_table(tmp_path / "again/feats.scp").items():
        np.testing.assert_array_equal(np.load(path), made[utt])
    with pytest.raises(SystemExit, match=r"a mapping as JSON, got \[1\]"):
        speech_features.main(["--type", "hf_speech", "--conf", "[1]", *options])
    (tmp_path / "none.yaml").write_text("decoder: rnn")
    with pytest.raises(UserError, match=r"none\.yaml: --speech_encoder .* has encoder: None"):
        encoders.frames_words(tmp_path / "none.yaml", "x")
    layer = configure(tmp_path, "hf_speech", model=str(whisper), layer=1)
    assert encoders.frames_words(layer, str(whisper)) != words


def test_half_precision_is_the_same_rounded(config, data, tmp_path):
    half = frames(config, data, tmp_path / "half")
    single = frames(config, data, tmp_path / "single", "--dtype", "float32")
    for utt, array in half.items():
        assert array.dtype == np.float16
        np.testing.assert_allclose(array, single[utt], rtol=1e-3, atol=1e-3)


def test_frames_say_what_they_were_made_of(config, whisper, data, tmp_path):
    frames(config, data, tmp_path / "cache")
    content = read_json(tmp_path / "cache" / "features.json")
    source = source_of("hf_speech", {"model": str(whisper)})
    assert content["base"] == str(whisper) and content["sha256"] == source.base.sha256
    assert (content["encoder"], content["layer"], content["dtype"]) == (
        "hf_speech",
        None,
        "float16",
    )
    assert (content["dimension"], content["utterances"]) == (16, len(SAMPLES))
    for features in (tmp_path / "cache", tmp_path / "cache" / "feats.scp"):
        check_speech_features(features, source.base, source.layer)
        check_speech_features(features, *source)


def test_frames_of_another_encoder_are_refused_in_training(config, whisper, data, tmp_path):
    frames(config, data, tmp_path / "cache")
    features = tmp_path / "cache" / "feats.scp"
    source = source_of("hf_speech", {"model": str(whisper)})
    other = source.base._replace(sha256="0" * 64)
    with pytest.raises(UserError, match=r"frames of another encoder .*sha256"):
        check_speech_features(features, other, None)
    with pytest.raises(UserError, match=r"layer was None .* is 2"):
        check_speech_features(features, source.base, 2)
    full = source_of("hf_speech", {"model": str(whisper), "padding": "full"})
    with pytest.raises(UserError, match=r"options was .*longest.* is .*full"):
        check_speech_features(features, *full)
    (tmp_path / "cache" / "features.json").unlink()
    with pytest.raises(UserError, match="unfinished"):
        check_speech_features(features, *source)


def test_an_encoder_is_described_as_it_is_built(whisper):
    conf = {"model": str(whisper), "layer": 2}
    source, built = source_of("hf_speech", conf), HFSpeechEncoder(1, **conf)
    assert (source.base, source.layer) == (built.base, built.layer)


def test_a_finished_cache_is_not_made_again(config, data, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    frames(config, data, tmp_path / "cache")
    monkeypatch.setattr(speech_features, "_encoder", None)
    frames(config, data, tmp_path / "cache")
    assert "complete already" in caplog.text


@contextmanager
def failing_after(monkeypatch, count, error):
    """The array after `count` of them is written by half, then `error` comes."""
    whole, written = speech_features.writing, []

    @contextmanager
    def writing(path, mode):
        with whole(path, mode) as stream:
            if len(written) < count:
                written.append(path)
                yield stream
                return

            def write(content):
                stream.write(content[: len(content) // 2])
                raise error

            yield SimpleNamespace(write=write)

    with monkeypatch.context() as patch:
        patch.setattr(speech_features, "writing", writing)
        yield written


def test_an_interruption_loses_nothing_that_was_finished(config, data, tmp_path, monkeypatch):
    output = tmp_path / "cache"
    with failing_after(monkeypatch, 3, KeyboardInterrupt()) as written:
        with pytest.raises(SystemExit, match="interrupted"):
            frames(config, data, output, "--batch_size", "2")
        assert arrays(output) == sorted(written) and len(written) == 3
    assert not (output / "features.json").exists()
    times = {path: path.stat().st_mtime_ns for path in written}
    made = frames(config, data, output)
    assert {path: path.stat().st_mtime_ns for path in written} == times
    assert made.keys() == SAMPLES.keys()


def test_a_full_disk_is_a_clear_error_and_keeps_only_whole_files(
    config, data, tmp_path, monkeypatch
):
    output = tmp_path / "cache"
    full = OSError(errno.ENOSPC, "No space left on device")
    with (
        failing_after(monkeypatch, 2, full) as written,
        pytest.raises(SystemExit, match=r"disk of .*cache is full.*make room"),
    ):
        frames(config, data, output)
    assert arrays(output) == sorted(written) and len(written) == 2
    assert not (output / "feats.scp").exists()


def test_a_disk_that_is_too_small_is_told_before_the_work(config, data, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(SystemExit, match="GB free: make room"):
        frames(config, data, tmp_path / "cache")
    assert not arrays(tmp_path / "cache")


@pytest.mark.parametrize("changed", ["sha256", "layer", "options", "dtype", "wav_scp"])
def test_stale_frames_are_refused(config, whisper, data, tmp_path, changed):
    output, conf, more = tmp_path / "cache", {"model": str(whisper)}, []
    frames(config, data, output)
    if changed == "sha256":
        conf["model"] = str(shutil.copytree(whisper, tmp_path / "other"))
        path = tmp_path / "other" / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "note": 1}))
    conf |= {"layer": {"layer": 2}, "options": {"padding": "full"}}.get(changed, {})
    if changed == "dtype":
        more = ["--dtype", "float32"]
    if changed == "wav_scp":
        rows = (data / "wav.scp").read_text().splitlines()
        write_lines(tmp_path / "wav.scp", rows[1:])
        data = tmp_path
    before = {path: path.read_bytes() for path in arrays(output)}
    with pytest.raises(SystemExit, match=f"made with another {changed}"):
        frames(configure(tmp_path, "hf_speech", **conf), data, output, *more)
    assert {path: path.read_bytes() for path in arrays(output)} == before


def test_a_folder_that_was_moved_holds_the_same_encoder(config, whisper, data, tmp_path):
    frames(config, data, tmp_path / "cache")
    written = {path: path.stat().st_mtime_ns for path in arrays(tmp_path / "cache")}
    moved = shutil.copytree(whisper, tmp_path / "moved")
    frames(config, data, tmp_path / "cache", "--encoder", str(moved))
    assert written == {path: path.stat().st_mtime_ns for path in arrays(tmp_path / "cache")}


def test_arrays_that_were_cut_or_lost_are_made_again(config, data, tmp_path):
    output = tmp_path / "cache"
    before = frames(config, data, output)
    first, second, third = arrays(output)[:3]
    first.write_bytes(first.read_bytes()[:-4])
    second.unlink()
    third.write_bytes(b"")
    after = frames(config, data, output)
    for utt in SAMPLES:
        np.testing.assert_allclose(after[utt], before[utt], atol=1e-3)


def test_recordings_that_cannot_be_used_are_counted_and_named(config, data, tmp_path):
    soundfile.write(tmp_path / "8k.wav", np.zeros(800), 8000)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    rows = [f"x {tmp_path}/8k.wav", f"y {tmp_path}/none.wav", f"z {tmp_path}/empty.wav"]
    write_lines(tmp_path / "wav.scp", [*(data / "wav.scp").read_text().splitlines(), *rows])
    with pytest.raises(SystemExit, match=r"3 recordings cannot be used, first x: 8000 Hz"):
        frames(config, tmp_path, tmp_path / "cache")


def test_an_utterance_that_the_encoder_refuses_is_named(config, tmp_path):
    soundfile.write(tmp_path / "long.wav", np.zeros(17000), 16000)
    write_lines(tmp_path / "wav.scp", [f"long {tmp_path}/long.wav"])
    with pytest.raises(SystemExit, match=r"one of long: .*max_wav_duration"):
        frames(config, tmp_path, tmp_path / "cache")


def test_frames_beyond_half_precision_are_refused(config, data, tmp_path, monkeypatch):
    huge = np.full((3, 16), 1e6, np.float32)
    monkeypatch.setattr(speech_features, "_frames", lambda batch, job: [huge] * len(batch))
    with pytest.raises(SystemExit, match="no finite float16 numbers; use --dtype float32"):
        frames(config, data, tmp_path / "cache")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("encoder: conformer", r"hf_speech or espnet_speech.*has encoder: conformer"),
        ("encoder: hf_speech\nencoder_conf: {size: 3}", "options of hf_speech"),
        ("decoder: rnn", "has no encoder"),
        ("encoder: [", "not valid YAML"),
    ],
)
def test_configurations_without_a_trained_encoder_are_told(data, tmp_path, text, message):
    (tmp_path / "train.yaml").write_text(text)
    with pytest.raises(SystemExit, match=message):
        frames(tmp_path / "train.yaml", data, tmp_path / "cache")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--batch_size", "0", "must be 1 or more"),
        ("--nj", "0", "must be 1 or more"),
        ("--device", "toaster", "cannot be used"),
        ("--config", "nowhere.yaml", "does not exist"),
        ("--type", "hf_speech", "not both"),
        ("--conf", "{}", "not both"),
    ],
)
def test_options_out_of_range_are_told(config, data, tmp_path, option, value, message):
    with pytest.raises(SystemExit, match=message):
        frames(config, data, tmp_path / "cache", option, value)
