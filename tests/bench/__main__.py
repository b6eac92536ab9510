"""`python -m tests.bench`: how fast, measured side by side with what others do, in the same run.

    python -m tests.bench all --out docs/performance       everything, in ten minutes
    python -m tests.bench w1 --rounds 3                    one workload; also w2, w3, life, memory, jobs, waiting
    python -m tests.bench all --quick                      small sizes: does the harness still work?

In each round every side runs once, one after the other, against the same sink on loopback; a table shows the
median of the rounds and the ratios round by round, which say more than absolute figures on a busy machine.
Other tools are installed once, each into a virtual environment of its own below the temp folder.
Nothing here is a test: figures belong into docs/PERFORMANCE.md with machine, date and command.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from tests.bench import life, scale, w1, w2, w3
from tests.bench.plot import svg
from tests.bench.result import Facts, Race
from tests.bench.table import machine, markdown

WORKS = ("w1", "w2", "w3", "life", "memory", "jobs", "waiting")
FILES = "results.md", "results.svg", "results.json"
ALONE = {"w1": 3, "w2": 2, "w3": 2}
"""Rounds of a workload by itself."""
TOGETHER = {"w1": 2, "w2": 2, "w3": 1}
"""Rounds with all the others, which are to take ten minutes."""


def run(work, options):
    """The results of one workload."""
    quick, alone = options.quick, options.work != "all"
    usual = ALONE if alone else TOGETHER
    rounds = options.rounds or (1 if quick else usual.get(work, 1))
    size = options.records or (20_000 if quick else 1_000_000)
    # all cases of 100,000 take four minutes: `all` is content with a fifth of that
    fewer = options.records or (2_000 if quick else 100_000 if alone else 20_000)
    works = {
        "w1": lambda: w1.measure(size, rounds, with_peers=options.peers),
        "w2": lambda: w2.measure(fewer, rounds),
        "w3": lambda: w3.measure(size, rounds),
        "life": lambda: life.measure(2.0, 2) if quick else life.measure(),
        "memory": lambda: scale.memory((10_000, 50_000)) if quick else scale.memory(),
        "jobs": lambda: scale.jobs(300, 5.0) if quick else scale.jobs(),
        "waiting": lambda: scale.waiting(5_000, 500) if quick else scale.waiting(),
    }
    found = works[work]()
    return found if isinstance(found, list) else [found]


def measure(options):
    """All that was asked for. A workload that fails says so in its place, and the others go on."""
    began = time.monotonic()
    results = []
    for work in WORKS if options.work == "all" else [options.work]:
        print(f"{time.monotonic() - began:5.0f} s  {work}", file=sys.stderr, flush=True)
        try:
            results += run(work, options)
        except Exception as error:
            if options.work != "all":
                raise
            results.append(Facts(title=work, note=f"Not measured: {error}"))
    print(f"{time.monotonic() - began:5.0f} s  done", file=sys.stderr, flush=True)
    return results


def write(folder, results, text):
    """Table, picture and every figure."""
    folder.mkdir(parents=True, exist_ok=True)
    table, picture, figures = (folder / name for name in FILES)
    races = [one for one in results if isinstance(one, Race)]
    table.write_text(text)
    picture.write_text(svg(races, machine()))
    figures.write_text(
        json.dumps({"machine": machine(), "results": [asdict(one) for one in results]}, indent=1)
    )


def main(words=None):
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("work", choices=[*WORKS, "all"])
    parser.add_argument("--records", type=int, help="of w1, w2, w3; else what is usual for each")
    parser.add_argument("--rounds", type=int, help="of w1, w2, w3; else what is usual for each")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="only the scripts by hand")
    parser.add_argument("--out", type=Path, help=f"a folder for {', '.join(FILES)}")
    options = parser.parse_args(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started ends with us
    results = measure(options)
    asked = sys.argv[1:] if words is None else words
    text = markdown(results, f"{machine()}; `python -m tests.bench {' '.join(asked)}`")
    print(text)
    if options.out:
        write(options.out, results, text)


if __name__ == "__main__":
    main()
