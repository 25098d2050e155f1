"""Whatever the README shows is run: each ```sh block against `errand dev`, its
output held against the ```json block that follows."""
import json
import os
import pathlib
import re
import signal
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("ERRAND_BUILDDIR", TOP / "build/dev"))
README = (TOP / "README.md").read_text()


CONFIGURATION = re.search(r"```ini\n(.*?)```", README, re.S)[1]


def blocks():
    """(command, expected JSON text or None), in the README's order."""
    parts = re.findall(r"```(sh|json)\n(.*?)```", README, re.S)
    for i, (kind, text) in enumerate(parts):
        if kind == "sh":
            after = parts[i + 1] if i + 1 < len(parts) else ("", "")
            yield text, after[1] if after[0] == "json" else None


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    work = tmp_path_factory.mktemp("readme")
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=160x120:duration=1",
                    "-f", "lavfi", "-i", "sine=duration=1", "-c:v", "mpeg4", "-c:a", "aac",
                    "clip.mp4"], cwd=work, check=True)
    state = work / "state"
    (work / "media.conf").write_text(CONFIGURATION)
    with open(work / "log", "wb") as log:
        p = subprocess.Popen([BUILD / "errand", "dev", "--listen", "127.0.0.1:0",
                              "--state", state, BUILD / ".libs/article.so", work / "media.conf"],
                             cwd=work, stdout=subprocess.PIPE, stderr=log, text=True)
    url = None
    for line in p.stdout:
        m = re.search(r"http://127\.0\.0\.1:\d+", line)
        if m:
            url = m[0]
            break
    assert url, (work / "log").read_text()
    yield {"url": url, "work": work}
    p.send_signal(signal.SIGTERM)
    assert p.wait(60) == 0
    p.stdout.close()


def test_two_commands_come_first():
    shown = re.findall(r"^    (\./dev \w+)$", README, re.M)
    assert shown[:2] == ["./dev demo", "./dev test"]
    for command in set(re.findall(r"`?(\./dev [a-z-]+)", README)):
        assert command.split()[1] in subprocess.run(
            [TOP / "dev", "help"], capture_output=True, text=True, check=True).stdout


def shows(actual, expected):
    """Is all that is shown there? An answer may have more members."""
    if isinstance(expected, dict):
        return isinstance(actual, dict) and all(k in actual and shows(actual[k], v) for k, v in expected.items())
    if isinstance(expected, list):
        return isinstance(actual, list) and len(actual) == len(expected) and all(map(shows, actual, expected))
    return actual == expected


@pytest.mark.parametrize("command,expected", list(blocks()))
def test_block(pair, command, expected):
    out = subprocess.run(["bash", "-euc", command], capture_output=True, text=True,
                         cwd=pair["work"], env={**os.environ, "URL": pair["url"]}, timeout=60)
    assert out.returncode == 0, out.stderr
    if expected is not None:
        assert shows(json.loads(out.stdout), json.loads(expected)), out.stdout
    else:
        assert "202 Accepted" in out.stdout
        assert re.search(r"^Location: /v1/tasks/[0-9a-f-]{36}", out.stdout, re.M | re.I)


def test_what_it_links_to_is_there():
    for path in re.findall(r"\]\(([^)#]+)\)", README):
        assert (TOP / path).is_file(), path
