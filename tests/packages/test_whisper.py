"""A Whisper of CTranslate2 is, after conversion, the model it was made of."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoFeatureExtractor,
    AutoTokenizer,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

from espnet_otreg.errors import UserError
from espnet_otreg.packages import whisper
from espnet_otreg.packages.ctranslate2 import read_model
from espnet_otreg.pretrained.hf_speech import HFSpeechEncoder
from tests.support.tiny_packages import ctranslate2_bytes, whisper_variables

ADDED = (
    *("<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|es|>", "<|translate|>"),
    *("<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"),
)
IDS = {name: 256 + number for number, name in enumerate(ADDED)}
ALIASES = {"decoder/projection/weight": "decoder/embeddings/weight"}
SUPPRESSED = [3, 4, 5, *range(257, 266)]


def tokenizer():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({letter: id for id, letter in enumerate(alphabet)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.add_special_tokens(list(ADDED))
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The model, the package unpacked, the folder it was converted to."""
    unpacked, output = (tmp_path_factory.mktemp(name) for name in ("unpacked", "output"))
    config = WhisperConfig(
        vocab_size=256 + len(ADDED), d_model=16, num_mel_bins=20, max_source_positions=50,
        encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=24, decoder_layers=3,
        decoder_attention_heads=4, decoder_ffn_dim=20, max_target_positions=24, init_std=0.4,
        **{f"{end}_token_id": 256 for end in ("pad", "bos", "eos")}, decoder_start_token_id=257,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = WhisperForConditionalGeneration(config).eval()
        for name, value in model.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(value, std=0.3)
    model = model.half().float()
    content = ctranslate2_bytes(whisper_variables(model), ALIASES)
    first, second = unpacked / "part1" / "data", unpacked / "part2" / "data"
    first.mkdir(parents=True)
    second.mkdir(parents=True)
    (first / "model.bin.part1").write_bytes(content[: len(content) // 2])
    (second / "model.bin.part2").write_bytes(content[len(content) // 2 :])
    tokenizer().save(str(first / "tokenizer.json"))
    told = {"lang_ids": [258, 259], "suppress_ids": SUPPRESSED, "suppress_ids_begin": [32, 256]}
    (first / "config.json").write_text(json.dumps(told))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whisper, "MULTILINGUAL", config.vocab_size)
        whisper.convert(unpacked, output)
    return SimpleNamespace(model=model, unpacked=unpacked, folder=output)


@pytest.fixture(scope="module")
def speech(made):
    wave = 0.1 * np.random.default_rng(0).standard_normal(12000).astype(np.float32)
    extractor = AutoFeatureExtractor.from_pretrained(made.folder)
    return extractor(wave, sampling_rate=16000, return_tensors="pt").input_features


def test_every_weight_is_the_models(made):
    converted = WhisperForConditionalGeneration.from_pretrained(made.folder)
    assert converted.dtype == torch.float32
    expected = made.model.state_dict()
    assert converted.state_dict().keys() == expected.keys()
    for name, value in converted.state_dict().items():
        assert value.equal(expected[name]), name


@torch.no_grad()
def test_the_encoder_gives_the_same_frames_in_our_recipes(made, speech):
    encoder = HFSpeechEncoder(1, str(made.folder), padding="full").eval()
    wave = 0.1 * np.random.default_rng(0).standard_normal(12000).astype(np.float32)
    frames, lengths, _ = encoder(torch.from_numpy(wave)[None], torch.tensor([12000]))
    expected = made.model.model.encoder(speech).last_hidden_state
    torch.testing.assert_close(frames[0], expected[0, : lengths[0]])


@torch.no_grad()
@pytest.mark.parametrize(("language", "task"), [("es", "transcribe"), ("en", "translate")])
def test_generate_decodes_with_the_tokens_of_language_and_task(made, speech, language, task):
    converted = WhisperForConditionalGeneration.from_pretrained(made.folder).eval()
    answer = converted.generate(speech, language=language, task=task, max_new_tokens=6)
    start = [257, IDS[f"<|{language}|>"], IDS[f"<|{task}|>"], IDS["<|notimestamps|>"]]
    ids = list(start)
    for step in range(6):
        logits = made.model(speech, decoder_input_ids=torch.tensor([ids])).logits[0, -1]
        logits[SUPPRESSED] = -torch.inf
        if step == 0:
            logits[[32, 256]] = -torch.inf
        ids.append(int(logits.argmax()))
        if ids[-1] == 256:
            break
    given = answer[0].tolist()
    given = given[4:] if given[:4] == start else given
    assert given[: len(ids) - 4] == ids[4:]
    assert len(set(ids[4:])) > 1


def test_the_tokenizer_knows_text_and_special_tokens(made):
    read = AutoTokenizer.from_pretrained(made.folder)
    assert type(read).__name__.startswith("Whisper")
    text = "¿Qué tal?"
    assert read.decode(read(text, add_special_tokens=False).input_ids) == text
    assert read.convert_tokens_to_ids(list(ADDED)) == list(IDS.values())
    assert read.decode([*IDS.values()], skip_special_tokens=True) == ""


def test_an_english_whisper_takes_no_language(made, speech, tmp_path):
    whisper.convert(made.unpacked, tmp_path)  # its vocabulary is below a multilingual one's
    converted = WhisperForConditionalGeneration.from_pretrained(tmp_path)
    assert converted.generation_config.is_multilingual is False
    assert not hasattr(converted.generation_config, "lang_to_id")
    converted.generate(speech, max_new_tokens=2)
    with pytest.raises(ValueError, match="English-only"):
        converted.generate(speech, language="es", max_new_tokens=2)


def save(folder, content, tokens=None):
    (folder / "model.bin").write_bytes(content)
    (tokens or tokenizer()).save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text("{}")
    return folder


def refused(folder, match):
    with pytest.raises(UserError, match=match) as error:
        whisper.convert(folder, folder / "made")
    assert "\n" not in str(error.value)
    assert not (folder / "made").exists()


@pytest.mark.parametrize("share", [0.001, 0.3, 0.99])
def test_half_a_model_is_told(made, tmp_path, share):
    content = ctranslate2_bytes(whisper_variables(made.model), ALIASES)
    refused(save(tmp_path, content[: int(len(content) * share)]), "model.bin is cut short")


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"version": 3}, r"no CTranslate2 model of version 6 \(it begins with 3\)"),
        ({"specification": "TransformerSpec"}, "is a TransformerSpec, and a WhisperSpec is needed"),
        ({"aliases": {"a": "b"}}, "a stands for b, which is not there"),
    ],
)
def test_another_model_is_told(made, tmp_path, changed, match):
    given = {"variables": whisper_variables(made.model), "aliases": ALIASES, **changed}
    refused(save(tmp_path, ctranslate2_bytes(**given)), match)


