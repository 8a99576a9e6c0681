import logging

import pytest

from espnet_otreg.configuration import read_options
from espnet_otreg.errors import UserError
from espnet_otreg.languages import language_name
from espnet_otreg.models.prompt import Prompt, PromptConf
from espnet_otreg.pretrained.causal_lm import load_tokenizer
from tests.support.tiny_llm import save_llm


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load_tokenizer(save_llm(tmp_path_factory.mktemp("llm")))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return load_tokenizer(save_llm(tmp_path_factory.mktemp("plain"), chat_template=False))


def conf(**given):
    return read_options(PromptConf, given, "prompt_conf")


def test_the_prompt_is_what_the_chat_template_makes_of_a_user_turn(tokenizer):
    before, after = Prompt(conf(), tokenizer).text("es")
    whole = tokenizer.apply_chat_template(
        [{"role": "user", "content": f"{PromptConf().instruction.format(language='Spanish')}\nX"}],
        tokenize=False, add_generation_prompt=True,
    )  # fmt: skip
    assert f"{before}X{after}" == whole


def test_ids_are_those_of_the_text_on_each_side(tokenizer):
    prompt = Prompt(conf(), tokenizer)
    ids, (before, after) = prompt.ids("en"), prompt.text("en")
    assert tokenizer.decode(ids.before) == before
    assert tokenizer.decode(ids.after) == after
    assert tokenizer.unk_token_id not in (*ids.before, *ids.after)


def test_without_a_template_instruction_and_speech_follow_each_other(plain):
    before, after = Prompt(conf(instruction="Write {language}:"), plain).text("fr")
    assert before.endswith("Write French:\n") and after == "\n"


def test_a_language_model_without_a_template_is_told_in_the_log(plain, tokenizer, caplog):
    with caplog.at_level(logging.INFO):
        Prompt(conf(), tokenizer)
        Prompt(conf(chat_template=False), plain)  # asked for
    assert not caplog.text
    with caplog.at_level(logging.INFO):
        Prompt(conf(), plain)
    assert "tokenizer has no chat template (it is no instruct model)" in caplog.text


def test_a_system_turn_needs_a_template_that_takes_one(plain, tokenizer, tmp_path):
    with pytest.raises(UserError, match="chat template"):
        Prompt(conf(system="You are brief."), plain)
    with pytest.raises(UserError, match=r"refuses the prompt .*prompt_conf\.system"):
        Prompt(conf(system="You are brief."), tokenizer).text("en")
    taking = load_tokenizer(save_llm(tmp_path))
    taking.chat_template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    before, _ = Prompt(conf(system="You are brief."), taking).text("en")
    assert before.startswith("[system]You are brief.[user]Please")


def test_an_instruction_without_language_needs_none(tokenizer):
    prompt = Prompt(conf(instruction="Write it down."), tokenizer)
    assert prompt.ids(None) == prompt.ids("en")


def test_a_language_that_is_missing_or_unknown_is_named(tokenizer):
    prompt = Prompt(conf(), tokenizer)
    with pytest.raises(UserError, match="utt2lang"):
        prompt.ids(None)
    with pytest.raises(UserError, match=r"'xx'.*prompt_conf\.languages"):
        prompt.ids("xx")
    assert "Dothraki" in Prompt(conf(languages={"xx": "Dothraki"}), tokenizer).text("xx")[0]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"instruction": "in {lang}"}, r"prompt_conf\.instruction.*'lang'"),
        ({"instruction": "in {language"}, r"prompt_conf\.instruction.*braces"),
        ({"languages": {False: "Norwegian"}}, r"prompt_conf\.languages.*quote"),
        ({"instructions": "x"}, "unknown key 'instructions'"),
    ],
)
def test_a_prompt_that_cannot_be_is_an_error_by_name(given, told):
    with pytest.raises(UserError, match=told):
        conf(**given)


def test_names_of_languages_follow_codes_with_regions_and_scripts():
    assert [language_name(code) for code in ("en", "zh-CN", "cmn_hans_cn", "es_419", "sv-SE")] == [
        "English", "Chinese", "Chinese", "Spanish", "Swedish",
    ]  # fmt: skip
