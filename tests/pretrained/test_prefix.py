import pytest
import torch

from espnet_otreg.decode.slm import SpeechLanguageModel
from espnet_otreg.ot.sequences import Spliced
from tests.support.tiny_llm import save_llm
from tests.support.tiny_slm import build, make_batch

KINDS = ("qwen2", "llama", "gpt2", "gemma3")


@pytest.fixture(scope="module")
def lms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llm")
    # of gemma3, output rows of its own: tied ones make it say one token for ever
    return {kind: save_llm(folder / kind, kind, tie=kind != "gemma3") for kind in KINDS}


def slm(lm, **decoder_conf):
    frozen = not decoder_conf.get("trainable")
    return build(
        lm,
        decoder_conf={"model": str(lm), **decoder_conf},
        model_conf={"slm_conf": {"freeze": ["encoder", "decoder"] if frozen else ["encoder"]}},
    )


def step(model, batch):
    """Return the loss and the gradients of the adapter."""
    model.zero_grad()
    loss = model.train()(**{key: value.clone() for key, value in batch.items()})[0]
    loss.backward()
    return loss.detach(), [p.grad.clone() for p in model.adapter.parameters()]


def first_read(model, languages=("en", "es")):
    """What is said of a batch of these languages: read with a prefix, or whole."""
    heard = model.hear(torch.randn(len(languages), 30, 20), torch.tensor([30] * len(languages)))
    return model.read(heard, languages)


@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradient_are_those_of_the_prompt_read_in_every_step(lms, kind):
    model, batch = slm(lms[kind]), make_batch(lms[kind])
    assert len(model.prompt.ids("en").before) != len(model.prompt.ids("es").before)
    assert first_read(model).prefix is not None
    loss, grads = step(model, batch)
    again, same = step(model, batch)
    whole, expected = step(slm(lms[kind], reuse_prompt=False), batch)
    torch.testing.assert_close([loss, again], [whole, whole], rtol=0, atol=1e-5)
    torch.testing.assert_close(grads, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(same, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_the_prompt_read_with_every_batch(lms, kind, beam):
    features = [row[:n].numpy() for row, n in zip(
        make_batch(lms[kind])["speech"], (50, 61, 44, 30), strict=True)]  # fmt: skip
    answers = []
    for reuse in (True, False):
        model = slm(lms[kind], reuse_prompt=reuse).eval()
        model.encoder.base = "what a pretrained encoder has"
        model.encoder.output_size, model.adapter = lambda: 20, _wider(model)
        listener = SpeechLanguageModel(model)
        told = listener.transcribe(
            features, ["en", "es"] * 2, batch_size=4, beam_size=beam, max_new_tokens=8
        )
        answers.append([answer.tokens for answer in told])
    assert answers[0] == answers[1]
    assert len(set(map(tuple, answers[0]))) > 1


def _wider(model):
    """An adapter for the features as they are."""
    torch.manual_seed(0)
    adapter = type(model.adapter)(20, output_size=model.decoder.dimension, stack=3, hidden_size=24)
    with torch.no_grad():
        adapter.out.weight.mul_(20)  # answers are then about what was heard
    return adapter


def test_the_prompt_is_read_once_and_what_is_remembered_is_never_written_to(lms, monkeypatch):
    model, batch = slm(lms["llama"]), make_batch(lms["llama"])
    lengths = []
    forward = model.decoder.network.forward

    def counting(**given):
        x = given.get("inputs_embeds")
        lengths.append(given["input_ids"].shape[1] if x is None else x.shape[1])
        return forward(**given)

    monkeypatch.setattr(model.decoder.network, "forward", counting)
    step(model, batch)
    made = {
        ids: [tuple(x.clone() for x in layer) for layer in layers]
        for ids, layers in model.decoder._prefixes._made.items()
    }
    step(model, batch)
    step(model, batch)
    before = [len(model.prompt.ids(code).before) for code in ("en", "es")]
    assert lengths[:2] == before and len(lengths) == 5 and len(set(lengths[2:])) == 1
    whole = sum(map(len, model.prompt.ids("en"))) + 61 // 3 + batch["text"].shape[1]
    assert lengths[2] < whole
    torch.testing.assert_close(model.decoder._prefixes._made, made, rtol=0, atol=0)


def test_what_is_remembered_is_dropped_with_other_weights_and_another_precision(lms):
    model, batch = slm(lms["qwen2"]), make_batch(lms["qwen2"])
    step(model, batch)
    network = model.decoder.network
    with torch.random.fork_rng():
        torch.manual_seed(5)
        other = {key: torch.randn_like(x) * 0.2 for key, x in network.state_dict().items()}
    network.load_state_dict(other)
    model.decoder.reuse_prompt = False
    whole = step(model, batch)
    model.decoder.reuse_prompt = True
    torch.testing.assert_close(step(model, batch), whole, rtol=1e-4, atol=1e-5)
    network.to(torch.float64)
    loss = step(model, batch)[0]
    assert first_read(model).prefix.layers[0][0].dtype == torch.float64
    torch.testing.assert_close(loss, whole[0], rtol=1e-4, atol=1e-5)


def test_what_was_remembered_while_decoding_serves_training(lms):
    model, batch = slm(lms["llama"]), make_batch(lms["llama"])
    with torch.inference_mode():
        model.eval()(**batch)
    loss, grads = step(model, batch)
    assert torch.isfinite(loss) and all(torch.isfinite(grad).all() for grad in grads)


@pytest.mark.parametrize(
    "conf",
    [
        {"trainable": True},
        {"lora_conf": {"r": 2, "target_modules": ["q_proj"]}},
        {"gradient_checkpointing": True},
        {"reuse_prompt": False},
    ],
    ids=lambda conf: next(iter(conf)),
)
def test_a_language_model_that_trains_reads_everything_in_every_step(lms, conf):
    model = slm(lms["qwen2"], **conf)
    assert first_read(model).prefix is None
    assert torch.isfinite(step(model, make_batch(lms["qwen2"]))[0])


def test_a_cache_of_an_unknown_kind_is_left_alone(lms, monkeypatch):
    from transformers import DynamicCache

    model, batch = slm(lms["qwen2"]), make_batch(lms["qwen2"])
    whole = step(slm(lms["qwen2"], reuse_prompt=False), batch)
    monkeypatch.setattr("transformers.DynamicCache", type("Other", (DynamicCache,), {}))
    monkeypatch.setattr("transformers.cache_utils.DynamicCache", DynamicCache.__base__)
    assert first_read(model).prefix is None
    torch.testing.assert_close(step(model, batch), whole)


def test_an_input_longer_than_the_window_of_a_layer_is_read_whole(lms, tmp_path):
    prompt = slm(lms["gemma3"]).prompt
    ids = [prompt.ids(code).before for code in ("en", "es")]
    lm = save_llm(tmp_path, "gemma3", window=max(map(len, ids)) + 20)
    model, batch = slm(lm), make_batch(lm)
    assert model.decoder.prefix(ids, 20) is not None
    assert model.decoder.prefix(ids, 21) is None
    torch.testing.assert_close(
        step(model, batch), step(slm(lm, reuse_prompt=False), batch), rtol=1e-4, atol=1e-5
    )


def test_each_row_of_a_cache_can_be_had_several_times(lms):
    model = slm(lms["llama"])
    prefix = first_read(model).prefix
    (keys, *_), *_ = prefix.cache(2)
    assert torch.equal(keys, prefix.layers[0][0].repeat_interleave(2, 0))
    assert isinstance(first_read(model).inputs, Spliced)
