"""Where an adapter for the table alone (`slm_conf.table_adapter: own`) comes from.

A phase before the language model (`objective: table`) teaches an adapter; a later training starts
from its file by ESPnet's `init_param`, whose rows are `path:source:target:left out` or a path
alone. Of a path alone both adapters start as the one that the file has.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from espnet_otreg.errors import UserError
from espnet_otreg.weights import read_weights
from espnet_otreg.yaml_files import read_yaml

PART = "table_adapter"
ALIKE = ("table_likeness", "table_scale", "silence_token")  # what a phase and what follows share


def starts(rows: Sequence[str], conf: Mapping[str, Any], frozen: bool) -> list[str]:
    """Return the rows of `init_param`, and those that the adapter for the table needs as well.

    Args:
        rows: as they were given
        conf: `slm_conf`
        frozen: the adapter will not train, so that somebody must have taught it
    """
    found, taught = list(rows), False
    for row in rows:
        path, source, target, left_out = (*row.split(":", 3), "", "", "")[:4]
        if target == PART or target.startswith(f"{PART}."):
            return found
        if source or target:
            continue
        names = [name for name in read_weights(Path(path)) if not _is_left_out(name, left_out)]
        parts = {name.split(".", 1)[0] for name in names}
        if PART in parts:
            taught = True
        elif "adapter" in parts and row == path:
            if frozen:
                _check_phase(Path(path), conf)
            found.append(f"{path}:adapter:{PART}")
            taught = True
    if frozen and not taught:
        raise UserError(
            f"slm_conf.freeze has {PART}, and no phase has taught it: expected init_param (a "
            f"recipe's --warm_config) with an adapter or a {PART}, or a {PART} that trains"
        )
    return found


def _is_left_out(name: str, left_out: str) -> bool:
    return bool(left_out) and name.startswith(tuple(left_out.split(",")))


def _check_phase(path: Path, conf: Mapping[str, Any]) -> None:
    """Refuse an adapter that learnt something else than CTC by this likeness."""
    config = path.parent / "config.yaml"
    if not config.is_file():
        return  # nothing is known of it
    model = read_yaml(config).get("model_conf")
    taught = model.get("slm_conf") if isinstance(model, dict) else None
    taught = taught if isinstance(taught, dict) else {}
    if taught.get("objective") != "table" or taught.get("table_ctc_weight") == 0:
        raise UserError(
            f"{path} did not learn CTC by the table, which slm_conf.{PART}: own decodes by: "
            "expected a phase with objective: table and table_ctc_weight above 0, such as "
            "stage0_ctc.yaml"
        )
    for name in ALIKE:
        ours, theirs = conf.get(name), taught.get(name)
        default = "dot" if name == "table_likeness" else None
        if (ours or default) != (theirs or default):
            raise UserError(
                f"slm_conf.{name} is {ours or default}, and the phase that taught the adapter, "
                f"{config}, has {theirs or default}: give both the same"
            )
