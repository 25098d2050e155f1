"""./dev crash: the crash matrix. Every kind of trouble of kinds.py, its figures in one table.

  run.py [--short] [--seed N] [ROUNDS] [KIND ...]
"""

import argparse
import os
import platform
import statistics
import sys
import time
import traceback

parser = argparse.ArgumentParser(prog="./dev crash", description=__doc__.split("\n")[0])
parser.add_argument("kinds", nargs="*", metavar="[ROUNDS] KIND", help="all when none is named")
parser.add_argument("--short", action="store_true", help="the rounds of ./dev test")
parser.add_argument("--seed", type=int, default=int(time.time()) % 100000)
parser.add_argument("--builddir", help="default build/crash")
options = parser.parse_args()
# a number in front is the rounds of each kind, instead of its own
options.rounds = int(options.kinds.pop(0)) if options.kinds and options.kinds[0].isdigit() else None
if options.builddir:
    os.environ["ERRAND_BUILDDIR"] = options.builddir

import kinds  # noqa: E402  (reads ERRAND_BUILDDIR)


def ms(seconds):
    return f"{statistics.median(seconds) * 1000:.0f} / {max(seconds) * 1000:.0f}" if seconds else "-"


def one(name, rounds):
    """A row of the table, and whether it is as it must be."""
    begin = time.monotonic()
    try:
        rig, v = kinds.run(name, rounds, options.seed)
    except kinds.Skip as why:
        return f"| {name} | - | | | | | | | left out: {why} |", True
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc()
        return f"| {name} | {rounds} | | | | | | | FAILED |", False
    if rig.load.replayed:
        rig.note(f"{rig.load.replayed} sent again with their Idempotency-Key, and replayed")
    print(f"{name}: {time.monotonic() - begin:.1f} s, {v}", file=sys.stderr, flush=True)
    return (f"| {name} | {rounds} | {v.acked} | {v.finished} | {len(v.lost)} | {len(v.twice)} | {v.again} | "
            f"{ms(rig.recoveries)} | {'; '.join(rig.notes)}{'' if v.good else ' WRONG'} |"), v.good


def main():
    unknown = [k for k in options.kinds if k not in kinds.KINDS]
    if unknown:
        sys.exit(f"run.py: no such kind: {unknown[0]}; there are {', '.join(kinds.KINDS)}")
    rows, good = [], True
    for name in options.kinds or kinds.KINDS:
        _, full, short = kinds.KINDS[name]
        row, fine = one(name, options.rounds or (short if options.short else full))
        rows.append(row)
        good &= fine
    print(f"\nseed {options.seed}, {os.cpu_count()} processors, Linux {platform.release().split('-')[0]}\n")
    print("| trouble | rounds | acknowledged | finished | lost | ended twice | run again "
          "| recovery ms, median / worst | |")
    print("|---|---|---|---|---|---|---|---|---|")
    print("\n".join(rows))
    sys.exit(not good)


main()
