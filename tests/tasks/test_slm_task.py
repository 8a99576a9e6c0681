"""What the task adds around `model: slm`."""

import argparse

import pytest
import torch
import yaml
from espnet2.torch_utils.load_pretrained_model import load_pretrained_model
from espnet2.train.trainer import Trainer

from espnet_otreg.compat import asr_task
from espnet_otreg.errors import UserError
from espnet_otreg.files import write_json, write_lines
from espnet_otreg.pretrained.speech_features import source_of
from espnet_otreg.tasks.asr import ASRTask
from espnet_otreg.tasks.trainer import WholeTrainer
from tests.support.tiny_llm import save_llm
from tests.support.tiny_slm import options
from tests.support.tiny_speech import save_encoder


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return save_llm(tmp_path_factory.mktemp("llm"))


def build(lm, **changes):
    args = argparse.Namespace(**options(lm, **changes))
    return ASRTask.build_model(args), args


def test_the_adapter_is_made_as_wide_as_the_language_model_and_the_config_says_so(lm):
    model, args = build(lm)
    assert model.adapter.output_size() == 32 == args.postencoder_conf["output_size"]


def test_a_language_model_that_is_not_named_is_asked_for(lm):
    with pytest.raises(UserError, match=r"decoder_conf\.model must name"):
        build(lm, decoder_conf={})


def test_espnets_own_freezing_must_match_something_too(lm):
    assert not any(
        p.requires_grad for p in build(lm, freeze_param=["adapter.out"])[0].adapter.out.parameters()
    )
    with pytest.raises(UserError, match=r"--freeze_param.*adaptor.*adapter"):
        build(lm, freeze_param=["adaptor"])


