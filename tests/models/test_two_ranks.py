"""One step of ESPnet's trainer by two processes that share a batch, against one that has it all."""

import pytest
import torch
from espnet2.train.distributed_utils import DistributedOption
from espnet2.train.reporter import SubReporter
from espnet2.train.trainer import Trainer

from tests.support import toy_training
from tests.support.tiny_llm import save_llm
from tests.support.tiny_models import DECODER, ENCODER, build, make_batch
from tests.support.tiny_slm import build as build_slm
from tests.support.tiny_slm import make_batch as make_slm_batch

TEXT_SIZE = 12
STILL = {"dropout_rate": 0.0, "positional_dropout_rate": 0.0}
QUIET = {
    "specaug": None,
    "encoder_conf": {**ENCODER, **STILL, "input_layer": "linear", "attention_dropout_rate": 0.0},
    "decoder_conf": {
        **DECODER, **STILL, "self_attention_dropout_rate": 0.0, "src_attention_dropout_rate": 0.0
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return save_llm(tmp_path_factory.mktemp("llm"))


def otreg(lm):
    model = {"ctc_weight": 0.3, "ot_conf": {"weight": 0.3}}
    return build(**QUIET, model="otreg", model_conf=model), make_batch(FRAMES, [6, 4, 3, 8])


def otreg_by_share(lm):
    conf = {"weight": 0.3, "weight_mode": "gradient_share"}
    model = {"ctc_weight": 0.3, "ot_conf": conf}
    return build(**QUIET, model="otreg", model_conf=model), make_batch(FRAMES, [6, 4, 3, 8])


def ot_transfer(lm):
    batch = make_batch(FRAMES, [6, 4, 3, 8])
    generator = torch.Generator().manual_seed(5)
    batch["text_features"] = torch.randn(4, 10, TEXT_SIZE, generator=generator)
    batch["text_features_lengths"] = batch["text_lengths"] + 2
    conf = {"postencoder_conf": {"text_size": TEXT_SIZE}, "postencoder": "transfer_adapter"}
    return build(**QUIET, **conf, model="ot_transfer", model_conf={"ctc_weight": 0.3}), batch


def slm(lm):
    conf = {"ot_conf": {"weight": 0.3}, "slm_conf": {"compression": "ot"}}
    return build_slm(lm, model_conf=conf), make_slm_batch(lm)


def slm_with_ctc(lm):
    return build_slm(lm, model_conf={"ctc_weight": 0.3}), make_slm_batch(lm)


FRAMES = [50, 42, 34, 61]


def share(batch, rows):
    """Some utterances of a batch, padded no further than they ask for."""
    part = {key: value[rows] for key, value in batch.items()}
    for key in ("speech", "text", "text_features"):
        if key in part:
            part[key] = part[key][:, : part[f"{key}_lengths"].max()]
    return part


def step(model, batch, distributed):
    """Return the gradients with which the second of two equal steps is taken.

    What is measured in a step may act in the next.
    """
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer, seen = torch.optim.SGD(weights.values(), lr=0.0), {}
    optimizer.register_step_pre_hook(
        lambda *_: seen.update({name: weight.grad.clone() for name, weight in weights.items()})
    )
    Trainer.train_one_epoch(
        model=torch.nn.parallel.DistributedDataParallel(model) if distributed else model,
        iterator=[(["u"] * len(batch["text"]), dict(batch)) for _ in range(2)],
        optimizers=[optimizer],
        schedulers=[None],
        scaler=None,
        reporter=SubReporter("train", 1, 0),
        summary_writer=None,
        options=toy_training.options("unused", grad_clip=1e9),
        distributed_option=DistributedOption(distributed=distributed),
    )
    return seen


@pytest.mark.parametrize("make", [otreg, otreg_by_share, ot_transfer, slm, slm_with_ctc])
def test_two_ranks_take_the_step_of_one(make, lm, tmp_path):
    def rank_of_two(rank, rows):
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{tmp_path}/meet", rank=rank, world_size=2
        )
        model, batch = make(lm)
        taken = step(model, share(batch, rows), distributed=True)
        if rank == 0:
            torch.save(taken, tmp_path / "taken.pth")
        torch.distributed.barrier()

    shares = [(0, [0, 1, 3]), (1, [2])]  # neither of one length nor of one size
    toy_training.in_children([lambda s=s: rank_of_two(*s) for s in shares])
    model, batch = make(lm)
    expected = step(model, batch, distributed=False)
    taken = torch.load(tmp_path / "taken.pth")
    assert taken.keys() == expected.keys() and any(value.any() for value in expected.values())
    for name, value in expected.items():
        error = (taken[name] - value).abs().max() / value.abs().max().clamp(min=1e-3)
        assert error < 1e-5, f"{name}: {error:.2g}"
