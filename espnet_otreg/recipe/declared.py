"""Every option of the recipes, declared once: for the command line, `--help` and docs/OPTIONS.md.

To add one: a line here or in declared_data.py, and its use in egs2/TEMPLATE/otreg.sh, which gets it
as a variable of the same name.
"""

from espnet_otreg.recipe.declared_data import AUTO, DATA, Option, flag

NORMALISERS = ("basic", "whisper_english", "whisper_basic", "open_asr", "none")

MODELS: dict[str, tuple[Option, ...]] = {
    "Pretrained speech encoder (encoder or frontend hf_speech, encoder espnet_speech)": (
        Option("speech_encoder", "", "folder or hub name; a speech language model needs one"),
        flag(
            "cache_frames",
            "false",
            "compute the frozen encoder's frames once; they are read instead of audio",
        ),
    ),
    "Speech language model (token_type slm)": (
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
            "a row in the table: folder of the plain encoder's decoding, exp/x/decode_y; own: of a "
            "Whisper's own decoder, as it came",
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
            "warm_config",
            "",
            "phase 0: training that the common checkpoint starts from [from nothing]",
            "configs",
        ),
        Option(
            "asr_config",
            "",
            "phase 2: configs of the systems, the baseline first; none: phase 1 alone",
            "configs",
        ),
        Option("asr_args", "", 'further arguments of every training, such as "--max_epoch 2"'),
        Option("init_seeds", "", "phase 1 is run once per seed [the config's: 0]", "seeds"),
        Option("seeds", "1", "phase 2 is run once per seed, and phase 1's", "seeds", needed=True),
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
            "of the encoder; with token_type lm and word times, measures alignments too",
            "number",
        ),
        Option(
            "timed_by",
            "",
            "folder or hub name of a Whisper that tells word times; mini corpora know theirs",
        ),
        Option("readme", "", "a README whose table between the results markers is replaced"),
        flag(
            "report",
            "true",
            "a page with tables, figures and every utterance, in the results folder",
        ),
        flag(
            "rescore",
            "false",
            "with token_type lm: a row of the baseline whose best sentences the teacher chooses "
            "among",
        ),
        Option("pictures", "4", "utterances of each test set whose alignment is drawn", "count0"),
    ),
    "Packing and upload": (
        flag("skip_packing", "false", "true: no stage 14"),
        flag(
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
    for group, options in {**DATA, **MODELS}.items()
    for option in options
}
