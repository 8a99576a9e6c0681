import numpy as np
import pytest
import torch

from espnet_otreg.decode.joint import JointScores
from espnet_otreg.decode.slm import SpeechLanguageModel
from espnet_otreg.errors import UserError
from tests.support.tiny_llm import save_llm
from tests.support.tiny_slm import build, make_batch

EOS, VOCABULARY = 11, 12
IDS = torch.tensor([-1, 7, 3, -1, 9])  # of CTC's columns: the blank, three tokens, a stranger
ANSWERS = {7: [7, 3, EOS], 3: [3, 3, EOS], 9: [9, EOS, EOS]}  # by first token; a 3 comes twice


@pytest.fixture
def heard():
    torch.manual_seed(0)
    return torch.randn(2, 6, 5).log_softmax(2), torch.tensor([6, 4])


def said(joint, rows, scores):
    """The sum of an answer's scores, of several answers at once."""
    total = torch.zeros(len(rows))
    over = torch.zeros(len(rows), dtype=torch.bool)
    for step in range(rows.shape[1]):
        found = joint(rows[:, :step], scores[step])
        total += found.gather(1, rows[:, step : step + 1]).squeeze(1).masked_fill(over, 0.0)
        over |= rows[:, step] == EOS
    return total


def ctc(heard, answer):
    """CTC's log-probability of an answer, by the loss."""
    log_probabilities, lengths = heard
    columns = torch.tensor([IDS.tolist().index(i) for i in answer if i != EOS])
    each = [
        torch.nn.functional.ctc_loss(x, columns, [int(n)], [len(columns)], reduction="sum")
        for x, n in zip(log_probabilities, lengths, strict=True)
    ]
    return -torch.stack(each)


