#!/usr/bin/env python3
"""Installs the Debian packages as an administrator does and uses them: try.py DIR-WITH-PACKAGES

Everything happens in namespaces of its own (mounts, processes, network) below an overlay over /, whose upper
layer is memory: dpkg, users, units and files are the machine's, and nothing of the machine changes. init.py
stands in for systemd. Ends with "N passed, N failed"; exit status 77 where there are no such namespaces."""

import glob
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap
import threading
import time
import traceback
import urllib.error
import urllib.request

TOP = pathlib.Path(__file__).resolve().parents[2]
UPPER = "/run"  # a place for the upper layer: mounted over, in the private namespace
WORK = "/tmp/try"  # inside: the packages, this program, what is compiled
URL = "http://127.0.0.1:8080"
CONF, TOKENS = "/etc/errand", "/etc/errand/tokens"
UNITS = [f"errand-{d}.{kind}" for d in ("service", "gateway") for kind in ("socket", "service")]
STORE = "/var/lib/errand/tasks.db"
PROGRAM = """[command try.v1.Try/Greet]
param.name = string required
route = POST /try/{name}
command = /usr/bin/printf hello,%s {name}
"""
CLIENT = r"""
#include <errand/client.h>
#include <stdio.h>
int main(void)
{
	struct errand_client *client;
	struct errand_reply *reply = NULL;
	if (errand_client_open(&client, NULL, NULL) != 0 ||
	    errand_client_call(client, "errand.v1.Servers", "GetServer", NULL, 0, NULL, &reply) != 0)
		return fprintf(stderr, "%s\n", errand_client_error(client)), 1;
	printf("%d %d\n", reply->code, reply->payload_len > 0);
	errand_reply_free(reply);
	errand_client_close(client);
	return 0;
}
"""


# --- the private machine ---

def cannot(why):
    print(f"try.py: {why}", file=sys.stderr)
    sys.exit(77)


def enter(packages):
    """This program again, in namespaces of its own."""
    if os.geteuid() != 0:
        cannot("installing packages takes root, also where nothing stays: run it as root")
    if not shutil.which("dpkg") or not shutil.which("unshare"):
        cannot("dpkg and unshare are wanted: this is for Debian")
    debs = [d for d in glob.glob(f"{packages}/*.deb") if "-dbgsym_" not in d]
    if not debs:
        sys.exit(f"try.py: {packages} has no packages: ./dev deb makes them")
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--ipc"]
    if subprocess.run([*namespaces, "true"], check=False).returncode != 0:
        cannot("unshare makes no namespaces here (in a container: CAP_SYS_ADMIN is needed)")
    os.execvp("unshare", [*namespaces, "/usr/bin/python3", os.path.abspath(__file__), "--inside", *debs])


def mount(*words):
    return subprocess.run(["mount", *words], check=False, capture_output=True, text=True)


def private_root(debs):
    """The overlay, with what a root needs; this process is in it afterwards."""
    files = [*debs, *(TOP / f for f in ("tests/packages/init.py", "tests/e2e/activate.py", "docs/HACKING.md"))]
    kept = {os.path.basename(f): pathlib.Path(f).read_bytes() for f in files}
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "-o", "mode=755", "upper", UPPER)
    for d in ("upper", "work", "root"):
        os.mkdir(f"{UPPER}/{d}")
    root = f"{UPPER}/root"
    made = mount("-t", "overlay", "-o", f"lowerdir=/,upperdir={UPPER}/upper,workdir={UPPER}/work", "overlay", root)
    if made.returncode != 0:
        cannot(f"no overlayfs here: {made.stderr.strip()}")
    mount("--rbind", "/dev", f"{root}/dev")
    mount("-t", "proc", "proc", f"{root}/proc")
    for d, mode in (("run", "755"), ("tmp", "1777")):
        mount("-t", "tmpfs", "-o", f"mode={mode}", d, f"{root}/{d}")
    os.chroot(root)
    os.chdir("/")
    os.mkdir(WORK)
    for name, data in kept.items():
        pathlib.Path(WORK, name).write_bytes(data)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for f in ("/usr/sbin/policy-rc.d", "/etc/dpkg/dpkg.cfg.d/excludes", "/etc/dpkg/dpkg.cfg.d/docker"):
        if os.path.exists(f):  # a container's: "start nothing", "no manual pages"
            os.unlink(f)
    for name in list(os.environ):
        if name.startswith(("ERRAND_", "XDG_", "PYTHON")):
            del os.environ[name]
    os.environ.update(PATH="/usr/sbin:/usr/bin:/sbin:/bin", HOME="/root", DEBIAN_FRONTEND="noninteractive", LC_ALL="C.UTF-8")


