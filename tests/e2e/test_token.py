"""errand token: the file of a gateway's tokens, and a gateway that sees it change."""

import hashlib
import json
import os
import re
import resource
import subprocess
import threading

import pytest

from conftest import BUILD, REPORT, wait_until


@pytest.fixture
def token(tmp_path):
    path = tmp_path / "tokens"

    def run(*args, status=0, file=path):
        r = subprocess.run([os.path.join(BUILD, "errand"), "token", "--file", str(file), *args], capture_output=True,
                           text=True, timeout=60, check=False)
        assert not REPORT.search(r.stderr), r.stderr
        assert r.returncode == status, r.stderr
        return r.stderr.strip() if status else r.stdout.strip()
    run.path = path
    return run


def listed(token):
    return [json.loads(line) for line in token("list", "--json").splitlines()]


def test_what_is_stored(token):
    text = token("create", "ci", "--scope", "read, call:shop.v1.Shop", "--expires", "90d")
    assert re.fullmatch(r"erd_[A-Za-z0-9_-]{43}", text)
    assert os.stat(token.path).st_mode & 0o777 == 0o600
    stored = token.path.read_text(encoding="utf-8")
    assert text not in stored and text[4:] not in stored
    digest = hashlib.sha256(text.encode()).hexdigest()
    one, = listed(token)
    assert one["id"] == digest[:12] and digest in stored
    assert (one["name"], one["scopes"]) == ("ci", "read,call:shop.v1.Shop")
    assert "expireTime" in one and "token" not in one
    made = {token("create", f"t{i}", "--scope", "read") for i in range(20)}
    assert len(made) == 20


def test_rotate_revoke_prune(token):
    token("create", "ci", "--scope", "operate")
    old = listed(token)[0]["id"]
    new = json.loads(token("rotate", "ci", "--grace", "1h", "--json"))
    assert new["scopes"] == "operate" and new["token"].startswith("erd_") and new["id"] != old
    first, second = listed(token)
    assert "expireTime" in first and "revokeTime" not in first and "expireTime" not in second
    token("revoke", old, "ci")
    assert all("revokeTime" in k for k in listed(token))
    token("create", "other", "--scope", "read")
    assert token("prune") == "2 taken away, 1 left"
    assert [k["name"] for k in listed(token)] == ["other"]
    table = token("list", "--columns", "name,state", "--no-header").split()
    assert table == ["other", "valid"]


def test_its_owner_stays(token):
    token("create", "a", "--scope", "read")
    os.chmod(token.path, 0o640)
    token("create", "b", "--scope", "read")
    assert os.stat(token.path).st_mode & 0o777 == 0o640
    if os.geteuid() == 0:
        os.chown(token.path, 65534, 65533)
        token("revoke", "a")
        assert (os.stat(token.path).st_uid, os.stat(token.path).st_gid) == (65534, 65533)
        assert os.stat(token.path).st_mode & 0o777 == 0o640


@pytest.mark.parametrize("args, status, text", [
    (("create", "x"), 64, "what may it do? --scope"),
    (("create", "x", "--scope", "al"), 64, "there is no scope al"),
    (("create", "x", "--scope", "operate:a.B"), 64, "write operate alone"),
    (("create", "x", "--scope", "call:nodot"), 64, "call:shop.v1.Shop"),
    (("create", "a b", "--scope", "read"), 64, "is no name for a token"),
    (("create",), 64, "it takes one name"),
    (("list", "x"), 64, "it takes no name"),
    (("list", "--columns", "nope"), 64, "errand: tokens: there is no column 'nope'"),
    (("revoke", "nobody"), 4, "no token has the name or id nobody"),
    (("rotate", "nobody"), 4, "no token has the name or id nobody"),
    (("destroy", "x"), 64, "destroy"),
])
def test_errors(token, args, status, text):
    token("create", "first", "--scope", "read")
    assert text in token(*args, status=status)


def test_a_name_is_taken_once(token):
    token("create", "ci", "--scope", "read")
    assert "errand token rotate ci" in token("create", "ci", "--scope", "read", status=64)
    token("revoke", "ci")
    token("create", "ci", "--scope", "read")


