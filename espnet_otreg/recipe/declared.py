"""Every option of the recipes, declared once: for the command line, `--help` and docs/OPTIONS.md.

To add one: a line here, and its use in egs2/TEMPLATE/otreg.sh, which gets it as a variable of the
same name.
"""

from typing import NamedTuple

STAGES = {
    0: "mini corpora",
    1: "data",
    2: "speed perturbation",
    3: "format",
    4: "filter",
    5: "tokens",
    10: "shapes",
    11: "train",
    12: "decode",
    13: "score and compare",
    14: "pack",
    15: "upload",
}
CORPORA = {  # name -> variable of db.sh
    name: name.upper()
    for name in (
        *("covost2", "fleurs", "mls", "librispeech", "commonvoice", "aishell"),
        *("natural", "prompts", "fillets", "graded0", "graded1", "graded2", "broad"),
    )
}
NO_MINI = ("aishell", "natural", "prompts", "fillets")  # no mini corpus stands for these
WHOLE = {"prompts": "all3"}  # the split to test on where a model has not trained on the corpus
AUTO = "auto"
BOOL = ("true", "false")
NORMALISERS = ("basic", "whisper_english", "whisper_basic", "none")


class Option(NamedTuple):
    """One option: `--name value`."""

    name: str
    default: str
    help: str
    kind: str = "text"  # text, word, words, choice, choices, stage, count, number, configs
    choices: tuple[str, ...] = ()  # of choice and choices; for count and number: further words
    needed: bool = False  # may not be empty
    group: str = ""


def _flag(name: str, default: str, help: str) -> Option:
    return Option(name, default, help, "choice", BOOL)


def _corpora(name: str, help: str, needed: bool = True) -> Option:
    return Option(name, "", help, "choices", tuple(CORPORA), needed)


