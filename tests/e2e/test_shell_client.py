"""clients/shell/README.md: every block of it is run, and says what it is shown to say."""
import json
import os
import pathlib
import re
import subprocess

import pytest

from conftest import BUILD, TOP, Pair

README = (pathlib.Path(TOP) / "clients/shell/README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```(?:\n\n```json\n(.*?)```)?", README, re.S)


@pytest.fixture(scope="module")
def pair():
    p = Pair(modules=[])
    with open(p.path("words.conf"), "w", encoding="utf-8") as f:
        f.write(re.search(r"```ini\n(.*?)```", README, re.S)[1])
    p.service_args += ["--config", p.path("words.conf")]
    try:
        yield p.start()
    finally:
        p.close()


@pytest.mark.parametrize("command,expected", BLOCKS)
def test_block(pair, command, expected, tmp_path):
    env = {**os.environ, "URL": f"http://127.0.0.1:{pair.port}", "ERRAND_SOCKET": pair.socket,
           "PATH": f"{BUILD}:{os.environ['PATH']}"}
    out = subprocess.run(["bash", "-euo", "pipefail", "-c", command], capture_output=True, text=True, cwd=tmp_path,
                         env=env, timeout=60, check=False)
    said = "".join(f"{p.name}: {p.read_text()}" for p in tmp_path.glob("*.log"))
    assert out.returncode == 0, (out.stderr, out.stdout, said)
    if expected:
        assert json.loads(out.stdout) == json.loads(expected), out.stdout


def test_all_of_it_is_run():
    assert len(BLOCKS) == README.count("```sh\n") == 11 and README.count("```json\n") == 5