# --- what an administrator does ---

def run(*argv, ok=True, **more):
    out = subprocess.run([str(a) for a in argv], check=False, capture_output=True, text=True,
                         stdin=subprocess.DEVNULL, **more)
    assert not ok or out.returncode == 0, f"{argv} ended with {out.returncode}:\n{out.stdout}{out.stderr}"
    return out


def http(path, token=None, body=None):
    """(status, JSON)"""
    request = urllib.request.Request(URL + path, data=body if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as e:
        with e:
            e.read()
            return e.code, None


def wait_for(what, condition, seconds=20):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.05)
    return value


def files():
    """Paths below which packages and their scripts write, but for dpkg's own."""
    found = set()
    for top in ("/etc", "/usr", "/lib/systemd", "/var"):
        for directory, _, names in os.walk(top):
            if not directory.startswith(("/var/lib/dpkg", "/var/cache", "/var/log/journal", "/var/lib/apt")):
                found.update(f"{directory}/{n}" for n in names)
                found.add(directory)
    return found


def settings(name, text=None):
    file = pathlib.Path(CONF, "conf.d", name)
    if text is None:
        file.unlink()
    else:
        file.write_text(text)


def bump(debs, version):
    """The same packages with another version, and a new default in errand.conf."""
    bumped = []
    for deb in debs:
        tree = f"{deb}.tree"
        run("dpkg-deb", "-R", deb, tree)
        control = pathlib.Path(tree, "DEBIAN/control")
        old = re.search(r"^Version: (.*)$", control.read_text(), re.M)[1]
        control.write_text(re.sub(rf"(^Version: |\(= ){re.escape(old)}", rf"\g<1>{old}{version}", control.read_text(), flags=re.M))
        conf = pathlib.Path(tree, "etc/errand/errand.conf")
        if conf.exists():
            conf.write_text(conf.read_text() + "; of the next version\n")
        bumped.append(deb.replace(".deb", ".next.deb"))
        run("dpkg-deb", "-b", "-Zgzip", "-z1", tree, bumped[-1])
        shutil.rmtree(tree)
    return bumped


class Asking:
    """A client that asks without a pause; what went wrong is counted."""

    def __init__(self, token):
        self.done, self.asked, self.wrong = threading.Event(), 0, []
        self.thread = threading.Thread(target=self.ask, args=(token,))

    def ask(self, token):
        while not self.done.is_set():
            try:
                status = http("/v1/server", token)[0]
            except OSError as e:
                status = repr(e)
            self.asked += 1
            if status != 200:
                self.wrong.append(status)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()


