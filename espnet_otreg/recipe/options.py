"""The command line of a recipe: read, checked whole before anything runs, and told to the shell.

A recipe's run.sh gives the facts and passes the user's words on behind `given:`. Facts behind
`real:` count on the user's corpora, those behind `mini:` on the mini ones; those behind `paper:` go
over `real:` for `--protocol paper`. What is given wins, and else the later words.
"""

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from espnet_otreg.errors import UserError
from espnet_otreg.recipe.declared import OPTIONS
from espnet_otreg.recipe.declared_data import AUTO, CORPORA, STAGES, WHOLE, Option
from espnet_otreg.recipe.derived import derive

SECTIONS = ("real:", "paper:", "mini:", "given:")
RESERVED = re.compile(r"(^|\s|=)[@^]|(^|\s)(\+|\+\+|<)(\s|$)")  # words of otreg.sh's own


def main(argv: Sequence[str] | None = None) -> None:
    """Print the options as shell assignments.

    After `which`, print whether they are mini or real; after `value NAME`, one option's value.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        print(_answer(words))
    except UserError as error:
        sys.exit(f"error: {error}")


def _answer(words: list[str]) -> str:
    wants_help = bool({"--help", "-h"} & set(words))
    if words[:1] == ["which"]:
        mini = not wants_help and _decide_mini(_sections(words[1:]), os.environ)
        return "mini" if mini else "real"
    if words[:1] == ["value"]:
        return value_of(words[1], [word for word in words[2:] if word not in ("--help", "-h")])
    if wants_help:
        return f"printf '%s\\n' {shlex.quote(help_text())}; exit 0"
    values = resolve(words, os.environ)
    return assignments({**values, **derive(values, os.environ)})


def value_of(name: str, words: Sequence[str]) -> str:
    """Return an option's value before any is checked against another."""
    parts, default = _sections(words), OPTIONS[name].default
    value = {**parts[""], **_real(parts), **parts["given:"]}.get(name, default)
    _check(OPTIONS[name], value)
    return value


