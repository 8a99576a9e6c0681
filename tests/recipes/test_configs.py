"""Every YAML of the recipes builds a model, and the twins differ by the model lines only."""

from pathlib import Path

import pytest
import yaml

from espnet_otreg.tasks.asr import ASRTask

RECIPES = Path(__file__).parents[2] / "egs2"
OTHERS = {"transfer", "ablations", "slm"}  # folders of conf/ with tests of their own
TRAINING = sorted(
    path
    for path in (*RECIPES.glob("*_otreg/conf/*.yaml"), *RECIPES.glob("TEMPLATE/conf/*/*.yaml"))
    if path.stem != "decode" and not OTHERS.intersection(path.parts)
)


def load(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def name(path: Path) -> str:
    return str(path.relative_to(RECIPES))


@pytest.mark.parametrize("path", TRAINING, ids=name)
def test_the_config_builds_its_model_and_optimiser(path):
    tokens = ["<blank>", "<unk>", *map(str, range(97)), "<sos/eos>"]
    parser = ASRTask.get_parser()
    args = parser.parse_args(["--config", str(path), "--output_dir", "unused"])
    args.token_list = tokens
    model = ASRTask.build_model(args)
    assert (
        type(model).__name__ == {"espnet": "ESPnetASRModel", "otreg": "OTRegASRModel"}[args.model]
    )
    if "mini" in path.parts:
        assert sum(p.numel() for p in model.parameters()) < 4e6
    else:
        assert len(model.encoder.encoders) == 12
        assert len(model.decoder.decoders) == 6
    (optimizer,) = ASRTask.build_optimizers(args, model=model)
    trained = sum(len(group["params"]) for group in optimizer.param_groups)
    assert trained == len(list(model.parameters()))


@pytest.mark.parametrize("path", [p for p in TRAINING if "_otreg" in p.stem], ids=name)
def test_the_otreg_config_differs_from_its_stock_twin_by_the_model_lines_only(path):
    ours = load(path)
    stock = load(path.with_name(path.name.replace("_otreg", "")))
    assert (ours.pop("model"), stock.pop("model")) == ("otreg", "espnet")
    assert ours["model_conf"].pop("ot_conf")
    assert ours == stock


@pytest.mark.parametrize("path", [p for p in TRAINING if p.stem.startswith("init")], ids=name)
def test_both_phases_train_the_same_network(path):
    first = load(path)
    second = load(path.with_name(path.name.replace("init", "train", 1)))
    network = ("frontend_conf", "encoder", "encoder_conf", "decoder", "decoder_conf", "model")
    assert {key: first.get(key) for key in network} == {key: second.get(key) for key in network}
