"""What the mini causal language model reads: its pieces, its chat and its tasks.

An instruct model can write down a text that reaches it disturbed: stretched, with gaps, in places
illegible. Speech embeddings are such a text, so the model is asked for this from the start; one
that is not falls over any run of repeated pieces, and a regulariser that pulls speech towards
pieces then looks harmful whatever it does to the speech.
"""

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from espnet_otreg.languages import language_name

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, END, USER, ASSISTANT = "<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"
WRITE_DOWN = (  # the first is what a speech language model asks for by default
    "Please write down the user's speech word for word in {language}, and nothing else.",
    "Please write down what the user says in {language}, word for word, and nothing else.",
    "Write down the user's speech in {language}.",
    "Please write down the user's speech word for word, and nothing else.",
)
TRANSLATE = (
    "Please translate the user's speech into {language}, and write nothing else.",
    "Please translate what the user says into {language}, and nothing else.",
    "Translate the user's speech into {language}.",
)
CHAT = (
    "{% for message in messages %}"
    "{% if message['role'] not in ('user', 'assistant') %}"
    "{{ raise_exception('only the roles user and assistant are known') }}"
    "{% endif %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SEPARATORS = ("\n", " ", "")  # between instruction and speech
_PLAIN, _CLEAN = 0.06, 0.15  # shares: sentences without a conversation, sources without noise
_MARK = "\ufffc"  # where the source goes in a rendered prompt
_INSTRUCTIONS = 0.25  # per sentence, when the pieces are learnt: few pieces for these too
_WORDS = (  # Qwen2's: a word takes the space before it along
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Noise(NamedTuple):
    """How a source may differ from its sentence."""

    repeats: int  # a piece comes up to this many times
    pads: int  # before a word and at both ends: runs of up to this many pad symbols
    wrong: float  # share of pieces replaced by any other
    dropped: float  # share of pieces left out
    gaussian: float  # deviation added to the embeddings, relative to the table's own
    mixed: float  # share of positions blended with the next one


ROBUSTNESS = {
    "none": Noise(1, 0, 0.0, 0.0, 0.0, 0.0),
    "mild": Noise(2, 4, 0.02, 0.01, 0.3, 0.1),
    "strong": Noise(4, 8, 0.05, 0.02, 1.0, 0.3),
}


class Example(NamedTuple):
    """One conversation; a plain sentence has an answer only."""

    before: list[int]  # up to the source: turn mark and instruction
    source: list[int]
    after: list[int]  # end of the user's turn, and the assistant's mark
    answer: list[int]  # with its end of turn
    noise: Noise  # `gaussian` and `mixed` are left to whoever looks up the embeddings


def train_tokenizer(texts: Sequence[str], pieces: int, seed: int = 0) -> "PreTrainedTokenizerFast":
    """Learn pieces of bytes that join to exactly the text they were cut from.

    The steps before and after are those of Qwen2's own tokenizer: transformers 5 puts them in place
    of whatever a Qwen2 folder says, so with any others the folder would be read wrongly.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, trainers
    from tokenizers.pre_tokenizers import ByteLevel, Split
    from tokenizers.pre_tokenizers import Sequence as Steps
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    cut = ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = Steps([Split(Regex(_WORDS), "isolated"), cut])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=pieces,
        special_tokens=[PAD, END, USER, ASSISTANT],
        initial_alphabet=sorted(ByteLevel.alphabet()),
        show_progress=False,
    )
    asked = [
        phrase.format(language=language_name(code))
        for phrase in WRITE_DOWN + TRANSLATE
        for code in ("en", "es", "fr")
    ]
    share = int(len(texts) * _INSTRUCTIONS)
    spoken = random.Random(f"pieces {seed}").choices(asked, k=share)
    tokenizer.train_from_iterator([*texts, *spoken], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=PAD,  # never needed, every byte has a piece; named so that no default is added
        eos_token=END,
        additional_special_tokens=[USER, ASSISTANT],
        padding_side="left",  # what generation needs
        chat_template=CHAT,
        clean_up_tokenization_spaces=False,
    )


class Conversations:
    """Sentences of some languages, cut into pieces, and the tasks made of them."""

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerFast",
        meanings: Sequence[Mapping[str, str]],
        languages: Sequence[str],
    ) -> None:
        self.languages = tuple(languages)
        self.rows = [
            {lang: self._cut(tokenizer, meaning[lang]) for lang in self.languages}
            for meaning in meanings
        ]
        self._tokenizer = tokenizer
        self._pad, self._end = tokenizer.pad_token_id, tokenizer.eos_token_id
        self._frames: dict[str, tuple[list[int], list[int]]] = {}
        pieces = {piece for row in self.rows for cut in row.values() for piece in cut}
        self._any = sorted(pieces)
        spelled = tokenizer.convert_ids_to_tokens(self._any)
        self._openers = {
            piece for piece, text in zip(self._any, spelled, strict=True) if text[0] == "Ġ"
        }

    def draw(self, noise: Noise, rng: random.Random, translate: float) -> Example:
        """Any task on any sentence, disturbed by anything up to `noise`.

        `translate` is the share of translations, where there is more than one language.
        """
        row = rng.choice(self.rows)
        heard = other = rng.choice(self.languages)
        if rng.random() < _PLAIN:
            return Example([], [], [], [*row[heard], self._end], ROBUSTNESS["none"])
        if rng.random() < translate:
            other = rng.choice([lang for lang in self.languages if lang != heard] or [heard])
        phrase = rng.choice(WRITE_DOWN if other == heard else TRANSLATE) + rng.choice(SEPARATORS)
        now = ROBUSTNESS["none"] if rng.random() < _CLEAN else weaker(noise, rng)
        return self.ask(phrase, row[heard], row[other], other, now, rng)

    def ask(
        self,
        phrase: str,
        heard: Sequence[int],
        answer: Sequence[int],
        language: str,
        noise: Noise,
        rng: random.Random,
    ) -> Example:
        """One conversation: `phrase` and the disturbed sentence, then the answer in `language`."""
        before, after = self._frame(phrase.format(language=language_name(language)))
        source = self.disturb(heard, noise, rng)
        return Example(before, source, after, [*answer, self._end], noise)

    def disturb(self, pieces: Sequence[int], noise: Noise, rng: random.Random) -> list[int]:
        """Stretch, interrupt and garble; what acts on embeddings is not done here."""
        pauses = rng.random()  # one speaker pauses at every word, another never
        source = [self._pad] * rng.randint(0, noise.pads)
        for place, piece in enumerate(pieces):
            if place and piece in self._openers and rng.random() < pauses:
                source += [self._pad] * rng.randint(0, noise.pads)
            if rng.random() < noise.dropped:
                continue
            source += [
                rng.choice(self._any) if rng.random() < noise.wrong else piece
                for _ in range(rng.randint(1, noise.repeats))
            ]
        source += [self._pad] * rng.randint(0, noise.pads)
        return source or [self._pad]

    def _frame(self, phrase: str) -> tuple[list[int], list[int]]:
        """What the chat template puts before and after the source."""
        if phrase not in self._frames:
            said = {"role": "user", "content": phrase + _MARK}
            prompt = self._tokenizer.apply_chat_template(
                [said], add_generation_prompt=True, tokenize=False
            )
            before, _, after = str(prompt).partition(_MARK)
            frame = self._cut(self._tokenizer, before), self._cut(self._tokenizer, after)
            self._frames[phrase] = frame
        return self._frames[phrase]

    @staticmethod
    def _cut(tokenizer: "PreTrainedTokenizerFast", text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]


def weaker(noise: Noise, rng: random.Random) -> Noise:
    """Draw strengths up to those of `noise`, each by itself and the strong ones more often."""
    return Noise(
        rng.randint(1, noise.repeats),
        rng.randint(0, noise.pads),
        *(limit * rng.triangular(0, 1, 1) for limit in noise[2:]),
    )


def scaled(noise: Noise, share: float) -> Noise:
    """Give a share, from 0 to 1, of every strength."""
    return Noise(
        1 + round((noise.repeats - 1) * share),
        round(noise.pads * share),
        *(limit * share for limit in noise[2:]),
    )