def test_a_weight_that_is_missing_is_named(made, tmp_path):
    variables = whisper_variables(made.model)
    del variables["encoder/conv2/bias"]
    refused(
        save(tmp_path, ctranslate2_bytes(variables, ALIASES)),
        r"1 weights are missing and 0 unknown, first model\.encoder\.conv2\.bias",
    )


def test_a_bias_of_the_key_is_refused_for_whisper_has_none(made, tmp_path):
    variables = whisper_variables(made.model)
    variables["encoder/layer_1/self_attention/linear_0/bias"][16] = 1
    refused(save(tmp_path, ctranslate2_bytes(variables, ALIASES)), "has a bias for the key")


def test_quantised_weights_are_refused(made, tmp_path):
    variables = whisper_variables(made.model)
    content = ctranslate2_bytes({"a": np.zeros(2, np.float32), **variables}, ALIASES)
    place = content.index(b"a\0") + 2 + 1 + 4
    odd = content[:place] + b"\x05" + content[place + 1 :]
    refused(save(tmp_path, odd), "a is of type 5.*--quantization float16")


def test_another_tokenizer_is_told(made, tmp_path):
    content = ctranslate2_bytes(whisper_variables(made.model), ALIASES)
    other = Tokenizer(models.BPE({"a": 0}, []))
    refused(save(tmp_path, content, other), r"tokenizer\.json is not Whisper's: it has no <\|endof")


def test_a_file_whole_and_in_pieces_is_the_same(made, tmp_path):
    content = ctranslate2_bytes(whisper_variables(made.model), ALIASES)
    (tmp_path / "whole").write_bytes(content)
    whole = read_model([tmp_path / "whole"]).variables
    pieces = read_model(sorted(made.unpacked.rglob("model.bin*"))).variables
    assert whole.keys() == pieces.keys() > ALIASES.keys()
    assert all(np.array_equal(whole[name], pieces[name]) for name in whole)
