"""What follows from the options: sets, roots and rows that otreg.sh writes its steps with.

Strings become variables of the shell, lists arrays. In the former, words are separated by spaces,
and a * stands for the name of a set.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from espnet_otreg.errors import UserError
from espnet_otreg.recipe.declared_data import CORPORA, NO_MINI, WHOLE
from espnet_otreg.recipe.encoders import frames_words, model_words
from espnet_otreg.recipe.machine import shares

MINI = {"base": "read covost2 fleurs", "graded": "graded0 graded1 graded2"}
OWN_FOLDER = ("broad", "librispeech", "commonvoice")  # mini corpora that are made apart

Values = Mapping[str, str]
Derived = dict[str, str | list[str]]


def derive(values: Values, environment: Mapping[str, str]) -> Derived:
    """Return everything that the stages need besides the options."""
    return {
        **shares(values, environment),
        **_sets(values),
        **_roots(values, environment),
        **_languages(values),
        **_tokens(values),
        **_training(values),
        **_decoding(values),
        **_systems(values),
    }


def _sets(values: Values) -> Derived:
    init, train, test = (values[f"{use}_corpora"].split() for use in ("init", "train", "test"))
    names = {
        "init_set": f"{'_'.join(init)}_train",
        "init_valid_set": f"{'_'.join(init)}_dev",
        "train_set": f"{'_'.join(train)}_train",
        "valid_set": f"{'_'.join(train)}_dev",
    }
    trained = [*init, *train]
    every = [f"{corpus}_{split}" for corpus in _once(trained) for split in ("train", "dev")]
    tested = _tested(values)
    every += tested.values()
    apart = ("init_set", "train_set") if values["test_split"] == "dev" else tuple(names)
    dropping = "drop" in (values["overlap"], values["sentence_overlap"])
    domains = {
        "--in_domain": [tested[corpus] for corpus in test if corpus in train],
        "--cross_domain": [tested[corpus] for corpus in test if corpus not in train],
    }
    return {
        **names,
        "all_sets": " ".join(_once(every)),
        "training_sets": " ".join(_once(names.values())),
        # which nothing that is tested may be in
        "kept_apart": " ".join(_once(names[use] for use in apart)),
        "frame_sets": " ".join(_once([*names.values(), *tested.values()])),
        "train_sets": " ".join(_once([names["init_set"], names["train_set"]])),
        "valid_sets": " ".join(_once([names["init_valid_set"], names["valid_set"]])),
        "test_sets": " ".join(tested.values()),
        "other_speeds": " ".join(
            speed for speed in values["speed_perturb_factors"].split() if float(speed) != 1
        ),
        "data_of": "@overlap/*" if dropping else "@filter:*",
        "domains": " ".join(
            f"{option} {' '.join(sets)}" for option, sets in domains.items() if sets
        ),
    }


def _tested(values: Values) -> dict[str, str]:
    """Name the test set of each test corpus: all of it, where it has such a split and is new."""
    if values["test_split"] == "dev":
        return {corpus: f"{corpus}_dev" for corpus in values["test_corpora"].split()}
    trained = f"{values['init_corpora']} {values['train_corpora']}".split()
    return {
        corpus: f"{corpus}_{'test' if corpus in trained else WHOLE.get(corpus, 'test')}"
        for corpus in values["test_corpora"].split()
    }


def _roots(values: Values, environment: Mapping[str, str]) -> dict[str, str]:
    """Say where each corpus lies: in db.sh, or in what stage 0 makes."""
    asked = _once(" ".join(values[f"{use}_corpora"] for use in ("init", "train", "test")).split())
    times = "--word_times @times" if values["timed_by"] else ""
    if values["mini"] == "false":
        roots = {f"root_{name}": f"^^{environment[CORPORA[name]]}" for name in asked}
        return {**roots, "mini_kinds": "", "word_times": times, "kind_of_data": ""}
    roots, kinds = {}, []
    for name in asked:
        if name in NO_MINI:
            raise UserError(
                f"no mini corpus stands for {name}: set {CORPORA[name]} in db.sh, or leave it out"
            )
        kind = "graded" if name.startswith("graded") else name if name in OWN_FOLDER else "base"
        kinds.append(kind)
        within = "" if name in ("covost2", "librispeech", "commonvoice") else f"/{name}"
        roots[f"root_{name}"] = f"@mini:{kind}{within}"
    times = "graded" if "graded" in kinds else kinds[0]
    made = {f"mini_{kind}": MINI.get(kind, kind) for kind in kinds}
    return {
        **roots,
        **made,
        "mini_kinds": " ".join(_once(kinds)),
        "word_times": f"--word_times @mini:{times}/word_times.jsonl",
        "kind_of_data": "mini ",
    }


def _languages(values: Values) -> dict[str, str]:
    """Say which languages each corpus is read in."""
    asked = _once(" ".join(values[f"{use}_corpora"] for use in ("init", "train", "test")).split())
    found = dict.fromkeys(asked, values["langs"])
    for word in values["corpus_langs"].split():
        name, colon, chosen = word.partition(":")
        languages = [language for language in chosen.split(",") if language]
        if not colon or name not in asked or not languages:
            raise UserError(
                f"--corpus_langs {word!r}: expected a corpus of this recipe ({' '.join(asked)}), a "
                "colon and its languages, such as mls:es,fr"
            )
        strange = set(languages) - set(values["langs"].split())
        if strange and values["langs"] != "all":
            raise UserError(
                f"--corpus_langs {word!r}: {' '.join(sorted(strange))} is none of --langs "
                f"({values['langs']})"
            )
        found[name] = " ".join(languages)
    return {f"langs_{name}": languages for name, languages in found.items()}


def _tokens(values: Values) -> dict[str, str]:
    kind, answer = values["token_type"], values["answer"]
    data = _sets(values)["data_of"]
    found = {
        "token_options": "--token_type word --token_list @tokens/tokens.txt",
        "text_of": "@tokens/*/text",
        "lm": f"^{values['language_model']}",
        "lm_command": "",
        "lm_size": "smoke" if values["mini_size"] == "smoke" else "mini",
        "lm_name": "lm",
        "lm_languages": "",
    }
    if kind in ("bpe", "char"):
        found["text_of"] = f"{data}/text"
        found["token_options"] = f"--token_type {kind} --token_list @tokens/tokens.txt"
        if kind == "bpe":
            found["token_options"] += " --bpemodel @tokens/bpe.model"
    if values["language_model"] == "mini":
        found |= {"lm": "@lm", "lm_command": "make_mini_lm"}
        if kind == "slm":
            found |= {"lm_command": "make_mini_llm", "lm_languages": values["langs"]}
            found["lm_name"] = "llm"
            if answer != "text":
                if found["lm_size"] == "mini":
                    found["lm_size"] = "translator"
                found["lm_name"] = "translator"
                found["lm_languages"] += f" {answer.removeprefix('text.')}"
        if values["lm_seed"] != "0":
            found["lm_command"] += f" --seed {values['lm_seed']}"
    return found


def _training(values: Values) -> Derived:
    """Say what trainings read of their sets, and which options the stages decide."""
    sets, tokens = _sets(values), _tokens(values)
    data, slm = str(sets["data_of"]), values["token_type"] == "slm"
    speech = f"{data}/wav.scp,speech,sound"
    if values["cache_frames"] == "true":
        speech = "@frames:*/feats.scp,speech,npy"
    sources = [speech, f"{tokens['text_of']},text,text"]
    if slm:
        sources.append("@tokens/*/language,language,text_int")
    if slm and values["answer"] != "text":
        sources.append("@tokens/*/transcript,transcript,text_int")
    init, train = (
        [str(sets[f"{n}_set"]) for n in names]
        for names in (("init", "init_valid"), ("train", "valid"))
    )
    words = tokens["token_options"].split()
    pretrained = Path(values["init_config"]), values["speech_encoder"]
    if values["speech_encoder"]:
        words += model_words(*pretrained)
    if slm:
        words += ["--decoder_conf", f"model={tokens['lm']}"]
    return {
        # an encoder that comes trained knows how it wants its input
        "feats_normalize": "none" if values["speech_encoder"] else values["feats_normalize"],
        "model_words": words,
        "encoder_words": frames_words(*pretrained) if values["speech_encoder"] else [],
        "reads_init": _reads(init, sources),
        "reads_train": _reads(train, sources),
        "reads_taught": _reads(train, [*sources, "@features:*/feats.scp,text_features,npy"]),
        "reads_stock": _reads(train, [speech, f"{data}/text,text,text"]),
    }


def _reads(sets: Sequence[str], sources: Iterable[str]) -> list[str]:
    """Write sources and shapes of a set for training and one for validation as ESPnet's options."""
    words = []
    for use, name in zip(("train", "valid"), sets, strict=True):
        for source in sources:
            words += [f"--{use}_data_path_and_name_and_type", source.replace("*", name)]
        for what in ("speech", "text"):
            words += [f"--{use}_shape_file", f"@shapes:{name}/{what}_shape"]
    return words


