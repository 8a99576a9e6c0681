"""Name the folder of an experiment after its config and everything that decides its outcome.

The name ends in a short hash of the configuration's content, the extra arguments, the data's
history and the checkpoint it starts from. An edited YAML so trains into a new folder, a re-run goes
on in the old one, and two settings never share a folder. What differs from an earlier folder of the
same config is said on stderr.
"""

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from espnet_otreg.bin.cli import run
from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, write_json
from espnet_otreg.yaml_files import read_yaml

RECORD = "experiment.json"


def get_parser() -> argparse.ArgumentParser:
    """What decides an experiment's outcome."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--config", help="training (or decoding) YAML, if there is one")
    parser.add_argument("--expdir", required=True, help="folder that holds the experiments")
    parser.add_argument("--prefix", default="asr", help="first part of the name")
    parser.add_argument("--tag", default="", help="in the name after the config's own, e.g. seed2")
    parser.add_argument("--arguments", default="", help="command-line arguments that change it")
    parser.add_argument("--data", default="", help="hash of the data stages")
    parser.add_argument("--parent", default="", help="checkpoint it starts from")
    parser.add_argument("--dry_run", action="store_true", help="only print the path, make nothing")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Print the folder's path; the folder then exists, unless --dry_run, with its record."""
    args = get_parser().parse_args(cmd)
    run(lambda: print(experiment_dir(args)))


def experiment_dir(args: argparse.Namespace) -> Path:
    """Return the experiment's folder, made if need be."""
    record = {
        "config": _read_config(Path(args.config)) if args.config else {},
        "arguments": args.arguments.split(),
        "data": args.data,
        "parent": args.parent,
    }
    digest = hashlib.sha1(json.dumps(record, sort_keys=True).encode()).hexdigest()[:8]
    stem = "_".join(filter(None, [args.prefix, Path(args.config or "").stem, args.tag]))
    folder = Path(args.expdir) / f"{stem}_{digest}"
    if not args.dry_run and not (folder / RECORD).exists():
        for earlier in sorted(Path(args.expdir).glob(f"{stem}_{'[0-9a-f]' * 8}/{RECORD}")):
            told = "; ".join(_differences(read_json(earlier), _written(record)))
            print(f"{folder} is new; it differs from {earlier.parent} in {told}", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / RECORD, _written(record))
    return folder


def _written(value: Any) -> Any:
    """Name infinite numbers as YAML does: JSON has none."""
    if isinstance(value, dict):
        return {key: _written(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_written(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return value


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"config {path} does not exist")
    return read_yaml(path)


def _differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Name every leaf in which two records differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif old != new:
        yield f"{path.removeprefix('config.')}: {old!r} -> {new!r}"


if __name__ == "__main__":
    main()
