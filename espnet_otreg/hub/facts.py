"""`otreg.json` of a pack: what is in it and how it is decoded; stock ESPnet's packs have none."""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, write_json

FACTS = "otreg.json"
CONFIG, DECODING, CARD = "config.yaml", "decode.yaml", "README.md"
WEIGHTS = "model.safetensors"  # of packs; there is nothing in it that could run
MODEL = "model.pth"  # of packs for stock ESPnet, which reads no other format: tensors alone
TOKENIZER = "lm_tokenizer"  # folder: of the masked language model whose pieces are the tokens
METHODS = ("beam", "ctc_greedy", "slm")


@dataclass(frozen=True)
class BaseModel:
    """A frozen model that a checkpoint was trained on top of and leaves out."""

    part: str  # encoder or decoder
    option: str  # of `<part>_conf`, which names it
    name: str  # hub name, or a folder's own name
    sha256: str  # that the checkpoint expects
    local: bool  # it was a folder, which other machines lack
    folder: str | None  # where it lies in the pack, if it does


@dataclass(frozen=True)
class Facts:
    """What a pack says of itself."""

    model: str  # otreg, ot_transfer, slm or espnet
    method: str  # one of METHODS
    espnet_otreg: str  # version that packed it
    name: str  # what the model is called
    sampling_rate: int = 16000
    files: tuple[str, ...] = ()  # without these it cannot be decoded
    bases: tuple[BaseModel, ...] = field(default=())
    loaded_as: str = ""  # what the card's example calls the pack

    def write(self, folder: Path) -> None:
        """Leave otreg.json."""
        write_json(folder / FACTS, asdict(self))


def read_facts(folder: Path) -> Facts | None:
    """Read otreg.json; None where there is none."""
    path = folder / FACTS
    if not path.is_file():
        return None
    content = read_json(path)
    # keys of a later version are passed over: the version is told when the pack is opened
    known = {name: content[name] for name in (f.name for f in fields(Facts)) if name in content}
    try:
        bases = tuple(BaseModel(**base) for base in known.pop("bases", ()))
        facts = Facts(bases=bases, files=tuple(known.pop("files", ())), **known)
    except TypeError as error:
        raise UserError(f"{path} is not what stages/pack writes ({error}): pack again") from error
    records: tuple[Facts | BaseModel, ...] = (facts, *bases)
    for record in records:
        for each in fields(record):
            _check_type(path, each.name, getattr(record, each.name), each.type)
    if not all(isinstance(name, str) for name in facts.files):
        raise UserError(f"{path} is not what stages/pack writes (files): pack again")
    if not 1000 <= facts.sampling_rate <= 192000:
        raise UserError(f"{path}: sampling_rate {facts.sampling_rate} is none of speech")
    return facts


def _check_type(path: Path, name: str, value: object, kind: object) -> None:
    kinds = {str: str, int: int, bool: bool, str | None: (str, type(None))}
    if kind in kinds and not isinstance(value, kinds[kind]):  # type: ignore[index,arg-type]
        raise UserError(f"{path} is not what stages/pack writes ({name}): pack again")
