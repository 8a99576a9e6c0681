import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from espnet_otreg.errors import UserError
from espnet_otreg.ot.sequences import splice
from espnet_otreg.pretrained.causal_lm import CausalLM, embedding_size, load_tokenizer, silence_id
from tests.support.tiny_llm import save_llm
from tests.support.tiny_slm import build, make_batch

KINDS = ("qwen2", "llama", "gpt2")


@pytest.fixture(scope="module")
def lms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llm")
    return {kind: save_llm(folder / kind, kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_the_same_for_padding_on_either_side(lms, kind):
    model = CausalLM(9, 32, str(lms[kind])).eval()
    generator = torch.Generator().manual_seed(0)
    parts = [
        (torch.randn(3, size, 32, generator=generator), torch.tensor(n))
        for size, n in ((7, [7, 3, 5]), (6, [2, 6, 4]))
    ]
    sides = {side: splice(parts, side) for side in ("left", "right")}
    with torch.no_grad():
        logits = {side: model.logits(x, x.mask.shape[1]) for side, x in sides.items()}
    for i in range(3):
        left, right = (logits[side][i][sides[side].mask[i]] for side in ("left", "right"))
        assert torch.allclose(left, right, atol=1e-4)


def test_lora_trains_low_rank_matrices_alone(lms):
    lora = {"r": 2, "target_modules": ["q_proj", "v_proj"]}
    model = build(lms["qwen2"], decoder_conf={"model": str(lms["qwen2"]), "lora_conf": lora})
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"adapter", "decoder"}
    assert all(".lora_" in name for name in trained if name.startswith("decoder"))
    model.train()(**make_batch(lms["qwen2"]))[0].backward()
    grads = [p.grad for n, p in model.named_parameters() if "lora_B" in n]
    assert len(grads) == 4 and all(grad.abs().sum() > 0 for grad in grads)
    saved = {name for name in model.state_dict() if name.startswith("decoder")}
    assert saved == {name for name in trained if name.startswith("decoder")}


def test_a_lora_pattern_that_matches_nothing_names_the_layers(lms):
    with pytest.raises(UserError, match=r"query.*q_proj"):
        CausalLM(9, 32, str(lms["qwen2"]), lora_conf={"target_modules": ["query"]})
    with pytest.raises(UserError, match="rank"):
        CausalLM(9, 32, str(lms["qwen2"]), lora_conf={"rank": 2})


def test_a_language_model_that_is_trained_whole_is_in_the_checkpoint(lms):
    conf = {"model": str(lms["qwen2"]), "trainable": True}
    with pytest.raises(UserError, match="contradict each other"):
        build(lms["qwen2"], decoder_conf=conf)
    frozen = {"slm_conf": {"freeze": ["encoder"]}}
    model = build(lms["qwen2"], decoder_conf=conf, model_conf=frozen).train()
    model(**make_batch(lms["qwen2"]))[0].backward()
    grads = {name: p.grad for name, p in model.decoder.network.named_parameters()}
    assert all(grad is not None for grad in grads.values())  # that of a key bias is zero
    saved = {name.removeprefix("decoder.network.") for name in model.state_dict()}
    assert grads.keys() <= saved
    with pytest.raises(UserError, match="got both"):
        CausalLM(9, 32, str(lms["qwen2"]), trainable=True, lora_conf={"r": 2})


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_checkpointing_changes_no_gradient(lms, kind):
    grads = []
    for checkpointed in (False, True):
        conf = {"model": str(lms[kind]), "gradient_checkpointing": checkpointed}
        model = build(lms[kind], decoder_conf=conf).train()
        assert model.decoder.training is checkpointed
        model(**make_batch(lms[kind]))[0].backward()
        grads.append(model.adapter.hidden.weight.grad)
    assert torch.allclose(*grads, atol=1e-6) and grads[0].abs().sum() > 0


def test_weights_keep_their_precision_when_the_model_is_cast(lms):
    model = CausalLM(9, 32, str(lms["llama"]), dtype="bfloat16")
    assert model.to(dtype=torch.float32).table.dtype == torch.bfloat16
    with pytest.raises(UserError, match=r"decoder_conf\.dtype.*'int8'"):
        CausalLM(9, 32, str(lms["llama"]), dtype="int8")


def test_attn_implementation_passes_through(lms):
    model = CausalLM(9, 32, str(lms["llama"]), attn_implementation="eager")
    assert model.network.config._attn_implementation == "eager"


def test_silence_is_the_pad_token_or_another_that_no_transcript_holds(lms, tmp_path, caplog):
    tokenizer = load_tokenizer(lms["qwen2"])
    assert silence_id(tokenizer) == tokenizer.pad_token_id
    bare = load_tokenizer(save_llm(tmp_path, pad_token=False))
    found = silence_id(bare)
    assert bare.convert_ids_to_tokens(found) in bare.all_special_tokens
    assert "no pad token" in caplog.text
    assert silence_id(tokenizer, tokenizer.eos_token) == tokenizer.eos_token_id


def test_the_size_of_embeddings_is_known_without_weights(lms, tmp_path):
    for kind in KINDS:
        assert embedding_size(str(lms[kind])) == 32
    for file in lms["gpt2"].iterdir():
        if file.suffix == ".json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    assert embedding_size(str(tmp_path)) == 32


def test_more_embeddings_than_tokens_are_fine_and_fewer_an_error(lms, tmp_path):
    network = AutoModelForCausalLM.from_pretrained(lms["llama"])
    tokenizer = load_tokenizer(lms["llama"])
    for change, folder in ((64, tmp_path / "more"), (-5, tmp_path / "fewer")):
        network.resize_token_embeddings(len(tokenizer) + change)
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    assert len(CausalLM(9, 32, str(tmp_path / "more")).table) == len(tokenizer) + 64
    with pytest.raises(UserError, match="resize_token_embeddings"):
        CausalLM(9, 32, str(tmp_path / "fewer"))


def test_untied_embeddings_serve_as_well(tmp_path):
    lm = save_llm(tmp_path, tie=False)
    model = build(lm, model_conf={"ot_conf": {"weight": 0.3}})
    assert torch.isfinite(model(**make_batch(lm))[0])


def test_a_folder_that_lacks_weights_or_is_none_says_what_to_do(lms, tmp_path):
    with pytest.raises(
        UserError, match=r"neither a folder nor a model that can be fetched.*folder"
    ):
        CausalLM(9, 32, "no-such/model")
    for file in lms["llama"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["num_hidden_layers"] += 1
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"weights are missing, first model\.layers\.2"):
        CausalLM(9, 32, str(tmp_path))
