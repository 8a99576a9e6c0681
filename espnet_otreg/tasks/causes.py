"""Why a training ended, in one line: what, where, and what to do."""

import argparse
import difflib
import inspect
import logging
import multiprocessing
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import yaml

from espnet_otreg.errors import UserError
from espnet_otreg.tasks.checkpoints import cannot_write

_UNKNOWN_KEY = re.compile(r"(\w+)(?:\.__init__|\.__new__)?\(\) got (?:an )?unexpected keyword "
                          r"argument '(\w+)'")  # fmt: skip
_NO_VALUE = re.compile(r"(\w+)(?:\.__init__)?\(\) missing \d+ required .*?: (.+)")
_WRONG_TYPE = re.compile(r'argument "(\w+)" \((.+?)\) (is not|is neither|did not) (.+)', re.DOTALL)
_BATCH = re.compile(r"must be equal or more than world_size: (\d+) < (\d+)")
# what other processes say of one that has ended: never the cause
_SECOND_HAND = ("Connection closed by peer", "Connection reset by peer", "Broken pipe",
                "recvValue failed", "failed to recv", "Timed out waiting", "in monitoredBarrier",
                "terminated with exit code", "terminated with signal")  # fmt: skip
_LONGEST = 400


def explain(error: BaseException, args: argparse.Namespace | None) -> str | None:
    """Say in one line what a user can mend; None where the error is no known one."""
    if isinstance(error, UserError):
        return str(error)
    options = {} if args is None else vars(args)
    if isinstance(error, OSError):
        return _of_file(error, options)
    if isinstance(error, yaml.YAMLError):
        return f"a configuration is not valid YAML: {_one_line(error)}"
    text = str(error)
    if isinstance(error, TypeError) and (found := _UNKNOWN_KEY.search(text)):
        return _unknown_key(found[1], found[2], options)
    if isinstance(error, TypeError) and (found := _NO_VALUE.search(text)):
        return f"{found[1]} needs a value for {found[2]}: add it to the configuration"
    if type(error).__name__ == "TypeCheckError" and (found := _WRONG_TYPE.search(text)):
        return f"{_place(options, found[1])}: {found[2]} {found[3]} {_one_line(found[4])}"
    if found := _BATCH.search(text):
        return (
            f"a batch of {found[1]} cannot be shared out to {found[2]} processes: raise batch_size "
            f"to {found[2]} or more, or train with fewer processes"
        )
    if text.startswith("Error(s) in loading state_dict"):
        return (
            f"a checkpoint does not fit the configured model ({_one_line(text)}): give another "
            "--output_dir, --resume false, or the --init_param of such a model"
        )
    return None


def _of_file(error: OSError, options: Mapping[str, Any]) -> str | None:
    """What is wrong with a file, and which option names it."""
    if error.errno is None:  # a library's own
        return _one_line(error)
    if error.filename is None:
        return None if error.errno in (32, 104) else cannot_write("a file of the training", error)
    path = str(error.filename)
    if isinstance(error, FileNotFoundError):
        return f"{path} does not exist{_named_by(options, path)}"
    return cannot_write(path, error) + _named_by(options, path)


def _named_by(options: Mapping[str, Any], path: str) -> str:
    """Tell which option of the training led to a path."""

    def holds(value: Any) -> bool:
        if isinstance(value, Mapping):
            return any(map(holds, value.values()))
        if isinstance(value, list | tuple):
            return any(map(holds, value))
        return isinstance(value, str) and path in (value, value.split(":")[0], value.split(",")[0])

    names = [name for name, value in options.items() if holds(value)]
    return f": look at {names[0]}" if names else ""


def _place(options: Mapping[str, Any], key: str) -> str:
    """Name an option with the section that it stands in."""
    sections = [
        name
        for name, value in options.items()
        if name.endswith("_conf") and isinstance(value, Mapping) and key in value
    ]
    return f"{sections[0]}.{key}" if len(sections) == 1 else key


def _unknown_key(owner: str, key: str, options: Mapping[str, Any]) -> str:
    place = _place(options, key)
    known = _options_of(owner)
    alike = difflib.get_close_matches(key, known, n=1)
    hint = f": did you mean {alike[0]}?" if alike else ""
    return f"{place} is not an option of {owner}{hint}"


def _options_of(owner: str) -> list[str]:
    """List what a part of ESPnet or of this package can be told."""
    for name, module in list(sys.modules.items()):
        found = getattr(module, owner, None) if name.startswith("espnet") else None
        if inspect.isclass(found):
            return [option for option in inspect.signature(found).parameters if option != "self"]
    return []


def _one_line(text: Any) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."


def _where(error: BaseException) -> str:
    """Show the line that failed, of an error that says nothing."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}: {frames[-1].line}"


def stop(error: BaseException, args: argparse.Namespace | None = None) -> NoReturn:
    """End this process with one line, which begins with `error: `; what follows from it is mute."""
    if any(said in str(error) for said in _SECOND_HAND):
        logging.warning("this process ends because another one did: %s", _one_line(error))
        sys.exit(1)
    line = explain(error, args)
    if line is None:  # nobody foresaw it: the log gets all that is known
        logging.error("the traceback", exc_info=error)
        line = f"{type(error).__name__}: {_one_line(error) or _where(error)}"
    if not _is_first_to_fail():
        logging.warning("another process ended before: %s", line)
        sys.exit(1)
    _tell_launcher(error)
    sys.exit(f"error: {line}")


@contextmanager
def told_by_spawned(args: argparse.Namespace) -> Iterator[None]:
    """Stop with one line in a process that ESPnet has spawned, which no command stands around."""
    try:
        yield
    except Exception as error:
        if multiprocessing.parent_process() is None:
            raise
        stop(error, args)


def _is_first_to_fail() -> bool:
    """Tell whether no process that torchrun started beside this one has failed before it."""
    own = os.environ.get("TORCHELASTIC_ERROR_FILE")  # <of this launch>/<rank>/error.json
    if not own:
        return True
    try:
        (Path(own).parent.parent / "first_error").touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError:  # better said twice than not at all
        return True
    return True


def _tell_launcher(error: BaseException) -> None:
    """Let torchrun's own report name the cause."""
    if os.environ.get("TORCHELASTIC_ERROR_FILE"):
        from torch.distributed.elastic.multiprocessing.errors import get_error_handler

        try:
            get_error_handler().record_exception(error)
        except OSError as second:
            logging.warning("torchrun was not told: %s", second)
