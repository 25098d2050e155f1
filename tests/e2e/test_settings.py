"""errand.conf, the environment and the command line: what counts, what is said of it, and SIGHUP."""

import os
import re
import signal
import subprocess
import tempfile
import time

import pytest

from conftest import BUILD, REPORT, TOP

DAEMONS = ("errand-gateway", "errand-service")


def run(program, *args, cwd=None, **environment):
    env = dict(os.environ, **environment)
    r = subprocess.run([os.path.join(BUILD, program), *args], cwd=cwd, capture_output=True, text=True, timeout=60,
                       check=False, env=env)
    assert not REPORT.search(r.stderr), r.stderr
    return r.returncode, r.stdout, r.stderr


@pytest.fixture
def work(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return tmp_path
    return write


def shown(program, *args, **more):
    """-T as {name: (value, source)}."""
    status, out, err = run(program, "-T", *args, **more)
    assert (status, err) == (0, ""), err
    joined = re.sub(r"\n    ", " ", out)
    return {m[1]: (m[2], m[3]) for m in re.finditer(r"^([a-z0-9-]+) = (.*) ; (.+)$", joined, re.M)}


def test_what_counts(work):
    cwd = work("errand.conf", "[gateway]\nmax-body = 1M\nmax_head = 8K\nhost = a.example\n    b.example c.example\n")
    work("conf.d/20.conf", "[gateway]\nmax-body = 3M\n")
    work("conf.d/10.conf", "[gateway]\nmax-body = 2M\nhead-timeout = 3s\n")
    work("conf.d/.hidden.conf", "[nonsense\n")
    work("conf.d/30.conf~", "[nonsense\n")
    files = ("-c", "errand.conf", "-c", "conf.d")
    got = shown("errand-gateway", *files, cwd=cwd)
    assert got["max-body"] == ("3M", "conf.d/20.conf:2")
    assert got["max-head"] == ("8K", "errand.conf:3")
    assert got["head-timeout"] == ("3s", "conf.d/10.conf:3")
    assert got["host"] == ("a.example b.example c.example", "errand.conf:4")
    assert got["idle-timeout"] == ("75s", "default")
    env = {"ERRAND_GATEWAY_MAX_BODY": "4M", "ERRAND_GATEWAY_HOST": "d.example"}
    got = shown("errand-gateway", *files, cwd=cwd, **env)
    assert got["max-body"] == ("4M", "ERRAND_GATEWAY_MAX_BODY")
    assert got["host"] == ("d.example", "ERRAND_GATEWAY_HOST")
    got = shown("errand-gateway", *files, "--max-body", "5M", "--host=e", "--host", "f", cwd=cwd, **env)
    assert got["max-body"] == ("5M", "--max-body")
    assert got["host"] == ("e f", "--host")
    got = shown("errand-gateway", cwd=cwd, ERRAND_GATEWAY_CONFIG="conf.d errand.conf")
    assert got["max-body"] == ("1M", "errand.conf:2")


def test_what_is_shown_can_be_read(work):
    for daemon in DAEMONS:
        cwd = work("one.conf", "[gateway]\napi-title = Our jobs\n[service]\nqueue = a=1\n  b=2\nslots = 7\n")
        first = shown(daemon, "-c", "one.conf", cwd=cwd)
        _, out, _ = run(daemon, "-T", "-c", "one.conf", cwd=cwd)
        work("two.conf", out)
        second = shown(daemon, "-c", "two.conf", cwd=cwd)
        assert {k: v[0] for k, v in first.items()} == {k: v[0] for k, v in second.items()}


TEN_WAYS = [
    ("errand-gateway", "[gateway]\nmax-bodi = 1M\n",
     "a.conf:2:1: errand-gateway has no setting max-bodi: did you mean max-body?"),
    ("errand-gateway", "[gateway]\nmax-body = 1 MB\n",
     "a.conf:2:12: max-body: '1 MB' is not a size like 4096, 64K or 1M"),
    ("errand-gateway", "[gateway]\nidle-timeout = 75\n",
     "a.conf:2:16: idle-timeout: '75' is not a time with its unit, like 250ms, 10s or 2m"),
    ("errand-gateway", "[gateway]\nthreads = 99\n", "a.conf:2:11: threads: '99' is out of range: from 0 to 16"),
    ("errand-gateway", "[gatewya]\n", "a.conf:1:1: no such section: did you mean [gateway]?"),
    ("errand-gateway", "[gateway\nthreads = 1\n", "a.conf:1:1: a section without its ]"),
    ("errand-gateway", "[gateway]\nthreads\n", 'a.conf:2:1: this is no "key = value"'),
    ("errand-gateway", "[gateway]\nthreads = 1\nthreads = 2\n", "a.conf:3:1: threads stands in line 2 already"),
    ("errand-gateway", "[gateway]\ngzip = much\n", "a.conf:2:1: gzip: much: give a size, as 1K, or on, or off"),
    ("errand-gateway", "[gateway]\ncheck = yes\n", "a.conf:2:1: check is for the command line alone: --check"),
    ("errand-service", "[service]\nslots = many\n", "a.conf:2:9: slots: 'many' is not a whole number"),
    ("errand-service", "[service]\nqueue = a=1 b=x\n",
     "a.conf:2:1: queue: b=x: write NAME=SLOTS, with 1 to 10000 slots"),
    ("errand-service", "[service]\nallow-uid = nobody-of-that-name\n",
     "a.conf:2:1: allow-uid: nobody-of-that-name: no such user"),
    ("errand-service", "[command x]\ncommand = /bin/true\n",
     "a.conf:1:1: write [command PACKAGE.Service/Method], all of them words of letters, digits and '_'"),
    ("errand-service", "slots = 1\n", "a.conf:1:1: a key before the first [section]"),
    ("errand-service", "[service]\nlog-level = loud\n", "a.conf:2:1: log-level: loud: error, warn, info or debug"),
]


@pytest.mark.parametrize("program, text, fault", TEN_WAYS)
def test_a_wrong_configuration(work, program, text, fault):
    cwd = work("a.conf", text)
    status, out, err = run(program, "-t", "-c", "a.conf", cwd=cwd)
    assert (status, out) == (78, "")
    assert err.splitlines()[0] == fault


def test_all_faults_at_once(work):
    cwd = work("a.conf", "[service]\nslots = x\n[command a.v1.A/B]\ncommand = /bin/true\ntimout = 1s\n[servce]\n")
    status, _, err = run("errand-service", "-t", "-c", "a.conf", cwd=cwd)
    assert status == 78
    assert err.splitlines() == [
        "a.conf:2:9: slots: 'x' is not a whole number",
        "a.conf:5:1: unknown key timout (did you mean timeout?)",
        "a.conf:6:1: no such section: did you mean [service]?",
        "errand-service: 3 faults in the configuration, see above",
    ]


def test_files_that_cannot_be_used(work):
    cwd = work("open.conf", "[gateway]\n")
    os.chmod(cwd / "open.conf", 0o666)
    status, _, err = run("errand-gateway", "-t", "-c", "open.conf", "-c", "away.conf", cwd=cwd)
    assert status == 78
    assert err.splitlines()[:2] == ["open.conf: everybody can write it: chmod o-w",
                                    "away.conf: cannot be read: No such file or directory"]


def test_a_directory_that_cannot_be_read():
    """What is in it would be missed without a word."""
    as_other = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o755)
        os.mkdir(f"{d}/conf.d", 0o700 if as_other else 0)
        check = [os.path.join(BUILD, "errand-gateway"), "-t", "-c"]
        if subprocess.run([*check, "none"], capture_output=True, check=False, cwd=d, **as_other).returncode != 0:
            pytest.skip("the build is not for other users")
        r = subprocess.run([*check, "conf.d"], capture_output=True, text=True, check=False, cwd=d, **as_other)
    assert r.returncode == 78
    assert r.stderr.splitlines()[0] == "conf.d: cannot be read: Permission denied"


