"""The mini instruct-like model: its pieces and chat, what disturbs its sources, its folder."""

import json
import random
from itertools import groupby

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from espnet_otreg.errors import UserError
from espnet_otreg.mini import causal_lm, causal_lm_batch, lm_common, masked_lm
from espnet_otreg.mini import causal_lm_text as text
from espnet_otreg.stages import make_mini_llm
from tests.support.tiny_llm import save_llm

NONE, STRONG = text.ROBUSTNESS["none"], text.ROBUSTNESS["strong"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "llm"
    return folder, causal_lm.make_causal_lm(folder, "smoke", ["en", "es"], "strong", 0)


@pytest.fixture(scope="module")
def tokenizer(made):
    return AutoTokenizer.from_pretrained(made[0])


@pytest.fixture(scope="module")
def material(tokenizer):
    return text.Conversations(tokenizer, masked_lm.parallel("dev", 40, 1), ["en", "es"])


def disturbed(material, noise, seed=0):
    rng = random.Random(seed)
    return [
        (pieces, material.disturb(pieces, noise, rng))
        for row in material.rows
        for pieces in row.values()
    ]


def test_every_text_comes_back_from_its_pieces_as_the_saved_folder_cuts_it(tokenizer):
    sentences = [said for _, said in masked_lm.sentences("test", 100, 5)]
    more = [*text.WRITE_DOWN, "L'Été, ¿qué?\nÜber 42 %: 钥匙", " two  spaces "]
    for said in [*sentences, *more]:
        ids = tokenizer(said)["input_ids"]
        assert tokenizer.decode(ids) == said
        assert not set(ids) & set(tokenizer.all_special_ids), said


@pytest.mark.parametrize("kind", ["qwen2", "llama", "gpt2"])
def test_a_folder_of_any_architecture_cuts_text_the_same(kind, tmp_path):
    fresh = text.train_tokenizer(["the key of the king", "l'homme va à l'hôpital"], 300)
    fresh.save_pretrained(tmp_path)
    config = AutoModelForCausalLM.from_pretrained(save_llm(tmp_path / "other", kind)).config
    config.save_pretrained(tmp_path)
    said = "the king's key, l'homme\nà l'hôpital"
    read = AutoTokenizer.from_pretrained(tmp_path)
    assert read(said)["input_ids"] == fresh(said)["input_ids"]
    assert read.pad_token_id == fresh.pad_token_id != read.eos_token_id == fresh.eos_token_id


def test_the_chat_template_frames_a_users_turn(tokenizer):
    turn = [{"role": "user", "content": "Write down:\nthe key"}]
    prompt = tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
    assert prompt == "<|user|>Write down:\nthe key<|end|><|assistant|>"
    with pytest.raises(Exception, match="only the roles user and assistant"):
        tokenizer.apply_chat_template([{"role": "system", "content": "x"}], tokenize=False)


def test_an_example_is_the_rendered_chat_with_the_answer(tokenizer, material):
    pieces = material.rows[0]["es"]
    asked = material.ask(text.WRITE_DOWN[0] + "\n", pieces, pieces, "es", NONE, random.Random(0))
    said = tokenizer.decode(pieces)
    content = text.WRITE_DOWN[0].format(language="Spanish") + "\n" + said
    chat = [{"role": "user", "content": content}, {"role": "assistant", "content": said}]
    ids = [*asked.before, *asked.source, *asked.after, *asked.answer]
    assert tokenizer.decode(ids) == tokenizer.apply_chat_template(chat, tokenize=False)


def test_a_source_without_noise_is_the_sentence(material):
    assert all(pieces == source for pieces, source in disturbed(material, NONE))


def test_repeats_and_pads_are_taken_away_by_merging_runs(material):
    noise = NONE._replace(repeats=4, pads=8)
    pad = material._pad
    longest = 0
    for pieces, source in disturbed(material, noise):
        runs = [(piece, len(list(run))) for piece, run in groupby(source)]
        kept = [piece for piece, _ in runs if piece != pad]
        assert [piece for piece, _ in groupby(pieces)] == [piece for piece, _ in groupby(kept)]
        longest = max([longest, *(length for piece, length in runs if piece == pad)])
        assert all(length <= 8 for _, length in runs)  # a letter may be doubled in the sentence
    assert longest == 8


def test_pads_stand_before_words_and_at_the_ends_only(tokenizer, material):
    inside = 0
    for pieces, source in disturbed(material, NONE._replace(pads=3)):
        spelled = " ".join(tokenizer.convert_ids_to_tokens(source))
        words = [part.split() for part in spelled.split(text.PAD) if part.strip()]
        assert [piece for word in words for piece in word] == tokenizer.convert_ids_to_tokens(
            pieces
        )
        assert all(word[0].startswith("Ġ") for word in words[1:])
        inside += len(words) - 1
    assert inside > 50


def test_shares_of_wrong_and_dropped_pieces_are_those_asked_for(material):
    wrong = disturbed(material, NONE._replace(wrong=0.2))
    pairs = [pair for before, after in wrong for pair in zip(before, after, strict=True)]
    assert 0.15 < sum(a != b for a, b in pairs) / len(pairs) < 0.25
    fewer = disturbed(material, NONE._replace(dropped=0.2))
    assert 0.75 < sum(len(b) for _, b in fewer) / sum(len(a) for a, _ in fewer) < 0.85


def test_a_source_of_which_all_is_dropped_is_silence(material):
    assert material.disturb([5, 6], NONE._replace(dropped=1.0), random.Random(0)) == [material._pad]


def test_drawn_strengths_stay_within_their_limits():
    rng = random.Random(0)
    many = [text.weaker(STRONG, rng) for _ in range(500)]
    assert {noise.repeats for noise in many} == {1, 2, 3, 4}
    assert {noise.pads for noise in many} == set(range(9))
    assert all(0 <= noise.gaussian <= STRONG.gaussian for noise in many)
    assert text.weaker(NONE, rng) == NONE
    assert text.scaled(STRONG, 0.0) == NONE and text.scaled(STRONG, 1.0) == STRONG


def test_all_tasks_are_drawn_and_one_language_has_no_translation(tokenizer, material):
    rng = random.Random(0)
    prompts = [tokenizer.decode(material.draw(STRONG, rng, 0.5).before) for _ in range(300)]
    assert {"", "<|user|>Translate the user's speech into English.\n"} < set(prompts)
    assert any("write down" in prompt and "Spanish" in prompt for prompt in prompts)
    alone = text.Conversations(tokenizer, masked_lm.parallel("dev", 5, 1), ["es"])
    prompts = {tokenizer.decode(alone.draw(STRONG, rng, 0.5).before) for _ in range(100)}
    assert not any("ranslate" in prompt for prompt in prompts)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_not_attended_and_silence_is(side):
    examples = [
        text.Example([7], [0, 8, 0], [9], [5, 1], STRONG),
        text.Example([], [], [], [5, 1], NONE),
    ]
    batch = causal_lm_batch.pad(examples, 0, side)
    assert batch.attend.sum(1).tolist() == [7, 2]
    assert batch.ids[0].tolist() == [7, 0, 8, 0, 9, 5, 1]
    assert batch.source[0].tolist() == [0, 1, 1, 1, 0, 0, 0]
    assert batch.labels[0].tolist() == [-100] * 5 + [5, 1]
    places = slice(-2, None) if side == "left" else slice(0, 2)
    for row, expected in ((batch.ids, [5, 1]), (batch.attend, [1, 1]), (batch.labels, [5, 1])):
        assert row[1, places].tolist() == expected


def embedded(made, **strengths):
    model = AutoModelForCausalLM.from_pretrained(made[0])
    noise = NONE._replace(**strengths)
    example = text.Example([3], list(range(300, 320)) * 20, [9], [5, 1], noise)
    batch = causal_lm_batch.pad([example], 0, "right")
    torch.manual_seed(0)
    with torch.no_grad():
        table = model.get_input_embeddings().weight
        return causal_lm_batch.embed(model, batch)[0], table[batch.ids[0]], batch, table


def test_noise_touches_the_source_only_and_has_the_deviation_asked_for(made):
    x, plain, _, _ = embedded(made)
    torch.testing.assert_close(x, plain, rtol=0, atol=0)
    x, plain, batch, _ = embedded(made, gaussian=0.5, mixed=0.5)
    outside = batch.source[0] == 0
    torch.testing.assert_close(x[outside], plain[outside], rtol=0, atol=0)
    x, plain, batch, table = embedded(made, gaussian=0.5)
    inside = batch.source[0] == 1
    assert 0.48 < ((x - plain)[inside].std() / table.std()).item() < 0.52


def test_a_blend_lies_between_a_position_and_the_next(made):
    x, plain, _, _ = embedded(made, mixed=1.0)
    moved, way = (x - plain)[1:400], (plain.roll(-1, 0) - plain)[1:400]
    share = (moved * way).sum(-1) / way.pow(2).sum(-1)
    torch.testing.assert_close(moved, share[:, None] * way, atol=1e-5, rtol=0)
    assert share.min() >= 0 and 0.4 < share.max() <= 0.5 + 1e-5
    assert torch.equal(x[400], plain[400])  # the last of the source has no next one


def test_a_perfect_reader_scores_without_errors(tokenizer, material):
    rows = [row["en"] for row in material.rows]
    asked = [material.ask("x", row, row, "en", NONE, random.Random(0)) for row in rows]

    class Oracle:
        def get_input_embeddings(self):
            return torch.nn.Embedding(len(tokenizer), 2)

        def generate(self, inputs_embeds, **_):
            width = max(map(len, rows)) + 3
            end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
            full = [[*row, end, *[pad] * (width - len(row))] for row in rows]
            return torch.tensor([row[:width] for row in full])

    assert causal_lm.score(Oracle(), tokenizer, asked) == causal_lm.Score(1.0, 0.0)
    other = [example._replace(answer=[9, *example.answer[1:]]) for example in asked]
    result = causal_lm.score(Oracle(), tokenizer, other)
    pieces = sum(map(len, rows))
    assert (result.exact, result.piece_errors) == (0.0, round(len(rows) / pieces, 4))


def test_training_teaches_a_tiny_model_to_write_down(tokenizer):
    material = text.Conversations(tokenizer, masked_lm.parallel("train", 1, 0), ["en"])
    size = causal_lm.Size(1, 1, 330, 32, 1, 2, 64, 60, 4, 1e-2)
    model = causal_lm.train_model(tokenizer, material, NONE, size, 0)
    row = material.rows[0]["en"]
    asked = [material.ask(text.WRITE_DOWN[0], row, row, "en", NONE, random.Random(0))]
    assert causal_lm.score(model, tokenizer, asked) == causal_lm.Score(1.0, 0.0)


def test_attention_starts_by_passing_on_what_it_looks_at(tokenizer):
    model = causal_lm._network(tokenizer, causal_lm.SIZES["smoke"])
    for layer in model.model.layers:
        passed = layer.self_attn.o_proj.weight @ layer.self_attn.v_proj.weight
        torch.testing.assert_close(passed, 0.5 * torch.eye(32), atol=1e-5, rtol=0)
    assert 0.09 < model.get_input_embeddings().weight.std() < 0.11


def test_noise_rises_during_the_training(material):
    size = causal_lm.SIZES["smoke"]._replace(steps=200)
    batches = list(causal_lm._batches(material, STRONG, size, random.Random(0)))
    assert len(batches) == 200 and all(len(batch) == size.batch for batch in batches)
    strongest = [max((e.noise.gaussian for e in batch if e.source), default=0) for batch in batches]
    assert max(strongest[:40]) == 0 < max(strongest[40:60]) < 0.6 * max(strongest[60:])


def test_the_report_tells_scores_by_level_and_language(made):
    folder, quality = made
    report = json.loads((folder / causal_lm.REPORT).read_text())
    assert list(report["written"]) == ["none", "mild", "strong", "strongest"]
    assert report["written"]["strong"]["es"] == quality.written["strong"]["es"]._asdict()
    assert list(report["translated"]) == ["en-es", "es-en"]


def test_the_saved_model_has_tied_embeddings_and_stops_at_the_end_of_turn(made, tokenizer):
    model = AutoModelForCausalLM.from_pretrained(made[0])
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert model.generation_config.eos_token_id == tokenizer.convert_tokens_to_ids(text.END)
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id
    assert model.config.use_cache


def test_the_seed_decides_the_model(made, tmp_path):
    def weights(folder):
        return (folder / "model.safetensors").read_bytes()

    for name, seed in (("again", 0), ("other", 1)):
        causal_lm.make_causal_lm(tmp_path / name, "smoke", ["en", "es"], "strong", seed)
    assert weights(tmp_path / "again") == weights(made[0]) != weights(tmp_path / "other")


def test_training_and_scoring_leave_the_callers_random_state_alone(tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    causal_lm.make_causal_lm(tmp_path / "llm", "smoke", ["en"], "mild", 0)
    torch.testing.assert_close(torch.rand(2), expected)


def test_a_finished_model_is_not_made_again_and_another_request_is_refused(made):
    assert causal_lm.make_causal_lm(made[0], "smoke", ["en", "es"], "strong", 0) is None
    with pytest.raises(UserError, match="robustness 'strong', and 'mild' is asked for"):
        causal_lm.make_causal_lm(made[0], "smoke", ["en", "es"], "mild", 0)


def test_an_interruption_while_saving_leaves_no_folder(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(lm_common, "write_json", interrupted)
    with pytest.raises(KeyboardInterrupt):
        causal_lm.make_causal_lm(tmp_path / "llm", "smoke", ["en"], "none", 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("languages", ["en de", "en en", ""])
def test_the_command_refuses_languages_it_does_not_know(languages, tmp_path):
    options = ["--output", str(tmp_path / "llm"), "--size", "smoke", "--languages", languages]
    with pytest.raises(SystemExit, match="error: the mini language model knows en es fr"):
        make_mini_llm.main(options)


def test_the_command_says_how_good_the_model_is(tmp_path, caplog):
    with caplog.at_level("INFO"):
        make_mini_llm.main(["--output", str(tmp_path / "llm"), "--size", "smoke"])
    assert "written down from noise 'strong': en" in caplog.text
    assert "translated exactly: en-es" in caplog.text
