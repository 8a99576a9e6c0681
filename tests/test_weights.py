import logging
import os

import pytest
import torch

from espnet_otreg.errors import UserError
from espnet_otreg.weights import fill, read_weights, tensors_only, write_weights
from tests.support.hostile_packs import Bomb, explosive

FORCE, ALLOW = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


def test_code_that_asks_for_more_than_tensors_gets_none_of_it_and_the_switch_goes_back(
    tmp_path, monkeypatch
):
    explosive(tmp_path / "x.pth", tmp_path / "mark")
    monkeypatch.setenv(ALLOW, "1")
    monkeypatch.delenv(FORCE, raising=False)
    with pytest.raises(Exception, match="Weights only load failed"), tensors_only():
        torch.load(tmp_path / "x.pth", weights_only=False)
    assert not (tmp_path / "mark").exists()
    assert (os.environ.get(FORCE), os.environ[ALLOW]) == (None, "1")


def test_tied_and_turned_tensors_come_back_as_they_were(tmp_path):
    table = torch.randn(3, 4)
    state = {"a": table, "b": table, "c": table.t(), "d": torch.tensor(7), "e": table[:, 1]}
    write_weights(state, tmp_path / "model.safetensors")
    found = read_weights(tmp_path / "model.safetensors")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


def test_checkpoints_of_deepspeed_are_looked_into(tmp_path):
    torch.save({"module": {"a": torch.ones(2)}}, tmp_path / "x.pth")
    assert torch.equal(read_weights(tmp_path / "x.pth")["a"], torch.ones(2))


@pytest.mark.parametrize("prefix", ["", "model."])
def test_checkpoints_of_lightning_are_looked_into_and_lose_their_prefix(prefix, tmp_path):
    state = {f"{prefix}model_size": torch.ones(2), f"{prefix}b": torch.zeros(1)}
    torch.save({"state_dict": state, "epoch": 3, "loops": {}}, tmp_path / "x.ckpt")
    found = read_weights(tmp_path / "x.ckpt")
    assert list(found) == ["model_size", "b"]
    assert torch.equal(found["model_size"], torch.ones(2))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"a": torch.ones(1), "epoch": 3}, "holds epoch, which is no tensor"),
        ([torch.ones(1)], r"no checkpoint of plain tensors \(a list\)"),
        ({"a": Bomb("mark")}, "no checkpoint of plain tensors"),
    ],
)
def test_what_holds_more_than_tensors_is_refused(content, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(UserError, match=told):
        read_weights(tmp_path / "x.pth")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
def test_what_is_cut_short_or_missing_is_told_in_one_line(name, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_weights(tmp_path / name)
    write_weights({"a": torch.ones(100)}, tmp_path / "x.safetensors")
    torch.save({"a": torch.ones(100)}, tmp_path / "x.pth")
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:200])
    with pytest.raises(UserError, match="no checkpoint of plain tensors") as told:
        read_weights(tmp_path / name)
    assert "\n" not in str(told.value)


def test_weights_of_another_shape_are_refused_and_missing_ones_told(tmp_path, caplog):
    write_weights({"weight": torch.ones(2, 2)}, tmp_path / "x.safetensors")
    with pytest.raises(
        UserError, match=r"belongs to another config\.yaml: size mismatch for weight"
    ):
        fill(torch.nn.Linear(3, 2), tmp_path / "x.safetensors")
    with caplog.at_level(logging.WARNING):
        assert fill(torch.nn.Linear(2, 2), tmp_path / "x.safetensors") == {"weight"}
    assert "lacks 1 tensors, first bias: they stay random" in caplog.text