def test_a_wrong_environment():
    status, _, err = run("errand-gateway", "-t", ERRAND_GATEWAY_MAX_BODI="1")
    assert (status, err) == (78, "errand-gateway: environment ERRAND_GATEWAY_MAX_BODI: there is no setting max-bodi: "
                             "see --help\n")
    status, _, err = run("errand-service", "-t", ERRAND_SERVICE_SLOTS="x")
    assert (status, err) == (78, "errand-service: environment ERRAND_SERVICE_SLOTS: 'x' is not a whole number\n")
    status, _, err = run("errand-service", "-t", ERRAND_SERVICE_MODE="9")
    assert (status, err) == (78, "errand-service: environment ERRAND_SERVICE_MODE: 9: write it in octal, as 0660\n")


def test_describe():
    for daemon in DAEMONS:
        for what in ("conf", "mdoc", "tsv"):
            status, out, err = run(daemon, "--describe", what)
            assert (status, err) == (0, "") and len(out.splitlines()) > 20
        status, _, err = run(daemon, "--describe", "html")
        assert (status, err) == (64, f"{daemon}: --describe html: conf, mdoc or tsv\n")


def logged(pair, name, pattern, since=0):
    """Waits for a line of a daemon's log."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        text = getattr(pair, name).text()[since:]
        m = re.search(pattern, text)
        if m:
            return m
        time.sleep(0.02)
    raise AssertionError(f"no {pattern} in the log of {name}: {text[-2000:]}")


def test_reload_of_the_gateway(make_pair, work):
    cwd = work("gw.conf", "[gateway]\nmax-body = 1K\nthreads = 2\n")
    conf = cwd / "gw.conf"
    pair = make_pair(gateway_args=["--config", str(conf)])
    big = b'{"input_path":"' + b"x" * 4096 + b'"}'
    head = {"Content-Type": "application/json"}
    assert pair.request("POST", "/encode", big, head).status == 413
    conf.write_text("[gateway]\nmax-body = 1M\nthreads = 1\n", encoding="utf-8")
    pair.gateway.popen.send_signal(signal.SIGHUP)
    logged(pair, "gateway", "setting changed\" name=max-body value=1M")
    logged(pair, "gateway", "a restart is needed for it\" name=threads value=1")
    end = time.monotonic() + 20
    while pair.request("POST", "/encode", big, head).status == 413:
        assert time.monotonic() < end
    conf.write_text("[gateway]\nmax-body = none\n", encoding="utf-8")
    at = len(pair.gateway.text())
    pair.gateway.popen.send_signal(signal.SIGHUP)
    logged(pair, "gateway", "gw.conf:2:12: max-body: 'none' is not a size", at)
    logged(pair, "gateway", "cannot be used, the former one stays", at)
    assert pair.request("POST", "/encode", big, head).status != 413


def test_reload_of_the_service(make_pair, work):
    one = "[command a.v1.A/One]\nroute = POST /one\ncommand = /bin/echo one\nrun = sync\n"
    two = "[command a.v1.A/Two]\nroute = POST /two\ncommand = /bin/echo two\nrun = sync\n"
    cwd = work("s.conf", "[service]\nlog-level = info\n" + one)
    conf = cwd / "s.conf"
    pair = make_pair(service_args=["--config", str(conf)])
    assert pair.request("POST", "/one").json()["output"].strip() == "one"
    assert pair.request("POST", "/two").status == 404
    conf.write_text("[service]\nlog-level = debug\nslots = 9\n" + one.replace("echo one", "echo 1") + two,
                    encoding="utf-8")
    pair.service.popen.send_signal(signal.SIGHUP)
    logged(pair, "service", "programs changed\" methods=2")
    logged(pair, "service", "setting changed\" name=log-level value=debug")
    logged(pair, "service", "a restart is needed for it\" name=slots value=9")
    end = time.monotonic() + 20
    while pair.request("POST", "/two").status == 404:
        assert time.monotonic() < end
    assert pair.request("POST", "/two").json()["output"].strip() == "two"
    assert pair.request("POST", "/one").json()["output"].strip() == "1"
    at = len(pair.service.text())
    conf.write_text(one + two.replace("POST /two", "POST /one"), encoding="utf-8")
    pair.service.popen.send_signal(signal.SIGHUP)
    logged(pair, "service", "programs: the former configuration stays", at)
    assert pair.request("POST", "/two").status == 200
    conf.write_text("[service]\n", encoding="utf-8")
    pair.service.popen.send_signal(signal.SIGHUP)
    logged(pair, "service", "programs changed\" methods=0", at)
    end = time.monotonic() + 20
    while pair.request("POST", "/two").status != 404:
        assert time.monotonic() < end


def test_documents_say_what_the_tables_say():
    """man/errand.conf.5 and packaging/errand.conf are made of the tables (tests/style/settings.sh)."""
    r = subprocess.run([os.path.join(TOP, "tests", "style", "settings.sh")], capture_output=True, text=True,
                       env=dict(os.environ, BUILDDIR=BUILD), timeout=60, check=False)
    assert r.returncode == 0, r.stdout + r.stderr
