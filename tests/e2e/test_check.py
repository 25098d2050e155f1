"""errand-service -t: says what is wrong with configurations, modules and routes, and does nothing else;
and what the schema of a configuration shows."""

import os
import re
import subprocess

import pytest

from conftest import ARTICLE, BUILD, REPORT, TOP, Pair

GOLDEN = os.path.join(TOP, "tests", "golden", "commands")


def service(*args, cwd):
    r = subprocess.run([os.path.join(BUILD, "errand-service"), *args], cwd=cwd, capture_output=True, text=True,
                       timeout=60, check=False)
    assert not REPORT.search(r.stderr), r.stderr
    return r.returncode, r.stdout, r.stderr


@pytest.fixture
def work(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path
    return write


def command(method, route=None, more=""):
    return f"[command {method}]\n" + (f"route = {route}\n" if route else "") + f"command = /bin/true\n{more}"


def test_right(work):
    cwd = work("a.conf", command("a.v1.A/One", "POST /one"))
    work("b.conf", command("a.v1.A/Two", "GET /one"))
    status, out, err = service("-t", "-c", "a.conf", "--config", "b.conf", "--module", ARTICLE,
                               "--state", str(cwd / "state"), "--socket", str(cwd / "socket"), cwd=cwd)
    assert (status, out, err) == (0, "errand-service: configuration, modules and routes are right\n", "")
    assert sorted(os.listdir(cwd)) == ["a.conf", "b.conf"]


def test_all_faults_of_all_files(work):
    cwd = work("a.conf", command("a.v1.A/One", "POST one", "timout = 1s\n"))
    work("b.conf", "key = 1\n" + command("a.v1.A/One", more="env.X = {ключ} {nope}\n"))
    status, out, err = service("-t", "-c", "a.conf", "-c", "none.conf", "-c", "b.conf", cwd=cwd)
    assert (status, out) == (78, "")
    assert err.splitlines() == [
        "a.conf:2:14: write a path behind the verb: POST /path/{parameter}",
        "a.conf:4:1: unknown key timout (did you mean timeout?)",
        "none.conf: cannot be read: No such file or directory",
        "b.conf:1:1: a key before the first [section]",
        "b.conf:2:1: a.v1.A/One is declared in a.conf:1 already",
        "b.conf:4:9: there is no parameter ключ: declare it, or write {{ for a brace",
        "b.conf:4:16: there is no parameter nope: declare it, or write {{ for a brace",
        "errand-service: 7 faults in the configuration, see above",
    ]


def test_the_service_does_not_start(work):
    cwd = work("a.conf", command("a.v1.A/One", more="memory = much\n"))
    status, _, err = service("-c", "a.conf", "--state", str(cwd / "state"), "--socket", str(cwd / "socket"), cwd=cwd)
    assert status == 78 and "a.conf:3:10: much is no size" in err
    assert "1 fault in the configuration" in err
    assert os.listdir(cwd) == ["a.conf"]


@pytest.mark.parametrize("text, fault", [
    (command("a.v1.A/One", "POST /encode"), r"a.conf:1:1: .*POST /encode.*article.v1.Article/Encode"),
    (command("a.v1.A/One", "GET /x") + command("a.v1.A/Two", "GET /x"), r"a.conf:\d:1: .*GET /x.*a.v1.A/"),
    (command("a.v1.A/One", "GET /docs/one"), r"a.conf:1:1: .*/docs/"),
    (command("a.v1.A/One", "POST /v1/tasks/more"), r"a.conf:1:1: .*errand.v1.Tasks"),
    (command("a.v1.A/One") + command("article.v1.Article/Two"), r"a.conf:3:1: .*article.v1.Article is article's"),
    (command("a.v1.A/BC") + command("a.v1.AB/C"), r"a.conf:3:1: .*a.v1.ABCRequest is defined twice"),
])
def test_with_modules_and_each_other(work, text, fault):
    cwd = work("a.conf", text)
    status, out, err = service("-t", "-c", "a.conf", "-m", ARTICLE, cwd=cwd)
    assert (status, out) == (78, "") and re.match(fault, err), err
    status, _, err = service("-c", "a.conf", "-m", ARTICLE, "--state", str(cwd / "state"), "--socket",
                             str(cwd / "socket"), cwd=cwd)
    assert status == 78 and re.search(fault, err) and os.listdir(cwd) == ["a.conf"], err


def test_modules_alone(work):
    cwd = work("x", "")
    assert service("-t", "-m", ARTICLE, cwd=cwd)[0] == 0
    status, _, err = service("-t", "-m", "./x", cwd=cwd)
    assert status == 78 and err.startswith("errand-service: module ./x cannot be loaded"), err


def blocks(text):
    """What is indented and begins with a section."""
    text = re.sub(r"^\.Bd.*\n|^\.Ed", "", text, flags=re.M).replace("\\e", "\\")
    return re.findall(r"^ *\[command [a-z].*\](?:\n.+)+", text, re.M)


@pytest.mark.parametrize("page", ["docs/COMMANDS.md", "man/errand.conf.5"])
def test_documentation(work, page):
    with open(os.path.join(TOP, page), encoding="utf-8") as f:
        found = blocks(f.read())
    assert found
    for block in found:
        indent = len(block) - len(block.lstrip())
        text = "\n".join(line[indent:] for line in block.split("\n"))
        cwd = work("doc.conf", text.replace("/srv/media", ".").replace("ffmpeg ", "/bin/true ") + "\n")
        status, _, err = service("-t", "-c", "doc.conf", cwd=cwd)
        assert status == 0, err


def test_every_key_is_documented():
    with open(os.path.join(TOP, "service/command_key.c"), encoding="utf-8") as f:
        keys = re.findall(r'^\t\{"([a-z_.0-9]+)", take', f.read(), re.M)
    assert len(keys) > 40
    with open(os.path.join(TOP, "man/errand.conf.5"), encoding="utf-8") as f:
        page = f.read()
    with open(os.path.join(TOP, "docs/COMMANDS.md"), encoding="utf-8") as f:
        docs = f.read()
    for key in keys:
        assert re.search(rf"^\.I[tc] .*\b{re.escape(key)}\b", page, re.M), f"man: {key}"
        assert re.search(rf"`{re.escape(key)}\b", docs), f"docs: {key}"


@pytest.fixture(scope="module")
def openapi():
    p = Pair(modules=())
    p.service_args += ["--config", os.path.join(GOLDEN, "all.conf")]
    try:
        yield p.start().get("/openapi.json").json()
    finally:
        p.close()


def test_openapi_body(openapi):
    op = openapi["paths"]["/all/{id}/convert"]["post"]
    assert op["summary"] == "Makes one thing out of another" and "In two lines" in op["description"]
    assert "202" in op["responses"]
    (where,) = op["parameters"][:1]
    assert (where["name"], where["in"], where["required"]) == ("id", "path", True)
    assert where["description"] == 'number of "it", \\ and all'
    schema = op["requestBody"]["content"]["application/json"]["schema"]
    if "$ref" in schema:
        schema = openapi["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    assert sorted(schema["required"]) == ["input", "number", "output"]
    of = schema["properties"]
    assert of["mode"]["enum"] == ["fast", "slow", "very-slow"] and of["mode"]["description"] == "Default: fast."
    assert (of["scale"]["minimum"], of["scale"]["maximum"]) == (0.5, 1000)
    assert (of["tag"]["maxItems"], of["tag"]["items"]["pattern"]) == (4, "^[a-z ]+$")


def test_openapi_query(openapi):
    op = openapi["paths"]["/all/{name}"]["get"]
    own = [p for p in op["parameters"] if "$ref" not in p]
    assert [(p["name"], p["in"], p.get("required", False)) for p in own] == [
        ("name", "path", True), ("limit", "query", False)]
    assert own[0]["schema"]["minLength"] == 2
    assert "200" in op["responses"] and "requestBody" not in op


def test_openapi_raw(openapi):
    op = openapi["paths"]["/raw/{name}"]["put"]
    assert "application/json" not in op["requestBody"]["content"]
