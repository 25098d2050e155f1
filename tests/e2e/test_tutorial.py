"""docs/TUTORIAL.md, followed to the letter against an installed errand."""
import pathlib
import re
import signal
import socket
import subprocess

import pytest
from test_install import environment, prefix  # noqa: F401 (a fixture)

TEXT = (pathlib.Path(__file__).resolve().parents[2] / "docs/TUTORIAL.md").read_text()


def blocks():
    """(kind, text): sh, sh background, text, in their order."""
    return [(kind.strip(), body) for kind, body in re.findall(r"^```([a-z ]+)\n(.*?)^```", TEXT, re.M | re.S)]


def matches(shown, printed):
    pattern = r".*".join(map(re.escape, shown.strip().split("...")))
    return re.fullmatch(pattern, printed.strip(), re.S) is not None


def port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture
def reader(prefix, tmp_path):  # noqa: F811
    env = environment(prefix)
    env["PATH"] = f"{prefix}/bin:{prefix}/sbin:{env['PATH']}"
    env.pop("ERRAND_SOCKET", None)
    # It is installed below DESTDIR: where a service looks for modules by name is not there.
    env["MODULES"] = f"{prefix}/lib/errand"
    running = []
    yield tmp_path, env, running
    for p in running:
        p.send_signal(signal.SIGTERM)
        p.wait(60)
    pathlib.Path(env["MODULES"], "shop.so").unlink(missing_ok=True)


def follow(work, env, running):
    """Each block as it is printed; what is exported and `cd` are kept for the next."""
    at, listen = work / "shop", f"127.0.0.1:{port()}"
    cwd, waiting = work, None
    for kind, body in blocks():
        body = body.replace("127.0.0.1:8080", listen).replace("errand dev ", f"errand dev --listen {listen} ")
        body = body.replace("module = shop\n", f"module = {env['MODULES']}/shop.so\n")
        if kind == "sh background":
            for p in running:  # ^C
                p.send_signal(signal.SIGINT)
                p.wait(60)
            running.clear()
            running.append(subprocess.Popen(["bash", "-c", "exec " + body], cwd=at, env=env,
                                            stdout=subprocess.PIPE, stderr=open(work / "log", "ab"), text=True))
            if "errand dev" in body:
                for line in running[-1].stdout:
                    if "state" in line:
                        break
                env["ERRAND_SOCKET"] = str(at / "state/service.sock")
        elif kind == "sh":
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", body], cwd=cwd, env=env, timeout=120,
                                  capture_output=True, text=True)
            assert done.returncode == 0, (body, done.stdout, done.stderr, (work / "log").exists() and
                                          (work / "log").read_text()[-3000:])
            waiting, cwd = done.stdout, at
            if "cd shop" in body:
                waiting = waiting[waiting.index("Makefile"):]
        elif kind == "text":
            assert matches(body, waiting), (body, waiting)


def test_the_tutorial(reader):
    work, env, running = reader
    follow(work, env, running)
    assert (work / "shop/notes.txt").read_text() == "buy milk\n"


def test_it_has_every_kind_of_block():
    kinds = [k for k, _ in blocks()]
    assert kinds.count("sh") >= 12 and kinds.count("sh background") == 2 and kinds.count("text") >= 12
