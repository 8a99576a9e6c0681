"""`decoder: causal_lm`: a pretrained causal language model that reads embeddings of speech.

Any model that `transformers.AutoModelForCausalLM` opens, by folder or hub name, as it is or with
LoRA by peft. ESPnet's registry calls it a decoder; `model: slm` is what feeds it.
"""

import hashlib
import inspect
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from espnet2.asr.decoder.abs_decoder import AbsDecoder
from torch import Tensor

from espnet_otreg.configuration import options_of
from espnet_otreg.errors import UserError, one_line
from espnet_otreg.ot.options import check_options, option, required
from espnet_otreg.ot.sequences import Spliced
from espnet_otreg.pretrained.bases import DTYPES, Base, KeepsDtype, with_lora, without_dropout
from espnet_otreg.pretrained.lm_features import fingerprint
from espnet_otreg.pretrained.masked_lm import import_transformers, load, resolve
from espnet_otreg.pretrained.prefix import Prefix, PrefixCache
from espnet_otreg.pretrained.products import speed_up


@dataclass(frozen=True)
class CausalLMConf:
    """A pretrained causal language model: as it is, with LoRA, or trained whole."""

    model: str = required("folder or hub name; any that transformers.AutoModelForCausalLM opens")
    dtype: str = option("float32", "of the weights", choices=tuple(DTYPES))
    lora_conf: dict | None = option(
        None, "of peft.LoraConfig, such as {r: 16, target_modules: [q_proj, v_proj]}"
    )
    trainable: bool = option(False, "train all its weights; checkpoints then hold them")
    attn_implementation: str | None = option(
        None, "passed on to transformers, such as sdpa or flash_attention_2"
    )
    gradient_checkpointing: bool = option(False, "compute activations twice to save memory")
    reuse_prompt: bool = option(
        True, "read what stands before the speech once, not in every step, where all its weights "
        "are frozen; the loss is the same",
    )  # fmt: skip
    fast_products: bool = option(
        True, "multiply with frozen float32 weights by oneDNN on CPUs where that is known to be "
        "quicker (AMD's); equal up to rounding",
    )  # fmt: skip
    trust_remote_code: bool = option(False, "run Python code that comes with the model")

    def __post_init__(self) -> None:
        check_options(self)
        if self.trainable and self.lora_conf:
            raise UserError("decoder_conf: expected lora_conf or trainable: true, got both")


