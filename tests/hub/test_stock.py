"""What `espnet2.bin.pack` makes of our experiments, where ESPnet's own asr.sh runs it."""

import zipfile
from pathlib import Path

import espnet
import pytest
import torch
import yaml
from espnet2.bin import asr_inference
from espnet2.bin import pack as stock_command
from espnet2.main_funcs import pack_funcs

from espnet_otreg.compat import ESPnetASRModel, asr_task
from espnet_otreg.decode.batches import read_recording
from espnet_otreg.hub.stock import OWN, packing_for_stock
from espnet_otreg.tasks.asr import PARTS
from tests.support.tiny_packs import DECODING, MODEL, save_clip, save_recogniser

CONFIG = Path("exp/asr_otreg_seed1/config.yaml")
pack = packing_for_stock(getattr(pack_funcs.pack, "__wrapped__", pack_funcs.pack))


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Train in a folder, as asr.sh does: configs name files from there."""
    (tmp_path / "recipe").mkdir()
    monkeypatch.chdir(tmp_path / "recipe")
    folder = save_recogniser(Path())
    (folder / "RESULTS.md").write_text("results\n")
    return tmp_path


def change(**options):
    CONFIG.write_text(yaml.safe_dump(yaml.safe_load(CONFIG.read_text()) | options))


def run_stage_14(monkeypatch, *more):
    """Pack by the command as asr.sh gives it."""
    monkeypatch.setattr(stock_command, "pack", pack)
    folder = CONFIG.parent
    stock_command.main(
        [
            *("asr", "--asr_train_config", str(CONFIG), "--asr_model_file", str(folder / MODEL)),
            *("--option", "data/bpe.model", "--option", str(folder / "stats.npz")),
            *("--option", str(folder / "RESULTS.md"), "--option", str(folder / "images")),
            *("--outpath", "packed.zip", *more),
        ]
    )


def test_a_pack_of_an_otreg_model_opens_in_stock_espnet_with_the_same_weights(recipe, monkeypatch):
    (CONFIG.parent / "images").mkdir()
    (CONFIG.parent / "images" / "loss.png").touch()
    run_stage_14(monkeypatch)
    away = recipe / "away"
    files = pack_funcs.unpack("packed.zip", away)
    config = yaml.safe_load(Path(files["asr_train_config"]).read_text())
    assert config["model"] == "espnet" and "ot_conf" not in config["model_conf"]
    assert config["bpemodel"] == str(away / "data/bpe.model")
    assert yaml.safe_load(CONFIG.read_text())["model"] == "otreg"  # the experiment stays ours
    weights = torch.load(CONFIG.parent / MODEL, weights_only=True)
    model, _ = asr_task.ASRTask.build_model_from_file(
        files["asr_train_config"], files["asr_model_file"]
    )
    assert type(model) is ESPnetASRModel
    assert all(torch.equal(model.state_dict()[name], weights[name]) for name in weights)
    assert set(model.state_dict()) == set(weights)


@pytest.mark.skipif(not hasattr(espnet, "load"), reason="ESPnet 202511 has no espnet.load")
def test_espnets_one_line_opens_both_kinds_of_stock_pack_and_answers_as_before(
    recipe, monkeypatch, homes, packs
):
    zoo = pytest.importorskip("espnet_model_zoo.downloader")

    class Downloader(zoo.ModelDownloader):
        def __init__(self):
            super().__init__(recipe / "zoo")

    monkeypatch.setattr(zoo, "ModelDownloader", Downloader)
    change(use_matplotlib=False)
    run_stage_14(monkeypatch)
    speech = read_recording(save_clip(recipe / "speech.wav"), 16000)
    exported = packs["stock"].with_suffix(".zip")  # by export_stock and ESPnet's own command
    for experiment, packed in ((CONFIG.parent, "packed.zip"), (homes["beam"], str(exported))):
        before = asr_inference.Speech2Text(
            experiment / "config.yaml", experiment / MODEL, device="cpu", **DECODING
        )
        opened = espnet.load(packed, task="asr", device="cpu", **DECODING)
        assert type(opened.asr_model) is ESPnetASRModel
        expected, answers = before(speech), opened(speech)
        assert expected[0][0]
        assert [each[:3] for each in answers] == [each[:3] for each in expected]
        assert answers[0][3].score == expected[0][3].score


def test_pictures_that_were_never_drawn_are_left_out_and_told(recipe, monkeypatch, caplog):
    with pytest.raises(FileNotFoundError, match="images"):  # drawn, but lost: ESPnet refuses
        run_stage_14(monkeypatch)
    change(use_matplotlib=False)
    run_stage_14(monkeypatch)
    assert "exp/asr_otreg_seed1/images is left out of the pack: use_matplotlib: false" in (
        caplog.text
    )
    with zipfile.ZipFile("packed.zip") as stream:
        assert str(CONFIG.parent / "RESULTS.md") in stream.namelist()
    with pytest.raises(FileNotFoundError, match=r"lost\.md"):  # nothing else may be missing
        run_stage_14(monkeypatch, "--option", "lost.md")


@pytest.mark.parametrize(
    ("part", "name"),
    [("model", "slm"), ("model", "ot_transfer"), ("encoder", "hf_speech")],
)
def test_what_has_no_stock_twin_is_refused_with_the_command_that_packs_it(
    recipe, monkeypatch, part, name
):
    change(**{part: name})
    told = (
        rf"{CONFIG} has {part}: {name}, which .* `python3 -m espnet_otreg\.stages\.pack --asr_exp"
    )
    with pytest.raises(SystemExit, match=told):
        run_stage_14(monkeypatch)
    assert not Path("packed.zip").exists()


def test_stock_experiments_and_our_own_packs_are_packed_as_they_are():
    given = []

    def note(**arguments):
        given.append(arguments)

    wrapped = packing_for_stock(note)
    config = {"asr_train_config": "config.yaml"}
    for option in ([], ["otreg.json"]):
        wrapped({"asr_model_file": "m.pth"}, config, "out.zip", option)
    assert [call["option"] for call in given] == [[], ["otreg.json"]]
    assert all(call["yaml_files"] == config for call in given)


def test_the_names_that_stock_lacks_are_those_that_are_registered():
    registered = {
        registry.removesuffix("_choices"): tuple(parts) for registry, parts in PARTS.items()
    }
    assert registered == OWN
