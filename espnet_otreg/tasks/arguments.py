"""What ESPnet stumbles over later, refused before a model is built or data are read.

Its parser checks what stands on the command line; what a YAML file holds passes unchecked.
"""

import argparse
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from espnet2.tasks.abs_task import optim_classes, scheduler_classes

from espnet_otreg.errors import UserError

_AT_LEAST_ONE = ("batch_size", "valid_batch_size", "batch_bins", "valid_batch_bins", "accum_grad",
                 "max_epoch", "keep_nbest_models")  # fmt: skip
_CRITERIA = ("best_model_criterion", "early_stopping_criterion")
_DTYPES = ("float16", "float32", "float64", "bfloat16")


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Raise a UserError that names the option, what it holds, and what it may hold."""
    choices = {each.dest: list(each.choices) for each in parser._actions if each.choices}
    choices["optim"] = list(optim_classes)
    choices["scheduler"] = [name for name in scheduler_classes if name is not None]
    choices["train_dtype"] = list(_DTYPES)
    for name, value in vars(args).items():
        known = choices.get(name)
        if known and isinstance(value, str) and value not in known:
            raise UserError(f"{name} must be one of {', '.join(map(str, known))}; got {value}")
        absent = value is None and name == "joint_net_conf"  # ESPnet's own default
        if name.endswith("_conf") and not isinstance(value, Mapping) and not absent:
            raise UserError(f"{name} must be a mapping of options, got {value!r}")
    _check_numbers(args)
    for name in _CRITERIA:
        rows = getattr(args, name)
        for row in rows if name == "best_model_criterion" else [rows]:
            if len(row) != 3 or row[2] not in ("min", "max"):
                raise UserError(
                    f"{name} must hold a phase, a figure and min or max, such as "
                    f"valid, loss, min; got {list(row)}"
                )
    _check_files(args)


def _check_numbers(args: argparse.Namespace) -> None:
    for name in _AT_LEAST_ONE:
        given = getattr(args, name, None)
        for value in given if isinstance(given, list | tuple) else [given]:
            if value is not None and value < 1:
                raise UserError(f"{name} must be 1 or more, got {value}")
    weight = args.model_conf.get("ctc_weight", 0.5)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= 1:
        raise UserError(f"model_conf.ctc_weight must be a number from 0 to 1, got {weight!r}")


def _check_files(args: argparse.Namespace) -> None:
    for name, path in _files(args):
        if not Path(path).exists():
            raise UserError(f"{name} names {path}, which does not exist")
    for given in args.init_param:
        path = given.split(":")[0]
        if Path(path).is_file() and not zipfile.is_zipfile(path):
            raise UserError(
                f"init_param names {path}, which holds no weights, or a part of them: make or copy "
                "it again"
            )


def _files(args: argparse.Namespace) -> Iterable[tuple[str, str]]:
    """List the files that options name, with the option."""
    for phase in ("train", "valid"):
        name = f"{phase}_data_path_and_name_and_type"
        for path, _, kind in getattr(args, name):
            if not kind.startswith("rand"):  # numbers instead of a file
                yield name, path
        for path in getattr(args, f"{phase}_shape_file"):
            yield f"{phase}_shape_file", path
    for given in args.init_param:
        yield "init_param", given.split(":")[0]
    for name in ("token_list", "bpemodel"):
        given = getattr(args, name, None)
        if isinstance(given, str) and not (name == "bpemodel" and args.token_type != "bpe"):
            yield name, given
