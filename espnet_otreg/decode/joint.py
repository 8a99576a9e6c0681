"""Answers weighed by what was heard: CTC beside a language model, inside its search.

A frozen language model that has read little speech writes fluent answers to what it half heard.
CTC on the same embeddings hears each token, and knows no language. So each token of an answer
scores

    (1 - w) · log P(token | speech, answer so far) + w · log P_ctc(token | speech, answer so far),

where the second is the probability that CTC gives to all transcripts that begin so: the joint
decoding of ESPnet's CTC/attention models, with ESPnet's own prefix scores.
"""

from typing import Any

import torch
from torch import Tensor

from espnet_otreg.compat import ctc_prefix_scorer

CANDIDATES = 30  # tokens for each hypothesis that CTC's prefix scores are computed of
IMPOSSIBLE = -1e10  # the score of a token that CTC has no column for


class JointScores:
    """Joins the two in `generate`, as a logits processor of transformers.

    Args:
        heard: (B, T, C) log-probabilities of CTC, the blank first
        lengths: (B,)
        ids: (C,) the language model's id of each column, -1 where it has none
        eos: the id that ends an answer
        weight: w
    """

    def __init__(
        self, heard: Tensor, lengths: Tensor, ids: Tensor, eos: int, weight: float
    ) -> None:
        self.weight, self.eos = weight, eos
        self.columns = ((ids >= 0) & (ids != eos)).nonzero().flatten()
        self.ids = ids[self.columns]
        self._end = ids.new_tensor([eos])
        # The scorer has the end of an answer in the blank's column: no answer holds a blank
        self.scorer = ctc_prefix_scorer()(heard.clone(), lengths, blank=0, eos=0)
        self.frames = self.scorer.x[0].exp().transpose(0, 1)[:, :, self.columns]  # (B, T, known)
        self._state: Any = None
        self._before: Tensor | None = None  # (B · beams, A) answers that the state is of

    def __call__(self, answers: Tensor, scores: Tensor) -> Tensor:
        """Return the scores (B · beams, V) of what may follow the answers (B · beams, A)."""
        told = scores.log_softmax(1)
        if answers.shape[1] >= self.scorer.input_length:  # each frame said a token, at most
            joined = torch.full_like(told, IMPOSSIBLE).index_fill(1, self._end, 0.0)
            return (1 - self.weight) * told + self.weight * joined
        beams = len(answers) // self.scorer.batch
        last = self._last(answers, scores.shape[1])
        state = self._state_of(answers, last, beams)
        hoped = self._hoped(state, beams)
        likely = (1 - self.weight) * told[:, self.ids] + self.weight * hoped
        most = max(CANDIDATES, 2 * beams)  # a beam search looks at so many
        best = likely.topk(min(most, likely.shape[1])).indices
        prefixes = [[0] * answers.shape[1] + [column] for column in last.tolist()]
        heard, self._state = self.scorer(prefixes, state, self.columns[best])
        self._before = answers
        joined = torch.full_like(told, IMPOSSIBLE)
        joined[:, self.ids] = heard[:, self.columns].to(told.dtype)
        joined[:, self.eos] = heard[:, 0]
        return (1 - self.weight) * told + self.weight * joined

    def _hoped(self, state: Any, beams: int) -> Tensor:
        """Return CTC's scores (B · beams, known) but for a constant each, and for repeated tokens.

        The probability of all transcripts that begin with an answer and a token is a sum over
        frames: of the answer before the frame, times the token in it.
        """
        if state is None:
            reached = self.scorer.x[0, :, :, 0].cumsum(0).repeat_interleave(beams, 1)  # (T, n)
            first = reached.new_zeros(1, reached.shape[1])
        else:
            reached = state[0].logsumexp(1)
            first = reached.new_full((1, reached.shape[1]), IMPOSSIBLE)
        before = torch.cat([first, reached[:-1]])
        before = (before - before.max(0).values).exp().T.reshape(-1, beams, len(before))
        return (before @ self.frames).flatten(0, 1).clamp(min=1e-38).log()

    def _last(self, answers: Tensor, vocabulary: int) -> Tensor:
        """Return the columns of the answers' last tokens; before the first, and at an end, 0."""
        if answers.shape[1] == 0:
            return answers.new_zeros(len(answers))
        column = answers.new_zeros(vocabulary)
        column[self.ids] = self.columns
        return column[answers[:, -1]]

    def _state_of(self, answers: Tensor, last: Tensor, beams: int) -> Any:
        """Find the state of each answer: that of the answer before, with its last token.

        A beam search changes the order of its answers, and does not tell how.
        """
        if self._before is None:
            return None
        same = (answers[:, None, :-1] == self._before[None]).all(2)
        item = torch.arange(len(answers), device=answers.device) // beams
        parent = (same & (item[:, None] == item[None])).int().argmax(1)
        forward, score, low, high, place = self._state
        place = place[parent, last]
        forward = forward[:, :, parent, place.clamp(min=0)]
        score = score[parent, last].masked_fill(place < 0, 0.0)  # what is impossible stays so
        return forward, score.unsqueeze(1).expand(-1, self.scorer.odim), low, high
