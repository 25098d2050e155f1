"""A stand-in for systemd, as far as the packages' units and maintainer scripts go: it reads the installed
unit files, holds their sockets, starts their daemons as their users with LISTEN_FDS and NOTIFY_SOCKET, and
answers what `systemctl` is asked (a program of that name, put before the machine's own, talks to it)."""

import grp
import os
import pwd
import re
import shlex
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time

ETC, LIB = "/etc/systemd/system", "/lib/systemd/system"
ASK = "/run/try-systemctl.sock"
SYSTEMCTL = f"""#!/usr/bin/python3
import socket, sys
with socket.socket(socket.AF_UNIX) as s:
    s.connect({ASK!r})
    s.sendall("\\0".join(sys.argv[1:]).encode() + b"\\n")
    s.shutdown(socket.SHUT_WR)
    status, _, text = b"".join(iter(lambda: s.recv(4096), b"")).decode().partition("\\n")
sys.stdout.write(text)
sys.exit(int(status))
"""


def read_unit(name):
    """{key: [values]} of an installed unit."""
    keys = {}
    with open(f"{LIB}/{name}", encoding="utf-8") as f:
        for line in f:
            if m := re.match(r"(\w+)=(.*)", line):
                keys.setdefault(m[1], []).append(m[2].strip())
    return keys


class Socket:
    """A .socket unit that listens."""

    def __init__(self, name):
        unit = read_unit(name)
        self.name, (address,) = unit["FileDescriptorName"][0], unit["ListenStream"]
        if address.startswith("/"):
            os.makedirs(os.path.dirname(address), exist_ok=True)
            if os.path.lexists(address):
                os.unlink(address)
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.bind(address)
            os.chown(address, pwd.getpwnam(unit["SocketUser"][0]).pw_uid, grp.getgrnam(unit["SocketGroup"][0]).gr_gid)
            os.chmod(address, int(unit["SocketMode"][0], 8))
        else:
            host, port = address.split(":")
            self.socket = socket.socket()
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind((host, int(port)))
        self.socket.listen(int(unit["Backlog"][0]))
        self.path = address if address.startswith("/") else None

    def stop(self):
        self.socket.close()
        if self.path:
            os.unlink(self.path)


class Service:
    """A .service unit that runs; made when it has said READY=1 (Type=notify)."""

    def __init__(self, name, given):
        self.name, unit = name, read_unit(name)
        user = pwd.getpwnam(unit["User"][0])
        self.log = f"/run/{name}.log"
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NOTIFY_SOCKET": f"/run/{name}.notify"}
        for key, base, variable in (("StateDirectory", "/var/lib", "STATE_DIRECTORY"),
                                    ("LogsDirectory", "/var/log", "LOGS_DIRECTORY")):
            for directory in unit.get(key, []):
                path = environment[variable] = f"{base}/{directory}"
                os.makedirs(path, exist_ok=True)
                os.chmod(path, int(unit[f"{key}Mode"][0], 8))
                os.chown(path, user.pw_uid, user.pw_gid)
        self.notes = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        if os.path.lexists(environment["NOTIFY_SOCKET"]):
            os.unlink(environment["NOTIFY_SOCKET"])
        self.notes.bind(environment["NOTIFY_SOCKET"])
        os.chmod(environment["NOTIFY_SOCKET"], 0o666)
        self.notes.settimeout(0.2)
        argv = [re.sub(r"\$\{(\w+)\}", lambda m: environment[m[1]], word) for word in shlex.split(unit["ExecStart"][0])]
        activate = ["/usr/bin/python3", os.path.join(os.path.dirname(__file__), "activate.py"),
                    *(f"{s.name}:{s.socket.fileno()}" for s in given), "--"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                activate + argv, env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=[s.socket.fileno() for s in given], umask=int(unit["UMask"][0], 8),
                user=user.pw_uid, group=user.pw_gid, extra_groups=os.getgrouplist(user.pw_name, user.pw_gid))
        self.wait_said("READY=1")

    def text(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_said(self, word):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}: {self.text()[-2000:]}")
            try:
                if word in self.notes.recv(4096).decode().splitlines():
                    return
            except TimeoutError:
                pass
        raise RuntimeError(f"{self.name} did not say {word}: {self.text()[-2000:]}")

    def reload(self):
        self.process.send_signal(signal.SIGHUP)
        self.wait_said("READY=1")

    def stop(self):
        self.process.terminate()
        try:
            self.status = self.process.wait(60)
        finally:
            self.notes.close()


class Init:
    """Units by name, and the questions of systemctl."""

    def __init__(self):
        self.units, self.asked, self.lock = {}, [], threading.RLock()
        os.makedirs("/run/systemd/system", exist_ok=True)  # "systemd runs here", for maintainer scripts
        self.real = shutil.copy("/usr/bin/systemctl", "/run/systemctl")  # which can do links without systemd
        with open("/usr/bin/systemctl", "w", encoding="utf-8") as f:
            f.write(SYSTEMCTL)
        os.chmod("/usr/bin/systemctl", 0o755)
        server = socketserver.ThreadingUnixStreamServer(ASK, self.handler())
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def handler(self):
        init = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                words = self.rfile.readline().decode().rstrip("\n").split("\0")
                try:
                    status, text = init.systemctl(words)
                except Exception as e:  # what went wrong is the script's to tell
                    status, text = 1, f"{words}: {e!r}\n"
                    print(text, file=sys.stderr)
                self.wfile.write(f"{status}\n{text}".encode())
        return Handler

    def enabled(self, unit):
        try:
            return any(unit in os.listdir(f"{ETC}/{d}") for d in os.listdir(ETC) if d.endswith(".wants"))
        except FileNotFoundError:
            return False

    def systemctl(self, words):
        verb, *units = [w for w in words if not w.startswith("-")]
        units = [u for u in units if u.startswith("errand")]
        with self.lock:
            self.asked.append((verb, *units))
            if verb in ("preset", "enable", "disable"):
                out = subprocess.run([self.real, "--root=/", *words], check=False, capture_output=True, text=True)
                return out.returncode, out.stdout + out.stderr
            if verb == "is-enabled":
                yes = all(map(self.enabled, units))
                return (0, "enabled\n") if yes else (1, "disabled\n")
            if verb == "is-active":
                return (0, "active\n") if all(u in self.units for u in units) else (3, "inactive\n")
            if verb in ("stop", "restart"):
                self.stop(units)
            if verb in ("start", "restart"):
                self.start(units)
            if verb == "reload":
                for u in units:
                    self.units[u].reload()
            return 0, ""

    def stop(self, units):
        """Services first: what they need goes after them."""
        for u in sorted(units, key=lambda u: u.endswith(".socket")):
            if u in self.units:
                if u.endswith(".socket") and u.replace(".socket", ".service") in self.units:
                    self.stop([u.replace(".socket", ".service")])
                self.units.pop(u).stop()

    def start(self, units):
        for u in sorted(units, key=lambda u: u.endswith(".service")):
            if u in self.units:
                continue
            if u.endswith(".socket"):
                self.units[u] = Socket(u)
            else:
                needs = [r for line in read_unit(u).get("Requires", []) for r in line.split()]
                self.start(needs)
                self.units[u] = Service(u, [self.units[r] for r in needs if r.endswith(".socket")])
