"""A training small enough to be killed at each of its writes: a line through ESPnet's trainer."""

import argparse
import io
import itertools
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from espnet2.iterators.abs_iter_factory import AbsIterFactory
from espnet2.train.abs_espnet_model import AbsESPnetModel
from espnet2.train.distributed_utils import DistributedOption
from espnet2.train.trainer import TrainerOptions

from espnet_otreg.tasks.run_record import Record
from espnet_otreg.tasks.trainer import WholeTrainer

BATCHES = 3
KILLED = 77


class Line(AbsESPnetModel):
    """A linear layer with dropout, so that the random state of an epoch matters too."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def forward(self, x: torch.Tensor, **_: Any) -> tuple:
        y = self.layer(torch.nn.functional.dropout(x, 0.3, self.training))
        loss = (y - x.sum(1, keepdim=True)).square().mean()
        return loss, {"loss": loss.detach()}, loss.new_tensor(float(len(x)))

    def collect_feats(self, **_: Any) -> dict:
        return {}


class Batches(AbsIterFactory):
    """Batches of an epoch; those listed in `bad` are not finite."""

    def __init__(self, bad: tuple[tuple[int, int], ...] = ()) -> None:
        self.bad = bad

    def build_iter(self, epoch: int, shuffle: bool | None = None) -> list:
        generator = torch.Generator().manual_seed(epoch)
        batches = []
        for i in range(BATCHES):
            x = torch.randn(5, 4, generator=generator)
            batches.append((["u"] * 5, {"x": x * torch.nan if (epoch, i) in self.bad else x}))
        return batches


def options(folder: Path, **changes: Any) -> TrainerOptions:
    """Options as ESPnet's parser would give them."""
    given: dict[str, Any] = dict.fromkeys(TrainerOptions.__dataclass_fields__, False)
    given |= {
        "ngpu": 0, "resume": True, "train_dtype": "float32", "accum_grad": 1, "grad_clip": 5.0,
        "grad_clip_type": 2.0, "log_interval": None, "adapter": "", "save_strategy": "all",
        "output_dir": folder, "max_epoch": 4, "seed": 0, "patience": None,
        "keep_nbest_models": [2], "nbest_averaging_interval": 0,
        "early_stopping_criterion": ("valid", "loss", "min"),
        "best_model_criterion": [("valid", "loss", "min")],
        "val_scheduler_criterion": ("valid", "loss"), "wandb_model_log_interval": 0,
        "ddp_comm_hook": None,
    }  # fmt: skip
    return TrainerOptions(**{**given, **changes})


def train(folder: Path, bad: tuple[tuple[int, int], ...] = (), **changes: Any) -> Record:
    """Train in a folder, or go on there."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    model = Line()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    args = argparse.Namespace(output_dir=folder, resume=True, ngpu=0, seed=0, max_epoch=4)
    WholeTrainer.record = Record(args)
    WholeTrainer.run(
        model=model,
        optimizers=[optimizer],
        schedulers=[None],
        train_iter_factory=Batches(bad),
        valid_iter_factory=Batches(),
        plot_attention_iter_factory=None,
        trainer_options=options(folder, **changes),
        distributed_option=DistributedOption(),
    )
    return WholeTrainer.record


def weights(folder: Path) -> dict[str, bytes]:
    """Every model's weights and links of a folder, to compare bit for bit."""
    found = {}
    for path in sorted(folder.glob("*.pth")):
        content = torch.load(path, weights_only=False)
        model = content.get("model", content)
        found[path.name] = b"".join(value.numpy().tobytes() for value in model.values())
    return found


def in_child(work: Callable[[], Any]) -> int:
    """Do something in a fork of this process; its exit status."""
    return os.waitstatus_to_exitcode(os.waitpid(_start(work), 0)[1])


def in_children(works: Sequence[Callable[[], Any]]) -> None:
    """Do several things at once, each in a fork of this process."""
    children = [_start(work) for work in works]
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert not any(statuses), f"ended with {statuses}"


def _start(work: Callable[[], Any]) -> int:
    child = os.fork()
    if child == 0:
        try:
            torch.set_num_threads(1)  # a pool of threads does not outlive a fork
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return child


def killed_before(change: int, folder: Path, work: Callable[[], Any]) -> bool:
    """Do something in a fork that dies before that change of the folder; False if it had less."""
    changes = itertools.count()

    def look(event: str, details: tuple) -> None:
        opened = event == "open" and isinstance(details[1], str) and set("wax+") & set(details[1])
        if opened or event in ("os.rename", "os.remove", "os.symlink", "os.link", "os.truncate"):
            named = [item for item in details[:2] if isinstance(item, str | os.PathLike)]
            if any(Path(item).parent == folder for item in named) and next(changes) == change:
                os._exit(KILLED)

    def watched() -> None:
        sys.addaudithook(look)
        work()

    return _was_killed(in_child(watched))


def killed_inside(number: int, work: Callable[[], Any]) -> bool:
    """Do something in a fork that dies in that `torch.save`, half of it written."""
    saves, save = itertools.count(), torch.save

    def torn(content: Any, file: Any) -> None:
        if next(saves) != number:
            save(content, file)
            return
        whole = io.BytesIO()
        save(content, whole)
        half = whole.getvalue()[: whole.tell() // 2]
        if isinstance(file, str | os.PathLike):
            Path(file).write_bytes(half)
        else:
            file.write(half)
            file.flush()
        os._exit(KILLED)

    def watched() -> None:
        torch.save = torn  # type: ignore[assignment]
        work()

    return _was_killed(in_child(watched))


def _was_killed(status: int) -> bool:
    assert status in (0, KILLED), f"ended with {status}"
    return status == KILLED
