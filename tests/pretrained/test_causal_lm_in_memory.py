import torch
from transformers import AutoModelForCausalLM

from espnet_otreg.ot.sequences import splice
from espnet_otreg.pretrained.causal_lm import CausalLM, load_tokenizer
from tests.support.tiny_llm import save_llm


def test_a_network_in_memory_answers_as_the_same_one_from_its_folder(tmp_path):
    folder = save_llm(tmp_path / "lm")
    network = AutoModelForCausalLM.from_pretrained(folder)
    ours = CausalLM.from_network(network, load_tokenizer(folder), "in memory")
    other = CausalLM(0, ours.dimension, str(folder))
    inputs = splice([(torch.randn(2, 5, ours.dimension), torch.tensor([5, 3]))])
    torch.testing.assert_close(ours.logits(inputs, 2), other.logits(inputs, 2))
    assert not any(parameter.requires_grad for parameter in ours.parameters())


def test_a_network_in_memory_is_known_by_its_name_and_configuration(tmp_path):
    tokenizer = load_tokenizer(save_llm(tmp_path / "lm"))
    narrow = AutoModelForCausalLM.from_pretrained(tmp_path / "lm")
    wide = AutoModelForCausalLM.from_pretrained(save_llm(tmp_path / "wide", width=64))
    named = [(narrow, "a"), (narrow, "a"), (narrow, "b"), (wide, "a")]
    hashes = [CausalLM.from_network(net, tokenizer, name).base.sha256 for net, name in named]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
    assert all(len(bytes.fromhex(value)) == 32 for value in hashes)
