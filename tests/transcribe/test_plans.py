"""The plans that a recogniser shows beside its words."""

from itertools import pairwise

import numpy as np
import pytest
import sentencepiece
import soundfile
import torch

from espnet_otreg.measure.spaces import Space
from espnet_otreg.models.options import SLMConf
from espnet_otreg.models.table import TableCTC
from espnet_otreg.tasks.asr import ASRTask
from espnet_otreg.transcribe import Passage, Plan, TimedWord, joined
from espnet_otreg.transcribe.opening import Asked, open_model
from espnet_otreg.transcribe.plans import PicturedRecogniser
from espnet_otreg.transcribe.recordings import Recording, read
from espnet_otreg.transcribe.running import transcribe
from tests.support.tiny_packs import MODEL

OPTIONS = {"otreg": {}, "slm": {"max_new_tokens": 12}}


def pictured(pack, kind):
    recogniser, _ = open_model(Asked(str(pack), options=OPTIONS.get(kind, {})))
    return PicturedRecogniser(recogniser)


def space_of(home):
    """The space of a training's folder, cut by sentencepiece itself."""
    model, options = ASRTask.build_model_from_file(home / "config.yaml", home / MODEL, "cpu")
    pieces = sentencepiece.SentencePieceProcessor(model_file=options.bpemodel)

    def cut(_, fields):
        names = pieces.encode(fields["text"], out_type=str)
        known = {token: place for place, token in enumerate(options.token_list)}
        return {"text": np.array([known.get(name, known["<unk>"]) for name in names])}

    return Space(model, cut)


@pytest.mark.parametrize("kind", ["otreg", "slm"])
def test_the_plan_is_that_of_the_models_own_transport_term_and_changes_no_word(
    kind, packs, homes, folder
):
    recogniser = pictured(packs[kind], kind)
    clips = [read(folder / name, 16000) for name in ("a.wav", "b.wav")]
    found = recogniser.recognise(clips, "en")
    assert [each._replace(plans=()) for each in found] == recogniser.inner.recognise(clips, "en")
    space = space_of(homes[kind]) if kind == "otreg" else Space.open(homes[kind], MODEL)
    for clip, passage in zip(clips, found, strict=True):
        (plan,) = passage.plans
        size = torch.tensor([len(clip)])
        (spoken,) = space.place(torch.from_numpy(clip)[None], size, [passage.text])
        (expected,) = space.transport([spoken])
        frames = expected.coupling.sum(1, keepdims=True)
        assert np.allclose(plan.shares * frames, expected.coupling, atol=1e-6)
        assert plan.mass.sum() == pytest.approx(1)
        assert plan.labels[-1] == "silence"
        assert plan.labels[:-1] == tuple(map(space.label, expected.targets[:-1]))
        assert plan.hop == pytest.approx(space.hop)
    trained = "with" if kind == "otreg" else "without"  # the tiny slm's weight is 0
    assert recogniser.about == f"The model was trained {trained} the transport term."


def test_each_word_knows_the_rows_of_its_own_tokens(packs, folder):
    recogniser = pictured(packs["otreg"], "otreg")
    clips, texts = [read(folder / "a.wav", 16000)], ["the key of the king"]
    (passage,) = recogniser.align(clips, texts, ["en"])
    (plan,) = passage.plans
    assert len(plan.rows) == len(passage.words) == 5
    for word, rows in zip(passage.words, plan.rows, strict=True):
        letters = {sign for row in rows for sign in plan.labels[row].strip("▁")}
        assert letters == set(word.word)


def test_a_model_without_such_a_term_shows_none_and_says_why(packs, folder):
    recogniser = pictured(packs["ot_transfer"], "ot_transfer")
    (passage,) = recogniser.recognise([read(folder / "a.wav", 16000)], None)
    assert passage.text and passage.plans == ()
    assert "no transport plan to show: model: ot_transfer aligns with" in recogniser.about


def test_plans_of_a_long_recording_stand_at_their_stretches_and_count_words_through(
    packs, tmp_path
):
    rng = np.random.default_rng(0)
    noise = [np.r_[0.2 * rng.standard_normal(40000), np.zeros(8000)] for _ in range(3)]
    soundfile.write(tmp_path / "long.wav", np.concatenate(noise), 16000)
    recogniser = pictured(packs["otreg"], "otreg")
    recording = Recording(tmp_path / "long.wav", "long")
    ((_, whole),) = transcribe(recogniser, [recording], longest=4.0)
    assert len(whole.plans) >= 2
    assert [plan.start for plan in whole.plans] == sorted(plan.start for plan in whole.plans)
    assert whole.plans[0].first == 0
    for before, plan in pairwise(whole.plans):
        assert before.first < plan.first < len(whole.words)
        assert whole.words[plan.first].start >= plan.start - recogniser.inner.begin
        assert whole.words[plan.first - 1].end <= plan.start
    assert "plans" not in whole.row()


def test_plans_are_moved_with_the_words_when_passages_are_joined():
    plan = Plan(np.eye(2), np.full(2, 0.5), ("a", "silence"), ((0,),), 0.1, start=0.05)
    said = Passage("a", (TimedWord("a", 0, 1, 1),), plans=(plan,))
    whole = joined([(0, said), (2, Passage("", ())), (3, said)])
    assert [(each.start, each.first) for each in whole.plans] == [(0.05, 0), (3.05, 1)]


def test_a_speech_language_model_that_hears_by_the_table_times_words_by_that(
    packs, folder, monkeypatch
):
    recogniser, _ = open_model(Asked(str(packs["slm"])))
    model, text = recogniser.model, "the key of the king"
    clips = [np.tile(read(folder / "a.wav", 16000), 8)]
    model.by_table = TableCTC(SLMConf(table_ctc_weight=1.0), model.piece_ids, model.silence)
    said = recogniser.tokenizer(text, add_special_tokens=False)["input_ids"]
    heard_tokens = recogniser.listener.heard_tokens

    def clear(heard):
        """Every other frame says a token, from the fourth on; the third token is a stranger."""
        scores, ids = heard_tokens(heard)
        scores = torch.full_like(scores, -50.0)
        scores[:, :, 0] = 0.0
        for place, token in enumerate(said):
            frame, column = 4 + 2 * place, ids.tolist().index(token)
            scores[:, frame, 0], scores[:, frame, column] = -50.0, 0.0
        return scores, torch.where(ids == said[2], -1, ids)

    monkeypatch.setattr(recogniser.listener, "heard_tokens", clear)
    (passage,) = recogniser.align(clips, [text], ["en"])
    assert [word.word for word in passage.words] == text.split()
    assert not passage.problem
    assert passage.words[0].start == pytest.approx(4 * recogniser.space.hop)
    last = 4 + 2 * (len(said) - 1)
    assert passage.words[-1].end == pytest.approx((last + 1) * recogniser.space.hop)
