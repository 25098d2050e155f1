"""Is it flat? What a process holds (kB of RSS, descriptors) as samples over time, and the bound it breaks.

Two questions, since a process that is killed each minute has no time to show a small leak, and one
that lives on has no restarts that could leave something behind: do later incarnations weigh more
than earlier ones, and does one that is left alone grow?
"""

import collections
import statistics

Sample = collections.namedtuple("Sample", "who born at rss fds")  # born: names the incarnation


class Bounds:
    """What may come on top: a part of the start, and a sum (kB; descriptors)."""

    def __init__(self, part=0.05, rss_kb=3072, fds=8):
        self.part, self.rss_kb, self.fds = part, rss_kb, fds


def thirds(values):
    """The medians of the first and the last third; None of fewer than six."""
    n = len(values) // 3
    return (statistics.median(values[:n]), statistics.median(values[-n:])) if n >= 2 else None


def faults(what, values, bounds):
    """values: (rss, fds) in order of time."""
    for name, column, most in (("kB of RSS", 0, bounds.rss_kb), ("descriptors", 1, bounds.fds)):
        ends = thirds([v[column] for v in values])
        if ends and ends[1] > ends[0] * (1 + bounds.part) + most:
            yield f"{what}: {ends[0]:.0f} {name} became {ends[1]:.0f}"


def across(samples, bounds, age):
    """Of each incarnation that lived `age` seconds, what it held at that age."""
    for who in sorted({s.who for s in samples}):
        at = {}
        for s in samples:
            if s.who == who and s.at - s.born >= age:
                at.setdefault(s.born, (s.rss, s.fds))
        yield from faults(f"{who}, from one life to the next", [at[born] for born in sorted(at)], bounds)


def within(samples, bounds, warm):
    """Of the last incarnation of each, without its first `warm` seconds."""
    for who in sorted({s.who for s in samples}):
        mine = [s for s in samples if s.who == who]
        last = [(s.rss, s.fds) for s in mine if s.born == mine[-1].born and s.at - s.born >= warm]
        yield from faults(f"{who}, left alone", last, bounds)