def _decoding(values: Values) -> Derived:
    """Say how systems are decoded, and what tables are told of it."""
    sets, known = list(_tested(values).values()), _sets(values)
    trained = str(known["training_sets"]).split()  # a dev set is read as trainings read it
    read_by = []
    if values["inference_method"] == "beam":
        read_by += ["--config", f"^{values['inference_config']}"]
    if values["token_type"] == "lm":
        read_by += ["--lm", _tokens(values)["lm"]]
    frames = ["--features", *(f"@frames:{name}" for name in sets)]
    page = f"{values['results'] or values['expdir']}/TRANSLATION.md"
    return {
        "split_tag": "_dev" if values["test_split"] == "dev" else "",
        "tested": [
            str(known["data_of"]).replace("*", name) if name in trained else f"@org:{name}"
            for name in sets
        ],
        "how": [
            *("--method", values["inference_method"]),
            *("--model_file", values["inference_asr_model"]),
        ],
        "read_by": read_by,
        "frames": frames if values["cache_frames"] == "true" else [],
        "pack_table": ["--results", "@results"]
        if values["answer"] == "text"
        else ["--results_page", page],
    }


def _systems(values: Values) -> Derived:
    configs = values["asr_config"].split()
    stems = [Path(config).stem for config in configs]
    shown = values["names"].split(";") if values["names"] else stems
    init, train = (values[f"{use}_corpora"].replace(" ", "+") for use in ("init", "train"))
    trained_on = [train] * len(configs) + [init]
    if values["encoder_row"]:
        trained_on.append("elsewhere" if values["encoder_row"] == "own" else init)
    trained_on += [train] if values["stock_config"] else []
    trained_on += [init] if values["warm_config"] and values["answer"] == "text" else []
    chosen = values["pack_systems"].split() or configs[1:] or configs
    chosen = configs if chosen == ["all"] else chosen
    init_seeds = values["init_seeds"].split() or ["0"]
    starts = ["init", *(f"init_seed{seed}" for seed in init_seeds[1:])]
    arms = [(start, seed) for start in starts for seed in values["seeds"].split()]
    tags = [f"{start}:seed{seed}".removeprefix("init:") for start, seed in arms]
    rescored = bool(configs) and values["rescore"] == "true"
    if rescored and (values["token_type"] != "lm" or values["cache_frames"] == "true"):
        raise UserError(
            "--rescore true needs --token_type lm, whose masked language model chooses among "
            "sentences, and --cache_frames false, as sentences are found in audio"
        )
    trained_on += [train] if rescored else []
    packed = [str(place) for place, config in enumerate(configs) if config in chosen]
    return {
        "stems": stems,
        "starts": starts,
        # the config's own seed, 0, is not said: the checkpoint is the one of before this option
        "start_words": ["" if seed == "0" else f"--seed {seed}" for seed in init_seeds],
        # of each arm of a system the checkpoint, and what the arm is called by
        "start_of": [start for start, _ in arms],
        "tags": tags,
        "rescored": tags if rescored else [],
        "shown": shown,
        "names_shown": "; ".join(shown),  # a name may hold a comma
        "trained_on": " ".join(trained_on),
        "packed": "" if values["skip_packing"] == "true" else " ".join(packed),
        "pack_seed": values["pack_seed"] or values["seeds"].split()[0],
    }


def _once(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))