_GROUPS: dict[str, tuple[Option, ...]] = {
    "General": (
        Option("stage", "0", "first stage to run", "stage"),
        Option("stop_stage", "15", "last stage to run", "stage"),
        Option(
            "plan",
            "false",
            "true: print every step and why it would run, and run nothing; a file: list config, "
            "seed and folder of each training there",
            needed=True,
        ),
        Option("show", "", "print the folder of this step, such as train:init, and run nothing"),
        Option("ngpu", AUTO, "GPUs per training; auto: all there, or given", "count0", (AUTO,)),
        Option("num_nodes", "1", "machines per training, each with --ngpu GPUs", "count"),
        Option("nj", AUTO, "processes for data preparation; auto: one per core", "count", (AUTO,)),
        Option(
            "inference_nj", AUTO, "processes for decoding; auto: one per core", "count", (AUTO,)
        ),
        Option("gpu_inference", AUTO, "decode on the GPU", "choice", (*BOOL, AUTO)),
        Option(
            "train_nj",
            AUTO,
            "trainings at a time; auto: one on a GPU, two on more CPU cores, in a queue all",
            "count",
            (AUTO,),
        ),
        Option("dumpdir", "dump", "formatted audio", needed=True),
        Option("expdir", "exp", "trained models and results", needed=True),
    ),
    "Data": (
        Option(
            "langs",
            "en es fr",
            "languages, trained together, of which a corpus may lack some; all: those present",
            "words",
            needed=True,
        ),
        Option(
            "mini",
            AUTO,
            "make and use mini corpora; auto: when db.sh has a path for none of the corpora",
            "choice",
            (*BOOL, AUTO),
        ),
        Option(
            "mini_size", "mini", "size of the mini corpora", "choice", ("smoke", "mini", "large")
        ),
        _corpora("train_corpora", "what the compared systems train on"),
        _corpora("init_corpora", "what the common checkpoint trains on [train_corpora]", False),
        _corpora("test_corpora", "what is tested on; what is not trained on is cross-domain"),
        Option(
            "overlap",
            "error",
            "clips or speakers of a test set in training: stop, drop them there, or allow",
            "choice",
            ("error", "drop", "allow"),
        ),
        Option(
            "sentence_overlap",
            "allow",
            "sentences of a test set in training, which are counted: stop, drop, or allow",
            "choice",
            ("error", "drop", "allow"),
        ),
        Option(
            "max_rejected",
            "0.1",
            "share of unusable utterances from which on a language's split is refused",
            "number",
        ),
        Option("audio_format", "flac", "of the formatted audio", "choice", ("flac", "wav")),
        Option("fs", "16000", "sampling rate, 16000 or 16k", "word", needed=True),
        Option("speed_perturb_factors", "", 'such as "0.9 1.0 1.1"', "numbers"),
        Option(
            "min_wav_duration",
            "0.1",
            "seconds; shorter training utterances are dropped and listed",
            "number",
        ),
        Option(
            "max_wav_duration",
            "20",
            "seconds; longer training utterances are dropped and listed",
            "number",
        ),
        Option(
            "frames_per_second",
            "20",
            "encoder frames; an utterance with more tokens than frames is dropped",
            "number",
        ),
    ),
    "Tokens": (
        Option(
            "token_type",
            "bpe",
            "lm: pieces of a masked language model, slm: of a causal one",
            "choice",
            ("bpe", "char", "lm", "slm"),
        ),
        Option("nbpe", "300", "pieces of token type bpe", "count"),
        Option("bpemode", "unigram", "of sentencepiece", "choice", ("unigram", "bpe")),
        _flag(
            "allow_missing",
            "false",
            "let test sets need pieces that no training text has; they become <unk>",
        ),
        Option(
            "language_model",
            "",
            "for lm and slm: a folder or hub name; mini: one is made of mini text",
        ),
        Option(
            "feats_normalize",
            "utterance_mvn",
            "global_mvn costs a pass over all audio",
            "choice",
            ("utterance_mvn", "global_mvn", "none"),
        ),
    ),
    "Speech language model (token_type slm)": (
        Option("speech_encoder", "", "folder or hub name of the frozen encoder [the config's]"),
        _flag(
            "cache_frames",
            "false",
            "compute the frozen encoder's frames once; they are read instead of audio",
        ),
        Option("answer", "text", "what the model answers: text, or text.en for English", "word"),
        Option(
            "translations",
            "raw",
            "raw: as delivered; lower: lower case, no punctuation",
            "choice",
            ("raw", "lower"),
        ),
        Option(
            "stock_config",
            "",
            "stock ESPnet's own speech language model, trained beside: a row in the table",
            "configs",
        ),
        Option(
            "encoder_row",
            "",
            "folder of the plain encoder's decoding, exp/x/decode_y: a row in the table",
        ),
        Option(
            "probe_layers", "", "layers of a trained encoder to probe for voice and rate", "words"
        ),
    ),
    "Models: all start from one checkpoint, with the same updates, seeds and data order": (
        Option(
            "init_config",
            "",
            "phase 1: stock training that every system starts from",
            "configs",
            needed=True,
        ),
        Option(
            "asr_config",
            "",
            "phase 2: configs of the systems, the baseline first; none: phase 1 alone",
            "configs",
        ),
        Option("asr_args", "", 'further arguments of every training, such as "--max_epoch 2"'),
        Option("seeds", "1", "phase 2 is run once per seed", "seeds", needed=True),
        Option(
            "inference_method",
            "beam",
            "beam: stock ESPnet's joint search; ctc_greedy: CTC alone, no search; slm",
            "choice",
            ("beam", "ctc_greedy", "slm"),
        ),
        Option("inference_config", "", "of the beam search", "configs"),
        Option(
            "inference_asr_model", "valid.acc.ave.pth", "file of the model", "word", needed=True
        ),
        Option("inference_args", "", "further arguments of every decoding"),
    ),
    "Scoring": (
        Option(
            "normaliser",
            "basic",
            "applied to references and hypotheses alike, named in the results",
            "choice",
            NORMALISERS,
        ),
        Option(
            "normalisers",
            "",
            "several, or all: a table of what each makes of the same hypotheses",
            "choices",
            (*NORMALISERS, "all"),
        ),
        Option(
            "metric",
            AUTO,
            "auto: words, but characters for languages without spaces; cer",
            "choice",
            (AUTO, "cer"),
        ),
        Option("names", "", "the systems' names in tables, ';' between them [config names]"),
        Option("results", "", "folder for tables [expdir]"),
        Option(
            "frame_seconds",
            "",
            "of the encoder; with token_type lm and mini corpora, measures alignments too",
            "number",
        ),
        Option("readme", "", "a README whose table between the results markers is replaced"),
        _flag(
            "report",
            "true",
            "a page with tables, figures and every utterance, in the results folder",
        ),
        Option("pictures", "4", "utterances of each test set whose alignment is drawn", "count0"),
    ),
    "Packing and upload": (
        _flag("skip_packing", "false", "true: no stage 14"),
        _flag(
            "skip_upload",
            "false",
            "true: no stage 15, which uploads nothing without --hf_repo either",
        ),
        Option("hf_repo", "", "user/name on the hub; several models: user/name-CONFIG", "word"),
        Option(
            "pack_systems",
            "",
            "which of --asr_config's models, or all [all but the baseline]",
            "words",
        ),
        Option("pack_seed", "", "the seed whose model is packed [the first]", "word"),
        Option("pack_args", "", 'further arguments of packing, such as "--include_base"'),
    ),
}
OPTIONS: dict[str, Option] = {
    option.name: option._replace(group=group)
    for group, options in _GROUPS.items()
    for option in options
}