def test_a_full_memory_says_which_options_shrink_it(monkeypatch, tmp_path):
    def full(cls, args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(asr_task.ASRTask, "main_worker", classmethod(full))
    args = argparse.Namespace(
        model="slm", output_dir=str(tmp_path), dist_rank=None, collect_stats=False, dry_run=True,
        ngpu=0, seed=0, resume=False, model_conf={},
    )  # fmt: skip
    with pytest.raises(UserError, match=r"batch_size.*gradient_checkpointing.*dtype"):
        ASRTask.main_worker(args)


@pytest.fixture
def start(monkeypatch, lm, tmp_path):
    """Begin a training, up to where ESPnet's own part of it begins."""
    begun = []
    worker = classmethod(lambda cls, args: begun.append(args))
    monkeypatch.setattr(asr_task.ASRTask, "main_worker", worker)

    def train(**changes):
        own = {
            "output_dir": str(tmp_path / "exp"), "dist_rank": None, "collect_stats": False,
            "dry_run": True, "ngpu": 0, "seed": 0, "resume": False,
        }  # fmt: skip
        ASRTask.main_worker(argparse.Namespace(**options(lm, **own, **changes)))
        return begun.pop()

    return train


def test_training_on_cached_frames_of_another_encoder_is_refused_and_decoding_does_not_look(
    lm, tmp_path, start
):
    whisper = save_encoder(tmp_path / "whisper", "whisper")
    conf = {"model": str(whisper), "layer": 1}
    source = source_of("hf_speech", conf)
    cache = tmp_path / "cache"
    write_lines(cache / "feats.scp", [f"u {cache / 'u.npy'}"])
    note = {"sha256": source.base.sha256, "layer": 1, "options": source.options}
    data = [(str(cache / "feats.scp"), "speech", "npy")]
    given = {"encoder": "hf_speech", "input_size": 1, "train_data_path_and_name_and_type": data}
    write_json(cache / "features.json", note)
    assert start(encoder_conf=conf, **given)
    with pytest.raises(UserError, match="layer was 1"):
        start(encoder_conf={**conf, "layer": 2}, **given)
    write_json(cache / "features.json", {**note, "sha256": "0" * 64})
    with pytest.raises(UserError, match="frames of another encoder"):
        start(encoder_conf=conf, **given)
    assert build(lm, encoder_conf=conf, **given)  # as decoding an earlier experiment does


def test_a_frontends_cached_frames_are_looked_at_and_those_of_stock_models_are_not(tmp_path, start):
    conf = {"model": str(save_encoder(tmp_path / "whisper", "whisper"))}
    source = source_of("hf_speech", conf)
    cache = tmp_path / "cache"
    write_lines(cache / "feats.scp", [f"u {cache / 'u.npy'}"])
    note = {"sha256": source.base.sha256, "layer": None, "options": source.options}
    data = [(str(cache / "feats.scp"), "speech", "npy")]
    given = {"model": "espnet", "model_conf": {}, "train_data_path_and_name_and_type": data}
    frontend = {"frontend": "hf_speech", "frontend_conf": conf, "input_size": None}
    write_json(cache / "features.json", note)
    assert start(**given, **frontend)
    write_json(cache / "features.json", {**note, "sha256": "0" * 64})
    with pytest.raises(UserError, match="frames of another encoder"):
        start(**given, **frontend)
    assert start(**given)  # a stock encoder, trained on whatever frames these are


def test_deepspeed_gets_espnets_own_trainer_which_it_asks_for(start):
    start(use_deepspeed=True)
    assert ASRTask.trainer is Trainer
    start()
    assert ASRTask.trainer is WholeTrainer


OWN = {"slm_conf": {"table_adapter": "own", "freeze": ["encoder", "decoder", "table_adapter"]}}


def test_an_adapter_for_the_table_starts_as_the_phase_left_the_one_it_had(lm, tmp_path, start):
    phase, _ = build(lm, model_conf={"slm_conf": {"objective": "table"}})
    torch.save(phase.state_dict(), tmp_path / "phase.pth")
    args = start(model_conf=OWN, init_param=[str(tmp_path / "phase.pth")])
    model, _ = build(lm, model_conf=OWN)
    before = model.table_adapter.out.weight.clone()
    for row in args.init_param:
        load_pretrained_model(row, model, False)
    for name, value in phase.adapter.state_dict().items():
        assert torch.equal(model.adapter.state_dict()[name], value)
        assert torch.equal(model.table_adapter.state_dict()[name], value)
    assert not torch.equal(before, model.table_adapter.out.weight)

    torch.save(model.state_dict(), tmp_path / "stage1.pth")  # has one: nothing to be told
    given = [str(tmp_path / "stage1.pth")]
    assert start(model_conf=OWN, init_param=given).init_param == given


@pytest.mark.parametrize("row", ["", ":adapter:adapter", ":::adapter", ":encoder:encoder"])
def test_a_frozen_adapter_for_the_table_that_nobody_taught_is_refused(lm, tmp_path, start, row):
    phase, _ = build(lm, model_conf={"slm_conf": {"objective": "table"}})
    torch.save(phase.state_dict(), tmp_path / "phase.pth")
    given = [f"{tmp_path / 'phase.pth'}{row}"] if row else []
    with pytest.raises(UserError, match=r"no phase has taught it.*--warm_config"):
        start(model_conf=OWN, init_param=given)
    assert start(model_conf={"slm_conf": {"table_adapter": "own"}}, init_param=given)


def test_a_row_for_it_goes_before_what_another_file_would_give(lm, tmp_path, start):
    phase, _ = build(lm, model_conf={"slm_conf": {"objective": "table"}})
    torch.save(phase.state_dict(), tmp_path / "phase.pth")
    torch.save(phase.state_dict(), tmp_path / "base.pth")
    given = [f"{tmp_path / 'phase.pth'}:adapter:table_adapter", str(tmp_path / "base.pth")]
    assert start(model_conf=OWN, init_param=given).init_param == given
    with pytest.raises(UserError, match=r"expected it in slm_conf\.freeze"):
        start(model_conf=OWN, init_param=given, freeze_param=["table_adapter"])


@pytest.mark.parametrize(
    ("taught", "told"),
    [
        ({"objective": "table", "table_likeness": "cosine"}, "table_likeness is dot.*has cosine"),
        ({"objective": "table", "table_scale": 2.0}, "table_scale is None.*has 2.0"),
        ({"objective": "table", "table_ctc_weight": 0}, "did not learn CTC by the table"),
        ({}, "did not learn CTC by the table"),
    ],
)
def test_a_phase_that_taught_something_else_is_refused(lm, tmp_path, start, taught, told):
    phase, _ = build(lm, model_conf={"slm_conf": {"objective": "table"}})
    torch.save(phase.state_dict(), tmp_path / "phase.pth")
    config = yaml.safe_dump({"model_conf": {"slm_conf": taught}})
    (tmp_path / "config.yaml").write_text(config)
    with pytest.raises(UserError, match=told):
        start(model_conf=OWN, init_param=[str(tmp_path / "phase.pth")])
