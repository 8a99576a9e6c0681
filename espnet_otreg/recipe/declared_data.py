"""What the options of recipes are made of, and those of data: corpora, languages, tokens."""

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
        *("covost2", "fleurs", "mls", "librispeech", "commonvoice", "aishell", "table"),
        *("natural", "prompts", "fillets", "graded0", "graded1", "graded2", "broad"),
    )
}
NO_MINI = ("aishell", "table", "natural", "prompts", "fillets")  # no mini corpus stands for these
WHOLE = {"prompts": "all3"}  # the split to test on where a model has not trained on the corpus
AUTO = "auto"
BOOL = ("true", "false")


class Option(NamedTuple):
    """One option: `--name value`."""

    name: str
    default: str
    help: str
    kind: str = "text"  # text, word, words, choice, choices, stage, count, number, configs
    choices: tuple[str, ...] = ()  # of choice and choices; for count and number: further words
    needed: bool = False  # may not be empty
    group: str = ""


def flag(name: str, default: str, help: str) -> Option:
    """Declare an option that is true or false."""
    return Option(name, default, help, "choice", BOOL)


def corpora(name: str, help: str, needed: bool = True) -> Option:
    """Declare an option that names corpora."""
    return Option(name, "", help, "choices", tuple(CORPORA), needed)


DATA: dict[str, tuple[Option, ...]] = {
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
            "corpus_langs",
            "",
            'languages of single corpora, where fewer than --langs, such as "mls:es,fr"',
            "words",
        ),
        Option(
            "mini",
            AUTO,
            "make and use mini corpora; auto: when db.sh has a path for none of the corpora",
            "choice",
            (*BOOL, AUTO),
        ),
        Option(
            "mini_size",
            "mini",
            "of the mini corpora; wide: as mini, tests five times as large; tune: dev sets; "
            "little, more: a quarter of the graded training sets, three times them",
            "choice",
            ("smoke", "mini", "wide", "tune", "little", "more", "large"),
        ),
        Option(
            "protocol",
            "recipe",
            "paper: train and test on what the source paper does, where a recipe has that",
            "choice",
            ("recipe", "paper"),
        ),
        corpora("train_corpora", "what the compared systems train on"),
        corpora("init_corpora", "what the common checkpoint trains on [train_corpora]", False),
        corpora("test_corpora", "what is tested on; what is not trained on is cross-domain"),
        Option(
            "test_split",
            "test",
            "dev: score dev sets in place of test sets, to tune on; tables go to .../dev, nothing "
            "is packed or uploaded, and --readme is left alone",
            "choice",
            ("test", "dev"),
        ),
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
        flag(
            "allow_missing",
            "false",
            "let test sets need pieces that no training text has; they become <unk>",
        ),
        Option(
            "language_model",
            "",
            "for lm and slm: a folder or hub name; mini: one is made of mini text",
        ),
        Option("lm_seed", "0", "of a mini language model: another one by another seed", "count0"),
        Option(
            "feats_normalize",
            "utterance_mvn",
            "global_mvn costs a pass over all audio",
            "choice",
            ("utterance_mvn", "global_mvn", "none"),
        ),
    ),
}
