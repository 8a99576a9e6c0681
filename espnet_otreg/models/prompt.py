"""What a speech language model reads and answers, in its tokenizer's ids.

What stands around the speech is one object for training and decoding. The tokenizer's chat template
wraps the instruction and the speech in a user's turn; where there is none, they follow each other.
`{language}` in the instruction becomes the language's English name.
"""

import logging
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from espnet_otreg.errors import UserError
from espnet_otreg.languages import language_name
from espnet_otreg.ot.options import check_options, option
from espnet_otreg.ot.sequences import Spliced
from espnet_otreg.pretrained.causal_lm import CausalLM
from espnet_otreg.pretrained.prefix import Prefix

IGNORED = -100  # label of what is no answer
_SPEECH = "\ue000speech\ue000"  # a private-use mark that no template or tokenizer knows


@dataclass(frozen=True)
class PromptConf:
    """What stands around the speech in the language model's input."""

    instruction: str = option(
        "Please write down the user's speech word for word in {language}, and nothing else.",
        "what the language model is asked; {language} becomes the language's English name",
    )
    system: str | None = option(None, "text of a system turn; needs a chat template")
    chat_template: bool = option(True, "use the tokenizer's, if it has one")
    languages: dict = option({}, "code to name, before the built-in names")

    def __post_init__(self) -> None:
        """Check the instruction's placeholders and the names."""
        check_options(self)
        try:
            names = {name for _, name, _, _ in string.Formatter().parse(self.instruction) if name}
        except ValueError as error:
            raise ValueError(
                f"instruction is no valid template ({error}): double its braces"
            ) from error
        if names - {"language"}:
            raise ValueError(f"instruction may hold {{language}} alone, got {sorted(names)}")
        for code, name in self.languages.items():
            if not isinstance(code, str) or not isinstance(name, str):
                raise ValueError(
                    f"languages must map codes to names, got {code!r}: {name!r} "
                    "(YAML reads no as a truth value: quote it)"
                )

    @property
    def needs_language(self) -> bool:
        """Tell whether prompts differ by language."""
        return "{language}" in self.instruction


class PromptIds(NamedTuple):
    """Token ids on both sides of the speech."""

    before: tuple[int, ...]
    after: tuple[int, ...]


class Read(NamedTuple):
    """What the language model reads."""

    inputs: Spliced  # all of it, or what follows the prefix
    prefix: Prefix | None  # what it has read before


class Prompt:
    """Renders prompts with a tokenizer; each language's is made once."""

    def __init__(self, conf: PromptConf, tokenizer: Any) -> None:
        self.conf, self.tokenizer = conf, tokenizer
        self.templated = conf.chat_template and bool(getattr(tokenizer, "chat_template", None))
        if conf.system is not None and not self.templated:
            raise UserError(
                "prompt_conf.system needs a tokenizer with a chat template, and this one has none "
                "(or prompt_conf.chat_template is false): put it all into the instruction"
            )
        if conf.chat_template and not self.templated:
            logging.info(
                "the language model's tokenizer has no chat template (it is no instruct model): "
                "instruction and speech follow each other without turns"
            )
        self._made: dict[str, PromptIds] = {}

    def ids(self, language: str | None) -> PromptIds:
        """Return the ids before and after the speech of an utterance in this language."""
        key = language or ""
        if key not in self._made:
            before, after = self.text(language)
            self._made[key] = PromptIds(self._encode(before), self._encode(after))
        return self._made[key]

    def text(self, language: str | None) -> tuple[str, str]:
        """Render the prompt as text, what precedes the speech and what follows it."""
        instruction = self.conf.instruction
        if self.conf.needs_language:
            if not language:
                raise UserError(
                    "prompt_conf.instruction holds {language} and an utterance has none: give "
                    "utt2lang, or write an instruction without {language}"
                )
            name = self.conf.languages.get(language) or language_name(language)
            instruction = instruction.replace("{language}", name)
        instruction = instruction.replace("{{", "{").replace("}}", "}")
        content = f"{instruction}\n{_SPEECH}"
        if not self.templated:
            before, _, after = f"{content}\n".partition(_SPEECH)
            return (self.tokenizer.bos_token or "") + before, after
        turns = [{"role": "user", "content": content}]
        if self.conf.system is not None:
            turns.insert(0, {"role": "system", "content": self.conf.system})
        from jinja2 import TemplateError  # what transformers renders templates with

        try:
            rendered = self.tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True
            )
        except TemplateError as error:
            raise UserError(
                f"the tokenizer's chat template refuses the prompt ({error}): leave "
                "prompt_conf.system out, or set prompt_conf.chat_template to false"
            ) from error
        if rendered.count(_SPEECH) != 1:
            raise UserError(
                "the tokenizer's chat template does not keep the user's words as they are: set "
                "prompt_conf.chat_template to false"
            )
        before, _, after = rendered.partition(_SPEECH)
        return before, after

    def _encode(self, text: str) -> tuple[int, ...]:
        if not text:
            return ()
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])


OWN = ("<blank>", "<unk>", "<sos/eos>")  # of ESPnet's token list, not of the tokenizer


def piece_ids(token_list: Sequence[str], decoder: CausalLM) -> Tensor:
    """Return the tokenizer's id of each token of ESPnet's list; -1 for ESPnet's own symbols."""
    vocabulary = decoder.tokenizer.get_vocab()
    lost = [token for token in token_list if token not in vocabulary and token not in OWN]
    if lost:
        raise UserError(
            f"{len(lost)} of {len(token_list)} tokens are not pieces of {decoder.base.name}, "
            f"first {lost[0]!r}: make the token list with this language model (stage 5)"
        )
    return torch.tensor([-1 if token in OWN else vocabulary[token] for token in token_list])


def answer_ids(ids: Tensor, lengths: Tensor, eos: int) -> tuple[Tensor, Tensor]:
    """Append the end of the answer to ids (B, L), padded with -1."""
    ids = torch.nn.functional.pad(ids, (0, 1), value=-1)
    return ids.scatter(1, lengths.to(ids.device).unsqueeze(1), eos), lengths.to(ids.device) + 1


def answer_loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over utterances of their mean per token, and the share of tokens that are right."""
    asked = labels != IGNORED
    each = cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
    loss = (each.sum(1) / asked.sum(1).clamp(min=1)).mean()
    right = ((logits.argmax(2) == labels) & asked).sum() / asked.sum().clamp(min=1)
    return loss, right.detach()


def language_codes(language: Tensor | None, batch: int) -> list[str | None]:
    """Read the codes that a batch carries as bytes (B, C), padded with -1."""
    if language is None:
        return [None] * batch
    return [bytes(byte for byte in row if byte >= 0).decode() for row in language.tolist()]


def prompt_sides(
    prompt: Prompt, languages: Sequence[str | None], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the ids before and after the speech, each (B, P), padded with -1."""
    distinct = list(dict.fromkeys(languages))
    rendered = [prompt.ids(language) for language in distinct]
    which = torch.tensor([distinct.index(language) for language in languages], device=device)
    sides = []
    for side in ("before", "after"):
        rows = [torch.tensor(getattr(ids, side), dtype=torch.long) for ids in rendered]
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)
        sides.append(padded.to(device)[which])
    return sides[0], sides[1]
