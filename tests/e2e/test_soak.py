"""The soak (tests/crash/soak.py) in half a minute: ./dev soak has the long form."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "crash"))

import soak  # noqa: E402
import trend  # noqa: E402


def series(start, per_second, count=120, noise=(0, 700, -300, 400)):
    return [trend.Sample("x", 0, i, start + per_second * i + noise[i % len(noise)], 20 + i % 3) for i in range(count)]


@pytest.mark.parametrize("samples, found", [
    (series(20000, 0), False),
    (series(20000, 60), True),                                           # 60 kB a second
    ([s._replace(fds=20 + s.at // 5) for s in series(20000, 0)], True),  # a descriptor each five seconds
    ([s._replace(rss=40000 if s.at < 10 else 20000) for s in series(0, 0)], False),
    ([s._replace(rss=20000 + (9000 if s.at == 100 else 0)) for s in series(0, 0)], False),
])
def test_what_grows_is_found(samples, found):
    assert bool(list(trend.within(samples, trend.Bounds(), 0))) == found


def test_what_restarts_leave_behind_is_found():
    lives = [trend.Sample("x", born, born + age, 20000 + born * 100 + age * 50, 20)
             for born in range(0, 200, 10) for age in range(10)]
    assert list(trend.across(lives, trend.Bounds(), 8))
    assert not list(trend.across([s._replace(rss=s.rss - s.born * 100) for s in lives], trend.Bounds(), 8))


def test_soak():
    """FAULTS 88."""
    run = soak.Soak(24, seed=int(os.environ.get("ERRAND_SEED", "7"))).run()
    print("\n".join(run.report()))
    assert not run.wrong, run.wrong
    assert run.verdict.acked > 50 and sum(run.fleet.kills.values()) >= 4
