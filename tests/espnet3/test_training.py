"""What Lightning does otherwise than ESPnet's own trainer, and what of it a model notices."""

import json
from typing import ClassVar

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from espnet_otreg.espnet3 import training
from espnet_otreg.models.transport_term import EPOCH_KEY
from tests.support.egs3 import TINY, newest_checkpoint, same, weights

STILL = {  # without dropout: Lightning keeps no random state, so it could not be resumed
    "encoder_conf": {**TINY["encoder_conf"], "dropout_rate": 0.0, "positional_dropout_rate": 0.0},
    "decoder_conf": {
        **TINY["decoder_conf"],
        **dict.fromkeys(
            (
                *("dropout_rate", "positional_dropout_rate"),
                *("self_attention_dropout_rate", "src_attention_dropout_rate"),
            ),
            0.0,
        ),
    },
}


class Witness(Callback):
    """Notes what each batch meets."""

    seen: ClassVar[list] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append((trainer.current_epoch + 1, pl_module.model._count.epoch))


@pytest.fixture
def witness():
    Witness.seen.clear()
    return {"_target_": f"{__name__}.Witness"}


def test_epochs_are_the_trainers_where_validation_comes_twice_in_each(recipe, monkeypatch, witness):
    monkeypatch.setattr(training.Phase, "on_train_epoch_start", lambda *_: None)
    own = {"val_check_interval": 1, "callbacks": [witness]}
    recipe.write_tiny("uncounted", {}, trainer=own)
    recipe.run("uncounted", "train")
    assert [counted for _, counted in Witness.seen] == [1, 2, 3, 4, 5, 6]  # of two: what is mended
    Witness.seen.clear()
    monkeypatch.undo()
    recipe.write_tiny("counted", {}, trainer=own)
    folder = recipe.run("counted", "train")
    assert [epoch for epoch, _ in Witness.seen] == [1, 1, 1, 2, 2, 2]
    assert all(epoch == counted for epoch, counted in Witness.seen)
    assert weights(newest_checkpoint(folder))._metadata[""][EPOCH_KEY] == 2


def test_with_weight_0_every_tensor_is_the_stock_models(recipe):
    conf = TINY["model_conf"]
    recipe.write_tiny("stock", {"model": "espnet"})
    recipe.write_tiny("none", {"model_conf": {**conf, "ot_conf": {"weight": 0.0}}})
    recipe.write_tiny("some", {"model_conf": {**conf, "ot_conf": {"weight": 0.3}}})
    stock, none, some = (recipe.run(name, "train") for name in ("stock", "none", "some"))
    for name in ("last.ckpt", "valid.acc.ave.pth"):
        assert same(weights(stock / name), weights(none / name))
        assert not same(weights(stock / name), weights(some / name))


def test_a_training_that_is_resumed_is_the_same_training(recipe):
    shared = {"model_conf": {**TINY["model_conf"], "ot_conf": {"weight_mode": "gradient_share"}}}
    recipe.write_tiny("whole", {**shared, **STILL})
    recipe.write_tiny("halved", {**shared, **STILL, "max_epoch": 1})
    whole, halved = (recipe.run(name, "train") for name in ("whole", "halved"))
    recipe.write_tiny(
        "halved", {**shared, **STILL}, fit={"ckpt_path": str(newest_checkpoint(halved))}
    )
    recipe.run("halved", "train")
    states = [weights(newest_checkpoint(folder)) for folder in (whole, halved)]
    assert same(*states)
    assert states[0]._metadata[""] == states[1]._metadata[""]  # the epoch, the term's share
    record = json.loads((halved / "run.json").read_text())
    assert record["finished"] and record["epochs"] == {"1": [3, 0], "2": [3, 0]}
    assert record["updates"] == 6


def test_the_last_average_has_the_last_epoch(recipe):
    recipe.write_tiny("averaged", {})
    folder = recipe.run("averaged", "train")
    found = sorted(folder.glob("epoch*_valid.acc.ckpt"))
    assert len(found) == 2  # every epoch's
    first, last = map(weights, found)
    average = weights(folder / "valid.acc.ave.pth")
    assert (folder / "valid.acc.ave.pth").resolve().name == "valid.acc.ave_2best.pth"
    assert list(average) == list(first)
    assert all(torch.equal(average[name], (first[name] + last[name]) / 2) for name in average)


def test_a_training_starts_from_the_checkpoint_that_it_is_given(recipe):
    recipe.write_tiny("before", {"max_epoch": 1})
    before = recipe.run("before", "train")
    recipe.write_tiny(
        "after",
        {"max_epoch": 1, "optim_conf": {"lr": 0.0}},  # so that it ends where it starts
        init_param=[str(before / "valid.acc.ave.pth")],
    )
    after = recipe.run("after", "train")
    assert same(weights(before / "valid.acc.ave.pth"), weights(after / "last.ckpt"))