class Administrator:
    """The steps in their order; each is a check, and later ones stand on earlier ones."""

    def __init__(self, init, debs):
        self.init, self.debs = init, debs
        self.names = [re.sub(r"_.*", "", os.path.basename(d)) for d in debs]
        self.before = files()
        self.token = self.task = None

    def dpkg(self, *words):
        return run("dpkg", *words)

    def step_01_install_starts_both_daemons(self):
        out = self.dpkg("-i", *self.debs)
        assert set(self.init.units) == set(UNITS), (self.init.asked, out.stdout + out.stderr)
        assert all(map(self.init.enabled, UNITS))
        for name in self.names:
            assert run("dpkg-query", "-W", "-f=${db:Status-Abbrev}", name).stdout.strip() == "ii", name
            run("dpkg", "--verify", name)
        wait_for("readiness", lambda: http("/readyz")[0] == 200)
        assert http("/v1/server")[0] == 200

    def step_02_each_daemon_is_its_own_user(self):
        for daemon, user in (("service", "errand"), ("gateway", "errand-gateway")):
            process = self.init.units[f"errand-{daemon}.service"].process
            out = run("ps", "-o", "user:32=,args=", "-p", process.pid).stdout.split()
            assert out[:2] == [user, f"/usr/sbin/errand-{daemon}"], out
        owner = os.stat(STORE)
        assert run("id", "-u", "errand").stdout.strip() == str(owner.st_uid) and owner.st_mode & 0o077 == 0
        out = run("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "errand", "ping", "-c", "1", ok=False)
        assert out.returncode != 0 and "ermission denied" in out.stderr, out
        run("errand", "ping", "-c", "1")

    def step_03_files_that_others_use_are_there(self):
        for f in ("/usr/share/man/man1/errand.1.gz", "/usr/share/bash-completion/completions/errand",
                  "/usr/share/errand/errand.conf", "/usr/share/errand/prometheus/errand.rules.yml"):
            assert os.path.getsize(f) > 100, f
        assert re.search(r" \d+\.\d+", run("errand", "--version").stdout)
        with urllib.request.urlopen(URL + "/docs", timeout=20) as page:
            assert b"swagger-ui" in page.read(), "errand-docs-ui is installed"

    def step_04_a_token_is_wanted_after_a_reload(self):
        made = run("errand", "token", "create", "ci", "--scope", "operate")
        self.token = made.stdout.split()[-1]
        shutil.chown(TOKENS, group="errand-gateway")
        os.chmod(TOKENS, 0o640)
        settings("10-tokens.conf", f"[gateway]\ntokens = {TOKENS}\n")
        run("errand-gateway", "-t")
        run("systemctl", "reload", "errand-gateway.service")
        assert http("/v1/server")[0] == 401
        assert http("/v1/server", "errand_wrong")[0] == 401
        assert http("/v1/server", self.token)[0] == 200

    def step_05_a_rotated_token_counts_no_more(self):
        old, self.token = self.token, run("errand", "token", "rotate", "ci").stdout.split()[-1]
        assert self.token != old
        wait_for("the new token", lambda: http("/v1/server", self.token)[0] == 200)
        assert http("/v1/server", old)[0] == 401
        assert os.stat(TOKENS).st_mode & 0o777 == 0o640 and pathlib.Path(TOKENS).group() == "errand-gateway"

    def step_06_broken_settings_are_named_and_do_no_harm(self):
        for daemon in ("gateway", "service"):
            settings("90-broken.conf", f"[{daemon}]\nlog-levle = debug\n")
            try:
                out = run(f"errand-{daemon}", "-t", ok=False)
                assert out.returncode == 78, out
                assert "90-broken.conf:2" in out.stderr and "log-levle" in out.stderr, out.stderr
                run("systemctl", "reload", f"errand-{daemon}.service")
                assert "90-broken.conf" in self.init.units[f"errand-{daemon}.service"].text()
                assert http("/v1/server", self.token)[0] == 200 and http("/v1/server")[0] == 401
            finally:
                settings("90-broken.conf")
            run("systemctl", "reload", f"errand-{daemon}.service")

    def step_07_the_doctor_finds_nothing_wrong(self):
        out = run("errand", "doctor", "--json", "--gateway", URL, ok=False)
        found = {f["check"]: f for f in map(json.loads, out.stdout.splitlines())}
        assert {"socket", "service", "gateway", "store", "config-gateway", "config-service"} <= set(found), out
        assert not [f for f in found.values() if f["level"] == "fail"], out.stdout

    def step_08_a_durable_task_and_its_result(self):
        settings("20-try.conf", PROGRAM)
        run("errand-service", "-t")
        run("systemctl", "restart", "errand-service.service")
        status, task = http("/try/world", self.token, {})
        assert status == 202, (status, task)
        self.task = task["id"]
        run("errand", "wait", self.task, "--timeout", "30s")
        assert "hello,world" in run("errand", "result", self.task).stdout
        assert "hello,you" in run("errand", "run", "--quiet", "try.v1.Try/Greet", "name=you").stdout

    def step_09_a_client_is_built_with_liberrand_dev(self):
        pathlib.Path(WORK, "client.c").write_text(CLIENT)
        run("sh", "-c", "cc -Wall -Wextra -Werror -o client client.c $(pkg-config --cflags --libs errand)", cwd=WORK)
        assert run("./client", cwd=WORK).stdout == "0 1\n"
        pages = run("man", "-w", "errand_client").stdout if shutil.which("man") else "errand_client.3"
        assert "errand_client.3" in pages

    def step_10_a_module_is_built_and_served(self):
        text = pathlib.Path(WORK, "HACKING.md").read_text()
        blocks = {k: textwrap.dedent(v) for k, v in re.findall(r"^   ```(proto|c|sh)\n(.*?)^   ```", text, re.M | re.S)}
        for kind in ("proto", "c"):
            pathlib.Path(WORK, f"shop.{kind}").write_text(blocks[kind])
        run("sh", "-ec", blocks["sh"], cwd=WORK)
        shutil.copy(f"{WORK}/shop.so", "/usr/local/lib/shop.so")
        settings("30-shop.conf", "[service]\nmodule = /usr/local/lib/shop.so\n")
        run("systemctl", "restart", "errand-service.service")
        wait_for("the module", lambda: http("/greet/world", self.token) == (200, {"text": "hello, world"}))

    def step_11_an_upgrade_keeps_settings_store_and_requests(self):
        conf = pathlib.Path(CONF, "errand.conf")
        conf.write_text(conf.read_text() + "; the administrator's line\n")
        pids = {self.init.units[u].process.pid for u in UNITS if u.endswith(".service")}
        next_debs = bump(self.debs, "+try1")
        with Asking(self.token) as client:
            self.dpkg("--force-confdef", "-i", *next_debs)
            wait_for("readiness", lambda: http("/readyz")[0] == 200)
        assert client.asked > 0 and not client.wrong, f"{len(client.wrong)} of {client.asked}: {client.wrong[:3]}"
        assert not pids & {self.init.units[u].process.pid for u in UNITS if u.endswith(".service")}, "old daemons still run"
        for name in self.names:
            assert run("dpkg-query", "-W", "-f=${Version}", name).stdout.endswith("+try1")
        text = conf.read_text()
        assert "administrator's line" in text and "of the next version" not in text
        assert "of the next version" in pathlib.Path(CONF, "errand.conf.dpkg-dist").read_text()
        assert "hello,world" in run("errand", "result", self.task).stdout
        assert http("/v1/server")[0] == 401 and http("/v1/server", self.token)[0] == 200

    def step_12_a_removal_stops_and_keeps_settings_and_store(self):
        self.dpkg("-r", *self.names)
        assert not self.init.units, self.init.units.keys()
        assert not os.path.exists("/usr/sbin/errand-service") and not os.path.exists("/usr/bin/errand")
        for f in (STORE, TOKENS, f"{CONF}/errand.conf", f"{CONF}/conf.d/20-try.conf"):
            assert os.path.exists(f), f

    def step_13_installed_again_it_goes_on(self):
        self.dpkg("--force-confdef", "-i", *self.debs)
        wait_for("readiness", lambda: http("/readyz")[0] == 200)
        assert "hello,world" in run("errand", "result", self.task).stdout
        assert http("/v1/server", self.token)[0] == 200
        assert "administrator's line" in pathlib.Path(CONF, "errand.conf").read_text()

    def step_14_a_purge_leaves_what_the_administrator_made(self):
        self.dpkg("-P", *self.names)
        assert not self.init.units
        left = files() - self.before
        made = {CONF, TOKENS, f"{TOKENS}.lock", f"{CONF}/conf.d", *(f"{CONF}/conf.d/{n}" for n in ("10-tokens.conf", "20-try.conf", "30-shop.conf")),
                "/usr/local/lib/shop.so", *(f"/etc/{n}-" for n in ("passwd", "group", "shadow", "gshadow"))}
        assert left <= made, sorted(left - made)
        assert {TOKENS, f"{CONF}/conf.d/20-try.conf"} <= left, left
        assert self.before <= files(), sorted(self.before - files())
        for user in ("errand", "errand-gateway"):  # an UID is not to be somebody else's later
            run("id", user)
        for name in self.names:
            assert run("dpkg-query", "-W", name, ok=False).returncode != 0, name


def inside(debs):
    private_root(debs)
    sys.dont_write_bytecode = True
    sys.path.insert(0, WORK)
    from init import Init  # its copy in there
    administrator = Administrator(Init(), [f"{WORK}/{os.path.basename(d)}" for d in debs])
    steps = sorted(name for name in dir(Administrator) if name.startswith("step_"))
    passed = failed = 0
    for name in steps:
        words = name[8:].replace("_", " ")
        begin = time.monotonic()
        try:
            getattr(administrator, name)()
        except Exception as e:
            failed += 1
            where = [f.lineno for f in traceback.extract_tb(e.__traceback__) if f.filename == __file__]
            print(f"FAILED {words}\n       try.py, line {where[1:]}: {e!r}".replace("\\n", "\n       "), flush=True)
        else:
            passed += 1
            print(f"ok     {words} ({time.monotonic() - begin:.1f} s)", flush=True)
    if failed:
        for log in sorted(glob.glob("/run/errand-*.log")):
            with open(log, encoding="utf-8", errors="replace") as f:
                lines = [line for line in f if not re.match(r"\{.*\"status\":\d", line)]  # not the access log
            print(f"--- {log}\n{''.join(lines[-30:])}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2:])
    elif len(sys.argv) == 2:
        enter(sys.argv[1])
    else:
        sys.exit("usage: try.py DIR-WITH-PACKAGES")
