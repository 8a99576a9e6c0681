"""Run a recipe's steps in order: what is done is skipped, everything else is made under a lock.

Ctrl-C, or the end of this process by whatever means, ends the commands it started.
"""

import argparse
import fcntl
import os
import shlex
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from espnet_otreg.errors import UserError
from espnet_otreg.files import remove_half_written, write_json, writing
from espnet_otreg.recipe.graph import RUN, Graph, Remark, read_graph
from espnet_otreg.recipe.launch import Launcher, follow, is_further, place
from espnet_otreg.recipe.machine import Machine
from espnet_otreg.recipe.running import KILLED, Running, die_with_parent
from espnet_otreg.recipe.running import say as log
from espnet_otreg.recipe.step import Step

INTERRUPTED = "interrupted: finished work is kept, the same command goes on from there"


def get_parser() -> argparse.ArgumentParser:
    """What otreg.sh says of its run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("graph", type=Path, help="steps as otreg.sh declared them")
    parser.add_argument("--stage", type=int, required=True)
    parser.add_argument("--stop_stage", type=int, required=True)
    parser.add_argument("--plan", default="false")
    parser.add_argument("--show", default="")
    parser.add_argument("--expdir", type=Path, required=True)
    parser.add_argument("--ngpu", required=True, help="a number, or auto in a queue")
    parser.add_argument("--gpu_inference", default="false")
    parser.add_argument("--num_nodes", type=int, default=1)
    parser.add_argument("--train_nj", type=int, default=1)
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Plan, show or run."""
    args = get_parser().parse_args(cmd)
    try:
        graph = read_graph(args.graph, args.expdir / ".stamps.json")
        args.graph.unlink()  # the shell's, made for this run
        graph.stamps.save()
        if args.show:
            print(_shown(graph, args.show))
        elif args.plan != "false":
            _print_plan(graph, args)
        else:
            _die_with_caller()
            Engine(graph, args).run()
        graph.stamps.save()
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error} (nothing half-written is kept; mend this and run again)")
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        sys.exit(130)


def _shown(graph: Graph, name: str) -> Path:
    if name not in graph.steps:
        raise UserError(f"--show {name}: the steps are {' '.join(graph.steps)}")
    return graph.steps[name].out


def _print_plan(graph: Graph, args: argparse.Namespace) -> None:
    """List every step; or, for sweeps, the trainings alone in a file."""
    if args.plan != "true":
        trainings = [step for step in graph.steps.values() if step.name.startswith("train:")]
        with writing(Path(args.plan)) as stream:
            for step in trainings:
                config, *_ = step.told["configs"]
                _, _, seed = step.name.removeprefix("train:").partition(":seed")
                if seed:
                    stream.write(f"{config}\t{seed}\t{step.out}\n")
        return
    planned = list(graph.plan(args.stage, args.stop_stage))
    for step, state, reason in planned:
        print(f"stage {step.stage:2} {state:5} {step.name}: {reason}")
    would = sum(state == RUN for _, state, _ in planned)
    print(f"{would} of {len(planned)} steps would run")


