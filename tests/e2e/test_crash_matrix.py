"""The crash matrix (tests/crash) with few rounds of each kind: ./dev crash has the long form."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "crash"))

import kinds  # noqa: E402


RELEASE = {"memory-fails", "gateway-memory"}  # sanitizers have an allocator of their own


@pytest.mark.parametrize("name", [pytest.param(k, marks=pytest.mark.release) if k in RELEASE else k for k in kinds.KINDS])
def test_matrix(name):
    """FAULTS 1, 2, 5, 6, 7, 10, 24, 26, 27, 35 to 40: nothing acknowledged is lost, nothing ends twice."""
    rounds = int(os.environ.get("ERRAND_CRASH_ROUNDS", "0")) or kinds.KINDS[name][2]
    try:
        rig, verdict = kinds.run(name, rounds, seed=int(os.environ.get("ERRAND_SEED", "7")))
    except kinds.Skip as why:
        pytest.skip(str(why))
    assert verdict.good and verdict.acked > 0, str(verdict)
    assert max(rig.recoveries, default=0) < (10 if kinds.SANITIZED else 2), rig.recoveries
    print(name, verdict, rig.notes)
