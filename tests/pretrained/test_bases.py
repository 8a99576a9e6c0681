import pytest
import torch

from espnet_otreg.errors import UserError
from espnet_otreg.pretrained.bases import HASHES
from tests.support.tiny_llm import save_llm
from tests.support.tiny_slm import build, make_batch


@pytest.fixture(scope="module")
def lms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llm")
    return [save_llm(folder / str(layers), layers=layers) for layers in (1, 2)]


def test_a_checkpoint_holds_what_was_trained_and_the_hash_of_the_rest(lms):
    model = build(lms[0])
    names = set(model.state_dict())
    assert {name.split(".")[0] for name in names} == {"encoder", "adapter", HASHES}
    assert {name for name in names if name.startswith("encoder")} == {
        f"encoder.{name}" for name in model.encoder.state_dict()
    }  # frozen, but nowhere else to be found


def test_loading_gives_the_same_model(lms):
    model, batch = build(lms[0]).eval(), make_batch(lms[0])
    with torch.no_grad():
        model.adapter.out.weight.add_(1)
    fresh = build(lms[0]).eval()
    assert not torch.allclose(model(**batch)[0], fresh(**batch)[0])
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(model(**batch)[0], fresh(**batch)[0])


def test_an_average_of_checkpoints_as_espnet_makes_it_can_be_loaded(lms):
    states = [build(lms[0]).state_dict() for _ in range(3)]
    states[1]["adapter.out.bias"] += 3
    average = {key: sum(state[key] for state in states) / 3 for key in states[0]}
    model = build(lms[0])
    model.load_state_dict(average)
    assert torch.allclose(model.adapter.out.bias, states[0]["adapter.out.bias"] + 1)


def test_a_checkpoint_from_another_base_model_is_refused(lms):
    with pytest.raises(UserError, match=r"another decoder.*decoder_conf"):
        build(lms[1]).load_state_dict(build(lms[0]).state_dict())


@pytest.mark.parametrize("strict", [True, False])  # ESPnet loads for inference with False
def test_missing_and_unknown_tensors_are_told(lms, strict):
    state = build(lms[0]).state_dict()
    lost = {key: value for key, value in state.items() if key != "adapter.out.bias"}
    with pytest.raises(UserError, match=r"lacks 1 tensors, first adapter\.out\.bias"):
        build(lms[0]).load_state_dict(lost, strict=strict)
    with pytest.raises(UserError, match="has unknown 1 tensors, first extra"):
        build(lms[0]).load_state_dict({**state, "extra": torch.zeros(1)}, strict=strict)
