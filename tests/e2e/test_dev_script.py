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


def test_deb_says_what_it_takes():
    r = run("deb", "--install")
    assert (r.returncode, r.stdout, r.stderr) == (1, "", "dev: usage: ./dev deb [--try]\n")


def test_packages_are_tried_by_root_and_where_there_are_some(tmp_path):
    program = os.path.join(TOP, "tests", "packages", "try.py")
    r = subprocess.run([program, str(tmp_path)], capture_output=True, text=True, timeout=20)
    if os.geteuid() != 0:
        assert r.returncode == 77 and "run it as root" in r.stderr
    else:
        assert r.returncode in (1, 77) and ("has no packages: ./dev deb makes them" in r.stderr or r.returncode == 77)
