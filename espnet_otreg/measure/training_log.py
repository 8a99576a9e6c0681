"""What ESPnet's train.log says of every epoch: any statistic, training and validation apart."""

import re
from collections.abc import Iterable
from pathlib import Path

from espnet_otreg.errors import UserError

Epochs = dict[int, dict[str, dict[str, float]]]  # epoch -> train or valid -> statistic -> value

_EPOCH = re.compile(r"(\d+)epoch results: (.*)")
_SECTION = re.compile(r"\[(\w+)\] ([^\[]*)")
_NUMBER = r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|nan|inf)"
_STATISTIC = re.compile(rf"(\w+)=({_NUMBER})(?=,|\s*$)")  # not `time=8.18 seconds`


def read_epochs(log: Path) -> Epochs:
    """Read a training's log and what it wrote before it was resumed (train.1.log is the latest).

    An epoch that was trained twice has the later one's figures. A training that has not finished
    its first epoch has none.
    """
    if not log.is_file():
        raise UserError(f"{log} does not exist: name the folder of a training, made by stage 11")
    rotated = {}
    for path in log.parent.iterdir():
        if found := re.fullmatch(rf"{re.escape(log.stem)}\.(\d+)\.log", path.name):
            rotated[int(found[1])] = path
    epochs: Epochs = {}
    for path in [*(rotated[number] for number in sorted(rotated, reverse=True)), log]:
        with open(path, encoding="utf-8", errors="replace") as stream:
            epochs |= parse_epochs(stream)
    return dict(sorted(epochs.items()))


def parse_epochs(lines: Iterable[str]) -> Epochs:
    """Find the lines `<n>epoch results: [train] ... [valid] ...` among others.

    Example:
        >>> parse_epochs(["INFO: 3epoch results: [train] a=0.5, time=2 seconds, [valid] a=nan"])
        {3: {'train': {'a': 0.5}, 'valid': {'a': nan}}}
    """
    epochs: Epochs = {}
    for line in lines:
        found = _EPOCH.search(line)
        if found:
            epochs[int(found[1])] = {
                name: {key: float(value) for key, value in _STATISTIC.findall(text)}
                for name, text in _SECTION.findall(found[2])
            }
    return epochs


def series(epochs: Epochs, statistic: str, section: str) -> tuple[list[int], list[float]]:
    """Return the epochs that have a statistic, and its values."""
    pairs = [
        (epoch, sections[section][statistic])
        for epoch, sections in epochs.items()
        if statistic in sections.get(section, {})
    ]
    return [epoch for epoch, _ in pairs], [value for _, value in pairs]