def test_files_that_cannot_be_used(token, tmp_path):
    assert "errand token create" in token("list", status=1)
    assert "No such file" in token("create", "x", "--scope", "read", status=1, file=tmp_path / "away" / "tokens")
    token("create", "ci", "--scope", "read")
    os.chmod(token.path, 0o644)
    assert "chmod o-rwx" in token("list", status=1)
    os.chmod(token.path, 0o600)
    good = token.path.read_text(encoding="utf-8")
    for line, text in (("word\n", "a line is ID SHA256"), (good.splitlines()[1].replace(" read ", " all "), "no scope all"),
                       ("01"[good.splitlines()[1][0] == "0"] + good.splitlines()[1][1:], "does not go with its hash"),
                       (good.splitlines()[1].replace(" ci", " other"), "is there already, as ci"),
                       (good.splitlines()[1].replace(" - ", " soon ", 1), "times are written")):
        token.path.write_text(good + line, encoding="utf-8")
        err = token("list", status=65)
        assert f"{token.path}:3: " in err and text in err


def words(token):
    """The lines, of those with a token its name only."""
    return [line if line.startswith("#") or not line.strip() else line.split()[-1]
            for line in token.path.read_text(encoding="utf-8").splitlines()]


def test_what_people_have_written_stays(token):
    token("create", "ci", "--scope", "read")
    head, ci = token.path.read_text(encoding="utf-8").splitlines()
    token.path.write_text(f"{head}\n\n# of the builders\n{ci}\n\n# of the till, see the wiki\n", encoding="utf-8")
    token("create", "till", "--scope", "call")
    token("create", "web", "--scope", "call")
    token("rotate", "till")
    token("revoke", "ci")
    assert words(token) == [head, "", "# of the builders", "ci", "", "# of the till, see the wiki", "till", "web", "till"]
    assert token("prune") == "2 taken away, 2 left"
    assert words(token) == [head, "", "# of the builders", "", "# of the till, see the wiki", "web", "till"]


def test_a_full_disk(token):
    """The file is whole, as it was, and nothing is left beside it; the token that is not there is not shown."""
    for i in range(20):
        token("create", f"t{i}", "--scope", "read")
    os.chmod(token.path, 0o640)
    before = token.path.read_text(encoding="utf-8")

    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) - 100, len(before) - 100))
    for args in (("create", "late", "--scope", "read"), ("revoke", "t0"), ("rotate", "t1")):
        r = subprocess.run([os.path.join(BUILD, "errand"), "token", "--file", str(token.path), *args], capture_output=True,
                           text=True, timeout=60, check=False, preexec_fn=full, restore_signals=False)
        assert r.returncode == 1 and "File too large" in r.stderr and r.stdout == "", r
        assert token.path.read_text(encoding="utf-8") == before
        assert sorted(os.listdir(token.path.parent)) == ["tokens", "tokens.lock"]
    assert os.stat(token.path).st_mode & 0o777 == 0o640


def test_after_one_that_was_killed(token):
    token("create", "a", "--scope", "read")
    with open(f"{token.path}.new", "w", encoding="utf-8") as f:
        f.write("half of it")
    os.chmod(f.name, 0o666)
    token("create", "b", "--scope", "read")
    assert [k["name"] for k in listed(token)] == ["a", "b"]
    assert os.stat(token.path).st_mode & 0o777 == 0o600


def test_many_at_once(token):
    token("create", "first", "--scope", "read")
    threads = [threading.Thread(target=token, args=("create", f"t{i}", "--scope", "read")) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(listed(token)) == 9


def test_a_gateway_sees_it(token, make_pair):
    ci = token("create", "ci", "--scope", "call")
    pair = make_pair(gateway_args=["--tokens", str(token.path)])

    def status(text):
        return pair.request("GET", "/items/1", None, {"Authorization": f"Bearer {text}"}).status
    assert status(ci) == 200
    new = token("rotate", "ci", "--grace", "1h")
    wait_until(lambda: status(new) == 200, 10, "the new token")
    assert status(ci) == 200
    token("revoke", *[k["id"] for k in listed(token)][:1])
    wait_until(lambda: status(ci) == 401, 10, "the end of the old token")
    assert status(new) == 200
    good = token.path.read_text(encoding="utf-8")
    token.path.write_text("nonsense\n", encoding="utf-8")
    wait_until(lambda: status(new) == 200 and "tokens: the former ones stay" in pair.gateway.text(), 10, "a line of the log")
    assert f"{token.path}:1: a line is" in pair.gateway.text()
    token.path.write_text(good, encoding="utf-8")
    assert status(new) == 200
    assert new not in pair.gateway.text() and ci not in pair.gateway.text()