@pytest.mark.parametrize("weight", [0.3, 1.0])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=str)
def test_an_answers_score_is_its_likelihood_by_both(heard, weight, answer):
    scores = torch.randn(3, 2, VOCABULARY)
    length = answer.index(EOS) + 1
    told = sum(scores[step].log_softmax(1)[:, answer[step]] for step in range(length))
    joint = JointScores(*heard, IDS, EOS, weight)
    found = said(joint, torch.tensor([answer, answer]), scores)
    expected = (1 - weight) * told + weight * ctc(heard, answer)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_answers_may_change_places_as_in_a_beam_search(heard):
    scores = torch.zeros(1, VOCABULARY).expand(6, -1)
    joint = JointScores(*heard, IDS, EOS, 1.0)
    joint(torch.zeros(6, 0, dtype=torch.long), scores)
    first = torch.tensor([[7], [3], [9], [3], [9], [7]])  # three of each utterance
    total = [joint(first, scores)]
    swapped = torch.tensor([[3, 3], [7, 3], [3, 3], [9, 3], [3, 3], [9, 3]])
    end = joint(swapped, scores)[:, EOS]
    before = JointScores(*heard, IDS, EOS, 1.0)(torch.zeros(2, 0, dtype=torch.long), scores[:2])
    places = [1, 0, 1, 4, 3, 4]  # of the first tokens
    for row, answer in enumerate(swapped.tolist()):
        found = before[row // 3, answer[0]] + total[0][places[row], answer[1]] + end[row]
        torch.testing.assert_close(found, ctc(heard, answer)[row // 3], rtol=1e-4, atol=1e-4)


def test_a_token_that_ctc_never_learnt_is_no_answer(heard):
    scores = torch.zeros(2, VOCABULARY)
    scores[:, 5] = 50.0
    found = JointScores(*heard, IDS, EOS, 0.1)(torch.zeros(2, 0, dtype=torch.long), scores)
    assert set(found.topk(4).indices.flatten().tolist()) == {7, 3, 9, EOS}


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return save_llm(tmp_path_factory.mktemp("llm"))


@pytest.fixture(scope="module")
def batch(lm):
    return make_batch(lm, (150, 132, 141, 120))


@pytest.fixture(scope="module")
def listener(lm, batch):
    """A model whose adapter says what was said, to a language model that learnt nothing."""
    slm_conf = {"table_ctc_weight": 1.0, "table_likeness": "distance"}
    phase, model = (
        build(lm, model_conf={"slm_conf": {**slm_conf, "objective": objective}})
        for objective in ("table", "answer")
    )
    optimiser = torch.optim.Adam(phase.adapter.parameters(), lr=0.01)
    for _ in range(150):
        optimiser.zero_grad()
        phase.train()(**{key: value.clone() for key, value in batch.items()})[0].backward()
        optimiser.step()
    model.load_state_dict(phase.state_dict(), strict=False)
    return SpeechLanguageModel(model)


def answers(listener, batch, **options):
    heard = listener.hear(
        [x[:n] for x, n in zip(batch["speech"], batch["speech_lengths"], strict=True)]
    )
    return [a.text for a in listener.answers(heard, ["en"] * 4, max_new_tokens=40, **options)]


def texts(listener, batch):
    ids = listener.model.piece_ids[batch["text"].clamp(min=0)]
    return [
        " ".join(listener.tokenizer.decode(row[:n]).split())
        for row, n in zip(ids.tolist(), batch["text_lengths"].tolist(), strict=True)
    ]


def test_what_was_heard_corrects_a_language_model_that_did_not_learn_to_listen(listener, batch):
    said = texts(listener, batch)
    alone = answers(listener, batch)
    together = answers(listener, batch, num_beams=4, ctc_weight=0.7)
    assert not any(map(str.__eq__, alone, said))
    assert sum(map(str.__eq__, together, said)) >= 3


@pytest.mark.parametrize("beam", [1, 3])
def test_an_answer_does_not_depend_on_its_batch(listener, beam):
    rng = np.random.default_rng(0)
    frames = [rng.standard_normal((n, 16)).astype(np.float32) for n in (40, 61, 17, 52, 8)]
    listener.model.encoder.base = "frames stand for it"
    options = {"beam_size": beam, "ctc_weight": 0.4, "max_new_tokens": 12}
    together = listener.transcribe(frames, "en", batch_size=5, **options)
    alone = listener.transcribe(frames, "en", batch_size=1, **options)
    assert [each.tokens for each in together] == [each.tokens for each in alone]
    assert len({each.text for each in together}) > 1


def test_the_head_of_ctc_weight_is_listened_to_as_well(lm, batch):
    model = build(lm, model_conf={"ctc_weight": 0.3}).eval()
    listener = SpeechLanguageModel(model)
    heard = listener.hear(list(batch["speech"][:, :60]))
    with torch.inference_mode():
        found, ids = listener.heard_tokens(heard)
    assert torch.equal(ids, model.piece_ids) and found.shape[2] == len(model.token_list)
    torch.testing.assert_close(found.exp().sum(2), torch.ones(found.shape[:2]))
    assert len(list(listener.answers(heard, ["en"] * 4, max_new_tokens=5, ctc_weight=0.5))) == 4


def test_a_model_without_ctc_is_told_from_one_that_has_it(lm, batch):
    listener = SpeechLanguageModel(build(lm))
    clips = [np.zeros((20, 20), np.float32)]
    with pytest.raises(UserError, match=r"learnt no CTC.*table_adapter.*--ctc_weight 0"):
        answers(listener, batch, ctc_weight=0.5)
    with pytest.raises(UserError, match=r"from 0 to 1, got 1\.5"):
        listener.transcribe(clips, "en", ctc_weight=1.5)


def test_an_answer_ends_where_there_are_no_frames_left(heard):
    joint = JointScores(heard[0][:, :2], torch.tensor([2, 1]), IDS, EOS, 0.5)
    scores = torch.zeros(4, VOCABULARY)
    for length in range(5):
        answers = torch.tensor([[7, 3, 9, 7], [9, 7, 3, 9], [3, 7, 9, 3], [7, 9, 3, 7]])
        found = joint(answers[:, :length], scores)
    assert found.argmax(1).tolist() == [EOS] * 4


def test_the_right_token_is_a_candidate_however_long_the_answer(heard):
    """CTC is sure of every token, the language model prefers others at random."""
    torch.manual_seed(0)
    tokens = 60
    ids = torch.cat([torch.tensor([-1]), torch.arange(1, 200)])
    said = torch.randperm(199)[:tokens] + 1
    scores = torch.full((1, 2 * tokens, 200), 1e-4)
    scores[0, torch.arange(0, 2 * tokens, 2), said] = scores[0, 1::2, 0] = 1.0
    joint = JointScores(scores.log().log_softmax(2), torch.tensor([2 * tokens]), ids, 0, 0.5)
    answer: list[int] = []
    while len(answer) < tokens:
        told = joint(torch.tensor([answer], dtype=torch.long).reshape(1, -1), torch.randn(1, 200))
        answer.append(int(told.argmax()))
    assert answer == said.tolist()


def test_candidates_do_not_depend_on_longer_neighbours(monkeypatch):
    monkeypatch.setattr("espnet_otreg.decode.joint.CANDIDATES", 3)
    torch.manual_seed(0)
    ids = torch.cat([torch.tensor([-1]), torch.arange(1, 30)])
    heard = torch.randn(2, 20, 30).log_softmax(2)
    heard[0, 5:, 1:] += 3  # its padding: of no meaning
    told = torch.randn(2, 40)
    for answer in ([], [4], [4, 9]):
        rows = torch.tensor([answer, answer], dtype=torch.long).reshape(2, -1)
        if not answer:
            both = JointScores(heard.clone(), torch.tensor([5, 20]), ids, 0, 0.5)
            alone = JointScores(heard[:1, :5].clone(), torch.tensor([5]), ids, 0, 0.5)
        found, expected = both(rows, told)[0], alone(rows[:1], told[:1])[0]
        assert torch.equal(found > -1e9, expected > -1e9) and (found > -1e9).sum() == 4
        torch.testing.assert_close(found, expected)


def test_many_beams_and_a_small_weight_bring_no_impossible_token_back(heard):
    ids = torch.cat([torch.tensor([-1]), torch.arange(1, 60)])
    scores = torch.full((1, 4, 60), -40.0)
    scores[0, :, 0], scores[0, 1, 5] = -2.0, -0.1
    joint = JointScores(scores, torch.tensor([4]), ids, 0, 0.05)
    told = torch.zeros(40, 60)
    joint(torch.zeros(40, 0, dtype=torch.long), told)
    first = joint(torch.arange(1, 41).reshape(40, 1), told)
    later = joint(torch.arange(1, 41).reshape(40, 1).repeat(1, 2), told)
    assert first.max() <= 0 and later.max() <= 0


def test_ctc_that_learnt_nothing_or_another_text_is_not_listened_to(lm, batch):
    silent = {"slm_conf": {"compression": "table", "table_ctc_weight": 0}}
    listener = SpeechLanguageModel(build(lm, model_conf=silent))
    assert not listener.hears_tokens
    with pytest.raises(UserError, match="learnt no CTC"):
        answers(listener, batch, ctc_weight=0.5)
    listener = SpeechLanguageModel(build(lm, model_conf={**silent, "ctc_weight": 0.3}))
    heard = listener.hear(list(batch["speech"][:, :60]))
    with torch.inference_mode():
        assert torch.equal(listener.heard_tokens(heard)[1], listener.model.piece_ids)
    listener = SpeechLanguageModel(build(lm, model_conf={"slm_conf": {"table_ctc_weight": 1.0}}))
    assert listener.hears_tokens
    listener.translates = True
    with pytest.raises(UserError, match="the answers are translations"):
        answers(listener, batch, ctc_weight=0.5)
