"""./dev itself: what it says to those who call it wrongly."""

import os
import subprocess

import pytest

from conftest import TOP, need


def run(*args):
    return subprocess.run([os.path.join(TOP, "dev"), *args], capture_output=True, text=True, timeout=20)


@pytest.mark.parametrize("args", [(), ("0",), ("-1",), ("ten",), ("1.5",), ("10s",), ("1", "2"), ("",)])
def test_fuzz_says_what_it_takes(args):
    r = run("fuzz", *args)
    assert r.returncode == 1 and r.stdout == ""
    assert r.stderr == "dev: usage: ./dev fuzz SECONDS (for each target of tests/fuzz, from 1 on)\n"


def test_help_has_every_command():
    text = run("help").stdout
    with open(os.path.join(TOP, "dev"), encoding="utf-8") as f:
        commands = [line.split("(")[0][4:].replace("_", "-") for line in f if line.startswith("cmd_")]
    assert len(commands) > 8
    for c in commands:
        assert f"\n  {c} " in text, c


def test_no_skips_for_want_of_a_tool(monkeypatch):
    monkeypatch.delenv("ERRAND_TOOLS", raising=False)
    with pytest.raises(pytest.skip.Exception):
        need(False, "a tool")
    monkeypatch.setenv("ERRAND_TOOLS", "1")
    with pytest.raises(pytest.fail.Exception):
        need(None, "a tool")
    need(True, "a tool")
