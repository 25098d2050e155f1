"""Programs as methods (--config): what they are given, and what they are kept from."""

import ctypes
import os
import re

import pytest

from conftest import Pair, processes, wait_until

CONFIG = """
[command confined.v1.Given/Report]
param.text = string default=x
run = sync
command = sh -c 'ls /proc/$$/fd; env | sort; umask; ulimit -c; ulimit -n; ulimit -f; grep -E "^(Sig(Blk|Ign)|NoNewPrivs)" /proc/self/status'
env.GREETING = {text}
umask = 027
open_files = 33
file_size = 1M

[command confined.v1.Given/Told]
run = sync
command = sh -c 'echo "{{}}" >&3; ls /proc/$$/fd; exit 0'
progress.fd3 = yes

[command confined.v1.Given/Leave]
command = sh -c 'sleep SECONDS & exec sleep SECONDS'
"""

WITH_FILES = """
[command confined.v1.Files/Copy]
param.from = path required in=/ must=any
run = sync
command = cp {from} DIR/out/copy
read = /usr/bin /bin DIR/in
write = DIR/out

[command confined.v1.Files/Nothing]
run = sync
command = DIR/in/script
read = DIR/in
"""

AS_NOBODY = """
[command confined.v1.User/Who]
run = sync
command = sh -c 'id -un; id -gn; id -G | wc -w; grep CapEff /proc/self/status; cat DIR/in/root && echo LEAK; touch mine && stat -c %U mine'
directory = temporary
user = nobody

[command confined.v1.User/Linked]
run = sync
command = sh -c 'ln DIR/in/open {@dir}/out && echo linked >&2 || cp DIR/in/open {@dir}/out'
directory = temporary
result = file {@dir}/out text/plain
user = nobody

[command confined.v1.User/Stay]
command = sleep SECONDS
user = nobody
"""

HAS_LANDLOCK = ctypes.CDLL(None).syscall(444, None, 0, 1) > 0  # its version
SECONDS = f"1000.{os.getpid()}"  # whose sleep it is
SECRETS = ("ERRAND_SECRET", "hunter2")


@pytest.fixture(name="own", scope="module")
def own_pair():
    p = Pair()
    os.chmod(p.dir, 0o755)
    for name in ("in", "out"):
        os.mkdir(p.path(name))
    for name, text in (("in/given", "given\n"), ("secret", "secret\n"), ("in/root", "root's\n"), ("in/script", "#!/bin/sh\n")):
        with open(p.path(name), "w", encoding="utf-8") as f:
            f.write(text)
    os.chmod(p.path("in", "root"), 0o600)
    with open(p.path("in", "open"), "w", encoding="utf-8") as f:
        f.write("anybody's\n")
    os.chmod(p.path("in", "open"), 0o666)
    os.chmod(p.path("in", "script"), 0o755)
    text = CONFIG + (WITH_FILES if HAS_LANDLOCK else "") + (AS_NOBODY if os.geteuid() == 0 else "")
    with open(p.path("confined.conf"), "w", encoding="utf-8") as f:
        f.write(text.replace("DIR", p.dir).replace("SECONDS", SECONDS))
    p.service_args += ["--config", p.path("confined.conf")]
    p.env[SECRETS[0]] = SECRETS[1]
    try:
        yield p.start()
    finally:
        p.close()


def output(pair, method, body=None):
    r = pair.post(f"/confined.v1.{method}", body or {})
    assert r.status == 200, r
    return r.json()["output"]


def test_what_it_is_given(own):
    """FAULTS 31."""
    lines = output(own, "Given/Report", {"text": "$(id)"}).splitlines()
    assert lines[:3] == ["0", "1", "2"]
    names = {line.partition("=")[0] for line in lines if re.match(r"[A-Z_]+=", line)}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {"PATH", "HOME", "LANG", "TMPDIR", "GREETING", "TRACEPARENT",
                                                            "ERRAND_REQUEST_ID"}, lines
    assert "GREETING=$(id)" in lines
    assert not any(s in line for s in SECRETS for line in lines)
    at = lines.index("0027")
    assert lines[at:at + 4] == ["0027", "0", "33", "2048"]
    assert "SigBlk:\t0000000000000000" in lines and "SigIgn:\t0000000000000000" in lines
    assert "NoNewPrivs:\t1" in lines
    assert output(own, "Given/Told").split() == ["0", "1", "2", "3"]


@pytest.mark.skipif(not HAS_LANDLOCK, reason="this kernel has no Landlock")
def test_files_out_of_reach(own):
    assert output(own, "Files/Copy", {"from": own.path("in", "given")}) == ""
    with open(own.path("out", "copy"), encoding="utf-8") as f:
        assert f.read() == "given\n"
    for other in (own.path("secret"), "/etc/passwd", "/proc/self/environ"):
        r = own.post("/confined.v1.Files/Copy", {"from": other})
        assert r.status >= 400 and "denied" in r.json()["detail"], r
    os.symlink(own.path("secret"), own.path("in", "link"))
    r = own.post("/confined.v1.Files/Copy", {"from": own.path("in", "link")})
    assert r.status >= 400 and "denied" in r.json()["detail"], r
    r = own.post("/confined.v1.Files/Nothing", {})  # its interpreter is not named
    assert r.status == 503, r


@pytest.mark.skipif(os.geteuid() != 0, reason="switches users, which needs root")
def test_another_user(own):
    lines = output(own, "User/Who").splitlines()
    assert lines[0] == "nobody" and lines[2].strip() == "1" and lines[3] == "CapEff:\t0000000000000000", lines
    assert "LEAK" not in lines and lines[-1] == "nobody", lines


@pytest.mark.skipif(os.geteuid() != 0, reason="switches users, which needs root")
def test_another_user_chooses_no_file_by_a_hard_link(own):
    """Where the kernel lets it link what it may not read, the service would read that for it."""
    r = own.post("/confined.v1.User/Linked", {})
    assert r.status == 500 and "is a hard link" in r.json()["detail"], r


def test_all_of_it_dies_with_the_service(own):
    """FAULTS 26, for programs as methods, of other users too."""
    methods = ["Given/Leave"] + (["User/Stay"] if os.geteuid() == 0 else [])
    tasks = [own.submit(f"/confined.v1.{m}", {}) for m in methods]
    for t in tasks:
        own.wait_task(t, ("RUNNING",))
    wait_until(lambda: len(processes("sleep", SECONDS)) == len(methods) + 1, what="programs")
    own.service.kill()
    wait_until(lambda: not processes("sleep", SECONDS), timeout=10, what="nobody left")
    own.start_service()
    own.wait_ready()
    for t in tasks:
        own.post(f"/v1/tasks/{t}:cancel")
        own.wait_task(t, ("CANCELLED",))
