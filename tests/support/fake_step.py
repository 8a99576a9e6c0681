"""A command for tests of the engine: writes words into a file, fails, or waits."""

import argparse
import os
import shutil
import signal
import sys
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--output", type=Path, required=True)
parser.add_argument("--input", type=Path)
parser.add_argument("--config", type=Path)
parser.add_argument("--text", default="")
parser.add_argument("--fail_if", type=Path)
parser.add_argument("--wait_for", type=Path)
parser.add_argument("--ngpu")
parser.add_argument("--exit", type=int, default=0)
parser.add_argument("--killed", action="store_true")
parser.add_argument("--started", type=Path)
args = parser.parse_args()
if args.started:
    args.started.touch()
while args.wait_for and not args.wait_for.exists():
    time.sleep(0.02)
if args.killed:
    os.kill(os.getpid(), signal.SIGKILL)
if args.exit:
    sys.exit(args.exit)
if args.fail_if and args.fail_if.exists():
    sys.exit("error: told to fail")
args.output.mkdir(parents=True, exist_ok=True)
(args.output / "text").write_text(args.text)
for given in (args.input, args.config):
    if given:
        shutil.copy(given, args.output / "copy")