def resolve(words: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return every option's value, checked, and what follows from them."""
    parts = _sections(words)
    mini = _decide_mini(parts, environment)
    facts = parts["mini:"] if mini else _real(parts)
    values = {name: option.default for name, option in OPTIONS.items()}
    values |= {**parts[""], **facts, **parts["given:"], "mini": "true" if mini else "false"}
    for name, value in values.items():
        _check(OPTIONS[name], value)
    values["init_corpora"] = values["init_corpora"] or values["train_corpora"]
    values["results"] = values["results"] or values["expdir"]
    if values["test_split"] == "dev":  # a README and a model card tell of test sets
        values |= {"readme": "", "skip_packing": "true"}
        values["results"] += "" if parts["given:"].get("results") else "/dev"
    _check_together(values)
    _check_models(values)
    return values


def _sections(words: Sequence[str]) -> dict[str, dict[str, str]]:
    parts: dict[str, dict[str, str]] = {"": {}, **{name: {} for name in SECTIONS}}
    section, rest = "", list(words)
    while rest:
        word = rest.pop(0)
        if word in SECTIONS:
            section = word
            continue
        if not word.startswith("--"):
            raise UserError(f"expected --option value, got {word!r} (see --help)")
        name, sign, value = word[2:].partition("=")
        name = name.replace("-", "_")
        if name not in OPTIONS:
            raise UserError(f"unknown option --{name} (see --help)")
        if not sign:
            if name == "plan" and (not rest or rest[0].startswith("--")):
                value = "true"
            elif not rest:
                raise UserError(f"option --{name} needs a value")
            else:
                value = rest.pop(0)
        parts[section][name] = value
    return parts


def _real(parts: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Facts for the user's corpora, by the protocol that is asked for."""
    if {**parts[""], **parts["given:"]}.get("protocol") != "paper":
        return dict(parts["real:"])
    if not parts["paper:"]:
        raise UserError("--protocol paper: this recipe has none, run_slm.sh of covost2_otreg has")
    for name in ("train_corpora", "test_corpora"):
        if name in parts["given:"]:
            raise UserError(
                f"--protocol paper says what is trained and tested on: leave --{name} out, or the "
                "protocol"
            )
    return {**parts["real:"], **parts["paper:"]}


def _decide_mini(parts: Mapping[str, Mapping[str, str]], environment: Mapping[str, str]) -> bool:
    """Say whether mini corpora are used; where only some corpora have a path, nobody can say."""
    chosen = {**parts[""], **parts["given:"]}.get("mini", AUTO)
    _check(OPTIONS["mini"], chosen)
    if chosen == "true":
        return True
    values = {**parts[""], **_real(parts), **parts["given:"]}
    if values.get("protocol") == "paper":
        chosen = "false" if chosen == AUTO else chosen
    names = " ".join(values.get(f"{use}_corpora", "") for use in ("init", "train", "test"))
    asked = [name for name in dict.fromkeys(names.split()) if name in CORPORA]
    present = [name for name in asked if environment.get(CORPORA[name])]
    absent = [name for name in asked if name not in present]
    if absent and (present or chosen == "false"):
        variables = " ".join(CORPORA[name] for name in absent)
        raise UserError(
            f"db.sh has no path for {' '.join(absent)}"
            + (f", though for {' '.join(present)}" if present else "")
            + f": set {variables} there, leave the corpus out, or give --mini true for mini "
            "corpora in place of all"
        )
    return bool(absent) and chosen == AUTO


def _check(option: Option, value: str) -> None:
    """Refuse a value that its option cannot take."""

    def wrong(expected: str) -> UserError:
        return UserError(f"--{option.name} {value!r}: expected {expected}")

    words = value.split()
    if option.needed and not words:
        raise UserError(f"--{option.name} is not set: run a recipe's run.sh, or give it")
    if RESERVED.search(value) or "\n" in value:
        raise wrong("no word that begins with @ or ^, is +, ++ or <, and no line break")
    if not value or value in option.choices:
        if option.kind in ("choice", "stage", "count", "count0") and not value:
            raise wrong("a value")
        return
    kind = option.kind
    if kind == "choice":
        raise wrong(" or ".join(option.choices))
    if kind == "choices" and (unknown := [word for word in words if word not in option.choices]):
        raise wrong(f"one or more of {' '.join(option.choices)}; {unknown[0]} is none of them")
    if kind == "stage" and not (value.isdecimal() and int(value) <= max(STAGES)):
        raise wrong(f"a stage from 0 to {max(STAGES)}")
    if kind in ("count", "count0") and not (value.isdecimal() and int(value) >= (kind == "count")):
        least = "1 or more" if kind == "count" else "0 or more"
        raise wrong(" or ".join(["a whole number, " + least, *option.choices]))
    if kind in ("number", "numbers") and not all(_is_number(word) for word in words):
        raise wrong("a number that is not negative" + (", or several" if kind == "numbers" else ""))
    if kind == "seeds" and not all(word.isdecimal() for word in words):
        raise wrong("whole numbers, with a space between them")
    if kind in ("words", "seeds", "numbers") and len(set(words)) < len(words):
        raise wrong("no value twice")
    if kind == "word" and len(words) > 1:
        raise wrong("one word")
    if kind == "configs":
        for path in words:
            if not Path(path).is_file():
                raise UserError(f"--{option.name}: config {path} does not exist (in {Path.cwd()})")


def _is_number(text: str) -> bool:
    try:
        return 0 <= float(text) < float("inf")
    except ValueError:
        return False


def _check_together(values: Mapping[str, str]) -> None:
    """Refuse options that contradict each other."""

    def given(name: str) -> str:
        return f"--{name} {values[name]}"

    systems = values["asr_config"].split()
    slm = values["token_type"] == "slm"
    names = values["names"].split(";") if values["names"] else systems
    if int(values["stop_stage"]) < int(values["stage"]):
        raise UserError(f"{given('stop_stage')} is before {given('stage')}: nothing would run")
    if values["test_split"] == "dev" and "drop" in (values["overlap"], values["sentence_overlap"]):
        raise UserError(
            "--test_split dev with drop: training would lose what dev sets have, not what test "
            "sets have; leave --overlap and --sentence_overlap out, or set them to allow"
        )
    whole = WHOLE.keys() - f"{values['init_corpora']} {values['train_corpora']}".split()
    tuned = values["test_corpora"].split() if values["test_split"] == "dev" else ()
    for name in whole & set(tuned):
        raise UserError(
            f"--test_split dev: {name}_dev is in the test set {name}_{WHOLE[name]}: leave it out"
        )
    if values["stock_config"] and not (slm and values["cache_frames"] == "true"):
        raise UserError(
            "--stock_config needs --token_type slm and --cache_frames true: stock ESPnet reads "
            "frames"
        )
    if values["answer"] != "text":
        if not slm:
            raise UserError(
                f"{given('answer')} needs --token_type slm: only a speech language model translates"
            )
        if not re.fullmatch(r"text\.[a-z]{2,3}(-[A-Za-z]+)?", values["answer"]):
            raise UserError(f"{given('answer')}: expected text, or text.en for English answers")
    if len(names) != len(systems):
        raise UserError(
            f"--names names {len(names)} systems ({values['names']}) and --asr_config "
            f"{len(systems)}: give one name each, ';' between them"
        )
    stems = [Path(config).stem for config in systems]
    for what, several in (("--names", names), ("--asr_config", stems)):
        twice = [one for one in several if several.count(one) > 1]
        if twice:
            raise UserError(
                f"{what}: {twice[0]} is there twice; systems and their folders are called by it, "
                "so rename one"
            )
    if values["inference_method"] == "beam" and not values["inference_config"] and systems:
        raise UserError("--inference_method beam needs --inference_config, a decoding YAML")
    if values["pack_seed"] and values["pack_seed"] not in values["seeds"].split():
        raise UserError(f"{given('pack_seed')} is none of --seeds ({values['seeds']})")
    for config in values["pack_systems"].split():
        if config not in (*systems, "all"):
            raise UserError(
                f"--pack_systems: {config} is none of --asr_config ({values['asr_config']})"
            )


def _check_models(values: Mapping[str, str]) -> None:
    """Refuse pretrained models that are not named, or of which more is asked than they have."""
    slm = values["token_type"] == "slm"
    if values["token_type"] in ("lm", "slm") and not values["language_model"]:
        raise UserError(
            f"--token_type {values['token_type']} needs --language_model, a folder or hub name"
            + ("" if values["mini"] == "false" else ", or mini")
        )
    if values["language_model"] == "mini" and values["mini"] == "false":
        raise UserError(
            "--language_model mini knows the mini corpora alone: give a folder or hub name of a "
            "language model for your data"
        )
    if values["lm_seed"] != "0" and values["language_model"] != "mini":
        raise UserError(
            f"--lm_seed {values['lm_seed']} makes another mini language model, and "
            f"--language_model is {values['language_model'] or 'none'}: leave it out, or give "
            "--language_model mini"
        )
    encoder = values["speech_encoder"]
    if (slm or encoder) and values["feats_normalize"] == "global_mvn":
        whom = "--token_type slm" if slm else "--speech_encoder"
        raise UserError(
            f"--feats_normalize global_mvn means nothing for {whom}: its encoder comes trained "
            "and normalises as it was trained"
        )
    if not encoder and (slm or values["cache_frames"] == "true"):
        whom = "--token_type slm" if slm else "--cache_frames true"
        raise UserError(f"{whom} needs --speech_encoder, a folder or hub name")


def assignments(values: Mapping[str, str | list[str]]) -> str:
    """Write values as assignments of the shell; the names are ours, the values are quoted."""
    lines = []
    for name, value in values.items():
        quoted = shlex.quote(value) if isinstance(value, str) else f"({shlex.join(value)})"
        lines.append(f"{name}={quoted}")
    return "\n".join(lines)


def help_text() -> str:
    """List stages and options."""
    lines = ["Usage: ./run.sh [--option value ...]   (stages as in ESPnet's asr.sh)"]
    lines.append("  " + "  ".join(f"{number} {name}" for number, name in STAGES.items()))
    group = ""
    for option in OPTIONS.values():
        if option.group != group:
            group = option.group
            lines += ["", group]
        choices = f" ({', '.join(option.choices)})" if option.choices else ""
        default = f" [{option.default}]" if option.default else ""
        lines.append(f"  --{option.name} {option.help}{choices}{default}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
