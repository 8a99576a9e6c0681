#!/usr/bin/env python3
r"""Clips inside Parquet through stages 1 and 3, against what two cores can do at best.

The best is the same clips as files decoded, resampled, encoded and written by two processes with
nothing around it. Each round takes both with all clips, and the stages with a quarter of them too:
what three quarters more take is the rate that a large table has, and with the start of the
processes the rate of 20,000 clips follows. The figures are medians of the rounds' ratios; in
processor time they hardly depend on what else the machine does. Memory is the peak of stage 1,
which unpacks the table, for a quarter of the clips and for all of them, in row groups of a hundred
as copies on the hub have them; and, for comparison, in one row group, whose pages hold 1,024 clips.

    python benchmarks/table_reading.py                  # 2,000 clips; 300 MB; minutes
    python benchmarks/table_reading.py --clips 1000 --rounds 1
"""

import argparse
import os
import platform
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow
from prepare import JOBS, RATIO_AIM, Run, command, convert_plainly, make_clips, report
from pyarrow import parquet

GROWTH_AIM = 8.0  # MB per 1,000 clips; of which the tables are some 2
ROWS = 100  # written together
LARGE = 20000  # clips


def main(cmd: Sequence[str] | None = None) -> None:
    """Print the figures, and for each whether it is reached."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args(cmd)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        different = make_clips(folder / "different")
        load = os.getloadavg()[0]
        print(f"{platform.processor() or platform.machine()}, load {load:.1f} before the start")
        compare_rates(folder, different, args.clips, args.rounds)
        few, _ = prepare(make_table(folder / "quarter", different, args.clips // 4))
        many, _ = prepare(make_table(folder / "whole", different, args.clips))
        size = sum(path.stat().st_size for path in (folder / "whole").glob("*.parquet")) / 1e6
        print(f"stage 1: {few.peak:.0f} MB, then {many.peak:.0f} MB of memory for {size:.0f} MB")
        growth = (many.peak - few.peak) / (args.clips * 0.75 / 1000)
        report("memory that grows with the table, MB per 1,000 clips", growth, GROWTH_AIM)
        one, _ = prepare(make_table(folder / "one", different, args.clips, one=True))
        print(f"stage 1 on one row group of all clips: {one.peak:.0f} MB")


def make_table(root: Path, different: Sequence[Path], clips: int, one: bool = False) -> Path:
    """Write a table of clips, in row groups of a hundred or in one."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    columns = "columns: {audio: audio, text: sentence, speaker: client_id}"
    (root / "table.yaml").write_text(f"{columns}\nlanguage: en\n")
    contents = [path.read_bytes() for path in different]

    def rows(start: int, end: int) -> Iterator[dict[str, Any]]:
        for n in range(start, end):
            audio = {"bytes": contents[n % len(contents)], "path": f"common_voice_en_{n}.mp3"}
            text = f"Sentence number {n} has about as many words as others have."
            yield {"audio": audio, "sentence": text, "client_id": f"{n % 997:0128x}"}

    path = root / "train-00000-of-00001.parquet"
    if one:
        table = pyarrow.Table.from_pylist(list(rows(0, clips)))
        parquet.write_table(table, path, use_dictionary=False)  # real clips are all different
        return root
    schema = pyarrow.Table.from_pylist(list(rows(0, 1))).schema
    with parquet.ParquetWriter(path, schema, use_dictionary=False) as writer:
        for start in range(0, clips, ROWS):
            few = list(rows(start, min(clips, start + ROWS)))
            writer.write_table(pyarrow.Table.from_pylist(few, schema=schema))
    return root


def prepare(root: Path) -> tuple[Run, Run]:
    """Run stages 1 and 3 as the recipes do; return stage 1, and both."""
    first = command(
        *("espnet_otreg.stages.prepare_data", "--corpus", "table", "--root", root),
        *("--languages", "en", "--splits", "train", "--output", root / "data"),
    )
    second = command(
        *("espnet_otreg.stages.format_audio", "--input", root / "data/table_train"),
        *("--output", root / "dump", "--nj", JOBS),
    )
    both = Run(first.seconds + second.seconds, first.cpu + second.cpu, second.peak)
    return first, both


def compare_rates(folder: Path, different: Sequence[Path], clips: int, rounds: int) -> None:
    """Alternate the pipeline and the best that two processes can do with files."""
    files = folder / "files"
    files.mkdir()
    for n in range(clips):
        os.link(different[n % len(different)], files / f"{n}.mp3")
    listed = sorted(files.iterdir())
    found: dict[str, list[float]] = {"s": [], "CPU s": []}
    for number in range(rounds):
        _, few = prepare(make_table(folder / "sample", different, clips // 4))
        root = make_table(folder / "sample", different, clips)
        best, (first, all_) = convert_plainly(listed, root / "plain"), prepare(root)
        for kind, name in {"s": "seconds", "CPU s": "cpu"}.items():
            least, quarter, whole = (getattr(run, name) for run in (best, few, all_))
            each = (whole - quarter) / (clips - clips // 4)
            at_20000 = least / clips * LARGE / (whole + each * (LARGE - clips))
            found[kind].append(at_20000)
            print(
                f"round {number + 1}: {whole:.1f} {kind} against {least:.1f}, {least / whole:.2f}; "
                f"stage 1 {getattr(first, name):.1f}; of 20,000 clips {at_20000:.2f}"
            )
    for kind, ratios in found.items():
        ratio = statistics.median(ratios)
        verdict = "reached" if ratio >= RATIO_AIM else "missed"
        print(f"the best of {JOBS} cores over stages 1 and 3, {LARGE} clips, {kind}: {ratio:.2f}")
        print(f"  (aim {RATIO_AIM}) {verdict}")


if __name__ == "__main__":
    main()