class CausalLM(KeepsDtype, AbsDecoder):
    """A causal language model and its tokenizer.

    Args:
        vocab_size: of ESPnet's token list; not used, the model has its own vocabulary
        encoder_output_size: dimension of the adapter's output, which must be the embeddings'
        conf: given key by key
    """

    @options_of(CausalLMConf, "decoder_conf")
    def __init__(self, vocab_size: int, encoder_output_size: int, conf: CausalLMConf) -> None:
        super().__init__()
        folder, attention = resolve(conf.model), conf.attn_implementation
        self.base = Base(conf.model, fingerprint(conf.model).model)
        self.tokenizer = load_tokenizer(folder, conf.trust_remote_code)
        network = load(
            import_transformers("decoder: causal_lm", "slm").AutoModelForCausalLM,
            folder,
            "a causal language model",
            dtype=DTYPES[conf.dtype],
            trust_remote_code=conf.trust_remote_code,
            **({} if attention is None else {"attn_implementation": attention}),
        )
        self.prepare(network, conf.lora_conf, conf.gradient_checkpointing, conf.trainable)
        self.reuse_prompt = conf.reuse_prompt
        if conf.fast_products and not (conf.trainable or conf.lora_conf):
            speed_up(self.network)
        if encoder_output_size != self.dimension:
            raise UserError(
                f"the adapter gives {encoder_output_size} dimensions and {conf.model} takes "
                f"{self.dimension}: set postencoder: stack_adapter (or conv_adapter), and leave "
                "postencoder_conf.output_size out or set it to that"
            )

    @classmethod
    def from_network(cls, network: Any, tokenizer: Any, name: str) -> "CausalLM":
        """Take a network that is in memory and no file's.

        `name` must tell its weights from any other's: with the configuration, it is all that a
        checkpoint knows it by.
        """
        decoder = cls.__new__(cls)
        AbsDecoder.__init__(decoder)
        known_by = f"{name} {network.config.to_json_string(use_diff=False)}"
        decoder.base = Base(name, hashlib.sha256(known_by.encode()).hexdigest())
        decoder.tokenizer = tokenizer
        decoder.prepare(network)
        return decoder

    def prepare(
        self,
        network: Any,
        lora_conf: dict | None = None,
        gradient_checkpointing: bool = False,
        trainable: bool = False,
    ) -> None:
        """Take over a loaded network: check its table, add LoRA, switch checkpointing on."""
        rows = network.get_input_embeddings().weight.shape[0]
        if len(self.tokenizer) > rows:
            raise UserError(
                f"the tokenizer has {len(self.tokenizer)} tokens and the model {rows} embeddings: "
                "call resize_token_embeddings and save the model again"
            )
        network.requires_grad_(trainable)
        if gradient_checkpointing:
            network.gradient_checkpointing_enable({"use_reentrant": False})
            without_dropout(network)  # it needs training mode, where dropout would act
        self.checkpointed, self.trainable = gradient_checkpointing, trainable
        self.network: Any = with_lora(network, lora_conf) if lora_conf else network
        takes = inspect.signature(network.forward).parameters
        self._counts_positions = "position_ids" in takes
        self._keeps_logits = "logits_to_keep" in takes
        self.reuse_prompt, self._prefixes = True, PrefixCache(self.network)

    @property
    def table(self) -> Tensor:
        """The input embeddings (V, D)."""
        return self.network.get_input_embeddings().weight

    @property
    def dimension(self) -> int:
        """D."""
        return self.table.shape[1]

    @property
    def eos(self) -> int:
        """The token that ends an answer."""
        eos = self.tokenizer.eos_token_id
        if eos is None:
            raise UserError(
                f"the tokenizer of {self.base.name} has no eos_token, so an answer would never "
                "end: set eos_token in its tokenizer_config.json"
            )
        return eos

    def embed(self, ids: Tensor) -> Tensor:
        """Look up (B, L) ids, negative ones as padding, through the model's own layer."""
        return self.network.get_input_embeddings()(ids.clamp(min=0))

    def prefix(self, beginnings: Sequence[tuple[int, ...]], following: int) -> Prefix | None:
        """Return what is remembered of each row's first ids, or None: they must be read again.

        `following` is how many embeddings and tokens may come after them at most.
        """
        if not self.reuse_prompt or self.checkpointed:
            return None
        return self._prefixes.look_up(self.network, beginnings, following)

    def logits(self, inputs: Spliced, last: int, prefix: Prefix | None = None) -> Tensor:
        """Return the logits (B, last, V) of the last positions, in float32."""
        arguments: dict[str, Any] = {
            "inputs_embeds": inputs.x.to(self.table.dtype),
            "attention_mask": _with_prefix(inputs.mask, prefix).long(),
            "use_cache": prefix is not None,
        }
        if prefix is not None:
            arguments[self._prefixes.word] = prefix.cache()
        if self._counts_positions:
            before = 0 if prefix is None else prefix.lengths.unsqueeze(1)
            arguments["position_ids"] = inputs.positions + before
        if self._keeps_logits:  # by number they would be a view, for which matmul copies the table
            length = inputs.x.shape[1]
            arguments["logits_to_keep"] = torch.arange(
                length - last, length, device=inputs.x.device
            )
        return self.network(**arguments).logits[:, -last:].float()

    def generate(
        self,
        inputs: Spliced,
        prefix: Prefix | None = None,
        *,
        max_new_tokens: int,
        num_beams: int = 1,
        joined: Any = None,
    ) -> Tensor:
        """Return the best answers (B, A), from the end of the answer on padded.

        `joined` turns the answers so far (B · beams, A) and the scores of what may follow
        (B · beams, V) into other scores.

        Every option that a model's own generation settings could change is stated: no sampling,
        no penalties. Inputs must be padded on the left.
        """
        from transformers import GenerationConfig

        config = GenerationConfig(
            max_new_tokens=max_new_tokens,
            num_beams=num_beams,
            do_sample=False,
            repetition_penalty=1.0,
            no_repeat_ngram_size=0,
            length_penalty=1.0,
            early_stopping=False,
            eos_token_id=self.eos,
            pad_token_id=self.eos,
            use_cache=True,
        )
        x, remembered = inputs.x.to(self.table.dtype), {}
        if prefix is not None:  # it counts positions from the whole, and cuts off what it has
            x = torch.nn.functional.pad(x, (0, 0, prefix.mask.shape[1], 0))
            remembered[self._prefixes.word] = prefix.cache(num_beams)
        return self.network.generate(
            inputs_embeds=x,
            attention_mask=_with_prefix(inputs.mask, prefix).long(),
            generation_config=config,
            logits_processor=None if joined is None else [joined],
            **remembered,
        )

    def forward(
        self, hs_pad: Tensor, hlens: Tensor, ys_in_pad: Tensor, ys_in_lens: Tensor
    ) -> tuple[Tensor, Tensor]:
        """ESPnet's decoders' call, which has no place for a prompt."""
        raise UserError("decoder: causal_lm works with model: slm alone")


def _with_prefix(mask: Tensor, prefix: Prefix | None) -> Tensor:
    return mask if prefix is None else torch.cat([prefix.mask, mask], 1)


def load_tokenizer(folder: str | Path, trust_remote_code: bool = False) -> Any:
    """Open the tokenizer of a resolved folder."""
    try:
        return import_transformers().AutoTokenizer.from_pretrained(
            str(folder), trust_remote_code=trust_remote_code
        )
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder}: its tokenizer cannot be loaded: {one_line(error)}") from error


def silence_id(tokenizer: Any, given: str | None = None) -> int:
    """Return the token whose embedding stands for silence.

    The pad token, as published; where there is none, the first there is of unknown, begin and end
    of sentence: tokens that no transcript holds.
    """
    if given is not None:
        found = tokenizer.get_vocab().get(given)
        if found is None:
            raise UserError(f"slm_conf.silence_token {given!r} is no token of the language model")
        return found
    for name in ("pad", "unk", "bos", "eos"):
        found = getattr(tokenizer, f"{name}_token_id")
        if found is not None:
            if name != "pad":
                logging.warning(
                    "the tokenizer has no pad token: its %s token %s stands for silence "
                    "(slm_conf.silence_token names another)",
                    *(name, getattr(tokenizer, f"{name}_token")),
                )
            return found
    raise UserError("the tokenizer has no special token: name one in slm_conf.silence_token")


def embedding_size(model: str, trust_remote_code: bool = False) -> int:
    """Look up the dimension of a model's embeddings without loading its weights."""
    folder = resolve(model)
    try:
        config = import_transformers().AutoConfig.from_pretrained(
            str(folder), trust_remote_code=trust_remote_code
        )
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder}: its config.json cannot be read: {one_line(error)}") from error
    config = config.get_text_config()
    return getattr(config, "word_embed_proj_dim", None) or config.hidden_size