class Engine:
    """Runs the steps of some stages."""

    def __init__(self, graph: Graph, args: argparse.Namespace) -> None:
        self.graph, self.args = graph, args
        self.stages = (args.stage, args.stop_stage)
        machine = Machine(args.ngpu, args.gpu_inference == "true", args.num_nodes)
        self.launcher = Launcher(machine, place(args.expdir))
        self.locks: dict[str, int] = {}

    def run(self) -> None:
        """Run what is not done; trainings side by side."""
        entries = list(self.graph.in_stages(*self.stages))
        _on_signals()
        if is_further(self.launcher.machine, self.launcher.queued):
            return follow(self.launcher.together)
        try:
            while entries:
                entry = entries.pop(0)
                if isinstance(entry, Remark):
                    log(f"stage {entry.stage}: {entry.text}")
                elif self.launcher.side_by_side(entry.kind):
                    self._side_by_side([entry, *_alike(entries, entry.kind)])
                elif entry.kind == "optional":
                    self._optional(entry)
                else:
                    self._one(entry)
        finally:
            self.launcher.stop_all()
        page = self.graph.steps.get("report")
        if page is not None and page in list(self.graph.in_stages(*self.stages)):
            log(f"the report, for any browser: {page.out.resolve()}")

    def _one(self, step: Step) -> None:
        """Run a step to its end, unless it is done."""
        with self._begun(step) as begun:
            if begun:
                self._finish(step, self.launcher.start(step))

    def _side_by_side(self, waiting: list[Step]) -> None:
        """Run steps, so many at a time, each once what it starts from is there."""
        what = "training" if waiting[0].kind == "train" else "job"
        running: list[tuple[Step, Running]] = []
        failed: list[str] = []
        while waiting or running:
            for step in list(waiting):
                if len(running) >= self.args.train_nj or failed:
                    break
                names = {other.name for other in waiting} | {other.name for other, _ in running}
                if names & set(step.needs):
                    continue
                waiting.remove(step)
                if self._begin(step):
                    running.append((step, self.launcher.start(step)))
            for step, process in list(running):
                if process.poll():
                    running.remove((step, process))
                    try:
                        self._finish(step, process)
                    except UserError as error:
                        log(f"error: {error}")
                        failed.append(step.name)
                    self._release(step)
            if failed and not running:
                raise UserError(f"a {what} failed (see above): {', '.join(failed)}")
            time.sleep(0.2 if running else 0)

    def _optional(self, step: Step) -> None:
        """Run a step without which the others go on."""
        try:
            self._one(step)
        except UserError as error:
            log(f"stage {step.stage}: goes on without {step.name}: {error}")

    @contextmanager
    def _begun(self, step: Step) -> Iterator[bool]:
        try:
            yield self._begin(step)
        finally:
            self._release(step)

    def _begin(self, step: Step) -> bool:
        """Lock a step that has to run and say why; False if it is done."""
        always = step.kind == "always"
        reason = "as every time" if always else self.graph.why(step)
        if not reason:
            log(f"stage {step.stage}: already done: {step.out} (remove it to redo)")
            _link(step)
            return False
        missing = self.graph.missing(step)
        if missing:
            raise UserError(missing)
        self._lock(step)
        if not always and not self.graph.why(step):  # made by another run meanwhile
            self._release(step)
            return False
        step.record.unlink(missing_ok=True)
        beside = [path for path in map(Path, step.words) if path.parent == step.out.parent]
        remove_half_written(step.out, step.record, *(path for path in beside if path.suffix))
        for path, content in step.copies.items():  # what it is told stays what it was
            with writing(path, "wb") as stream:
                stream.write(content)
        doing = "training in" if step.kind == "train" else f"{step.name}, to"
        log(f"stage {step.stage}: {doing} {step.out} ({reason})")
        return True

    def _finish(self, step: Step, process: Running) -> None:
        """Wait for a step's command; write down what it made, or say why it failed."""
        started = time.monotonic() - process.seconds()
        status = process.wait()
        if status:
            cause = KILLED if status == -signal.SIGKILL else process.cause()
            raise UserError(
                f"stage {step.stage}, {step.name}, failed with status {status}"
                + (f", see {process.log}" if process.log else "")
                + (f": {cause}" if cause else "")
                + "; the same command goes on from what is finished"
            )
        if step.kind == "always":
            return
        if not step.out.exists():
            raise UserError(f"stage {step.stage}, {step.name}, ended without making {step.out}")
        content = {
            "key": step.key,
            "name": step.name,
            "command": shlex.join(["python3", "-m", step.module, *step.words]),
            "seconds": round(time.monotonic() - started, 1),
            "made": time.strftime("%Y-%m-%d %H:%M:%S"),
            "digest": self.graph.stamps.output(step.out, step.digest_of),
            "read": {name: self.graph.digest(name) for name in step.needs},
            "told": step.told,
        }
        write_json(step.record, content)
        _link(step)

    def _lock(self, step: Step) -> None:
        """Own a step's output; a second run is told who does."""
        step.lock.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(step.lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 200).decode(errors="replace").strip()
            os.close(handle)
            raise UserError(
                f"{step.out} is being made by another run ({holder or 'unknown'}): wait for it, "
                "or end it and run this again"
            ) from None
        os.ftruncate(handle, 0)
        who = f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%H:%M:%S')}"
        os.write(handle, who.encode())
        self.locks[step.name] = handle

    def _release(self, step: Step) -> None:
        handle = self.locks.pop(step.name, None)
        if handle is not None:
            os.close(handle)


def _alike(entries: list[Step | Remark], kind: str) -> Iterator[Step]:
    """Take the steps of a kind that come next."""
    while entries and isinstance(first := entries[0], Step) and first.kind == kind:
        yield first
        del entries[0]


def _link(step: Step) -> None:
    """Let a/b show what this run used of a/KEY/b."""
    link = step.link
    if link is None or (link.exists() and not link.is_symlink()):
        return
    target = os.path.relpath(step.out, link.parent)
    if link.is_symlink() and os.readlink(link) == target:
        return
    beside = link.with_name(f".{link.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    beside.replace(link)


def _on_signals() -> None:
    """Let SIGTERM and SIGHUP end a run as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, interrupt)


def _die_with_caller() -> None:
    """End with the script that called otreg.sh for one of several passes."""
    if os.environ.get("OTREG_CALLER") == str(os.getppid()):
        die_with_parent(signal.SIGTERM)


if __name__ == "__main__":
    main()
