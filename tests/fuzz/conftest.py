"""Readers and scorers against thousands of damaged files: listed, refused in words, or read.

A target is a test that takes the fixture `fuzz` and hands it a strategy and a check. The check may
return (the file was read, or lines of it were listed as rejected) or raise a UserError (the file
was refused). Every other exception, more than ten seconds, and a target none of whose inputs was
read, fail the test; the falsifying input is printed, and belongs in test_found.py once mended.

By default the same few hundred inputs come each time (`derandomize`), within a minute for all::

    python -m pytest tests/fuzz

For longer, with new inputs each time; the seconds are shared out evenly among the targets::

    python -m pytest tests/fuzz --fuzz-seconds 3600         # or OTREG_FUZZ_SECONDS=3600

Either way a table at the end counts the inputs of each target. A target alone, for all of the time:
`-k lines_of_hypotheses`. A crash or a hang in C code ends the process; its input then lies in the
folder that pytest's `--basetemp` names, since inputs are written to files before they are read.
"""

import os
import random
import signal
from contextlib import contextmanager
from time import monotonic

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from espnet_otreg.errors import UserError

LIMIT = 10  # seconds for one small input: a machine has to be very busy to make that long
ROUND = 500  # examples between two looks at the clock
DEFAULT = 150  # examples per target where no time is given

settings.register_profile(
    "fuzz",
    max_examples=DEFAULT,
    derandomize=True,
    database=None,
    deadline=None,  # a hang has its own limit
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)
settings.register_profile(
    "fuzz-long",
    settings.get_profile("fuzz"),
    max_examples=ROUND,
    derandomize=False,
    verbosity=Verbosity.normal,
)


def pytest_addoption(parser):
    parser.addoption(
        "--fuzz-seconds",
        type=float,
        default=float(os.environ.get("OTREG_FUZZ_SECONDS", 0)),
        help="seconds of random inputs for all of tests/fuzz together (default: a fixed few)",
    )


class Hang(BaseException):
    """No Exception, so that no reader takes it for a broken file."""


@contextmanager
def limited(seconds=LIMIT):
    """Break off Python code that takes longer."""

    def stop(*_):
        raise Hang(f"no end after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Fuzz:
    """Draws inputs, counts them, and lets nothing but a UserError pass."""

    def __init__(self, seconds):
        self.seconds = seconds  # 0: a fixed number of examples
        self.inputs = self.refused = 0

    def __call__(self, strategy, check, *, examples=DEFAULT, refusals=(UserError,)):
        """Run `check` on inputs; `examples` is their number where no time is given."""

        def once(value):
            self.inputs += 1
            with limited():
                try:
                    check(value)
                except refusals as error:
                    assert isinstance(error, OSError) or str(error).strip(), "a refusal says why"
                    self.refused += 1

        if not self.seconds:
            settings(settings.get_profile("fuzz"), max_examples=examples)(given(strategy)(once))()
        else:
            end = monotonic() + self.seconds
            while monotonic() < end:
                run = settings(settings.get_profile("fuzz-long"))(given(strategy)(once))
                seed(random.SystemRandom().getrandbits(64))(run)()
        assert self.refused < self.inputs, "every input was refused: none went beyond the door"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Work in the test's own folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def fuzz(request):
    """Fuzz one target for its share of the time."""
    total = request.config.getoption("--fuzz-seconds")
    targets = sum("fuzz" in item.fixturenames for item in request.session.items)
    fuzzing = Fuzz(total / targets)
    yield fuzzing
    counts = (request.node.name, fuzzing.inputs, fuzzing.refused)
    request.node.user_properties.append(("fuzzed", counts))


def pytest_terminal_summary(terminalreporter):
    """Count the inputs, those of pytest-xdist's workers too."""
    reports = [r for group in terminalreporter.stats.values() for r in group]
    counts = [
        value
        for report in reports
        if getattr(report, "when", "") == "teardown"
        for name, value in report.user_properties
        if name == "fuzzed"
    ]
    if counts:
        terminalreporter.section("fuzzed inputs")
        terminalreporter.write_line(f"{'read':>9} {'refused':>9}  target")
        for name, inputs, refused in counts:
            terminalreporter.write_line(f"{inputs - refused:9,} {refused:9,}  {name}")
        total = sum(inputs for _, inputs, _ in counts)
        terminalreporter.write_line(f"{total:,} inputs in all, {len(counts)} targets")
