"""Try a model in a browser: upload or record, see transcript, word times and transport.

    espnet-otreg demo packed.zip
    espnet-otreg demo exp/asr_train_otreg_seed1_... --language fr --port 0

MODEL is what `espnet-otreg transcribe` takes. The page is there at once, while the model loads.
Only this machine reaches it; from another, go through a tunnel: ssh -L 7860:localhost:7860 machine.
Recordings are deleted when they are transcribed. Ctrl-C ends it.
"""

import argparse
import logging
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espnet_otreg.errors import UserError
from espnet_otreg.files import printing_to_stderr
from espnet_otreg.stages.command import run
from espnet_otreg.stages.transcribe import add_model, add_search, asked, search_options

if TYPE_CHECKING:
    from espnet_otreg.demo.server import Server
    from espnet_otreg.demo.service import Opened

PORT = 7860


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model(parser)
    parser.add_argument("--language", help="code such as fr, chosen on the page at first")
    parser.add_argument(
        "--exact", action="store_true", help="decode as the pack's results were, which is slow"
    )
    add_search(parser)
    parser.add_argument(
        "--port",
        type=int,
        default=PORT,
        help="to listen at; 0: any free one (default: %(default)s)",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen at; another than this machine's own lets everyone who reaches it "
        "use the model, and browsers give such pages no microphone (default: %(default)s)",
    )
    parser.add_argument(
        "--max_megabytes", type=float, default=100, help="of a file (default: %(default)g)"
    )
    parser.add_argument(
        "--max_minutes", type=float, default=60, help="of a recording (default: %(default)g)"
    )
    parser.add_argument(
        "--longest",
        type=float,
        default=20.0,
        help="seconds from which on a recording is cut in its pauses (default: %(default)g)",
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Serve the page until Ctrl-C."""
    warnings.filterwarnings("ignore", category=FutureWarning)  # of torch, to ESPnet
    args = get_parser().parse_args(cmd)
    run(lambda: demo(args))


def demo(args: argparse.Namespace) -> None:
    """Listen, then load the model, and answer until somebody ends it."""
    from espnet_otreg.demo.server import Server, is_loopback
    from espnet_otreg.demo.service import Limits, Service

    for name in ("max_megabytes", "max_minutes", "longest"):
        if not getattr(args, name) > 0:
            raise UserError(f"--{name} must be above 0, got {getattr(args, name):g}")
    search_options(args)  # what is wrong there is told before the model loads
    limits = Limits(args.max_megabytes, args.max_minutes, args.longest)
    name = Path(args.model).name or args.model
    service = Service(name, lambda: open_pictured(args), args.language, limits)
    with (
        tempfile.TemporaryDirectory(prefix="espnet_otreg-demo-") as folder,
        Server(args.host, args.port, service, Path(folder)) as server,
    ):
        if not is_loopback(args.host):
            logging.warning(
                "--host %s: everyone who reaches this machine there can use the model, and "
                "browsers give the page no microphone; a tunnel to 127.0.0.1 has neither fault",
                args.host,
            )
        print(f"{name} is at {server.address} (Ctrl-C ends it)", flush=True)
        serve(server, service.load)
    leave()


def serve(server: "Server", load: Callable[[], None]) -> None:
    """Answer from the first moment on, load meanwhile; a model that cannot be opened ends it."""
    failures: list[BaseException] = []

    def loading() -> None:
        try:
            load()
            logging.info("the model is ready")
        except BaseException as error:  # told by the main thread
            failures.append(error)
            server.shutdown()

    try:
        with ended_by_sigterm():
            threading.Thread(target=loading, daemon=True).start()
            server.serve_forever()
    except KeyboardInterrupt:
        print("ended", file=sys.stderr)
    if failures:
        raise failures[0]


def leave() -> None:
    """End the process though a thread is still inside a model, which Python would not survive.

    Torch aborts when the interpreter goes away beneath it. Nothing is lost: what is on disk was
    in the temporary folder, which is gone.
    """
    if threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def open_pictured(args: argparse.Namespace) -> "Opened":
    """Open the model; all that takes long is imported here."""
    with printing_to_stderr():  # some of ESPnet's modules print while they load
        from espnet_otreg.demo.service import Opened
        from espnet_otreg.transcribe.opening import open_model
        from espnet_otreg.transcribe.plans import PicturedRecogniser

    recogniser, _ = open_model(asked(args, exact=args.exact, options=search_options(args)))
    pictured = PicturedRecogniser(recogniser)
    languages: Sequence[str] = getattr(recogniser, "languages", ())
    model: Any = getattr(recogniser, "model", None)
    prompt = getattr(model, "prompt", None)
    needs = prompt is not None and prompt.conf.needs_language
    return Opened(pictured, tuple(languages), needs, pictured.about)


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the command as Ctrl-C does, so that the temporary folder goes."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    main()
