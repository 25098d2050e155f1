"""`make install`: nothing outside its prefix, everything a user needs in it: the
pair runs from there with the installed example, and a service and a client of one's
own build with pkg-config alone."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import textwrap

import pytest
from conftest import BUILD

PROTO = """
    syntax = "proto3";
    package hello.v1;
    import "errand/v1/options.proto";
    import "google/api/annotations.proto";
    service Hello {
      rpc Greet(GreetRequest) returns (GreetReply) {
        option (google.api.http) = {get: "/greet/{name}"};
        option (errand.v1.method) = {run: ASYNC};
      }
    }
    message GreetRequest { string name = 1; optional string title = 2; }
    message GreetReply { string text = 1; }
"""

MODULE = r"""
    #include <errand/service.h>
    #include <stdio.h>
    #include "hello.pb-c.h"
    #include "hello.schema.h"

    static void hello__greet(Hello__V1__Hello_Service *svc, const Hello__V1__GreetRequest *in,
                             Hello__V1__GreetReply_Closure done, void *call)
    {
        Hello__V1__GreetReply reply = HELLO__V1__GREET_REPLY__INIT;
        char text[128];

        if (in->name[0] == 0) {
            errand_fail(call, ERRAND_INVALID_ARGUMENT, "a name is needed");
            return;
        }
        snprintf(text, sizeof text, "hello, %s", in->name);
        reply.text = text;
        done(&reply, call);
    }
    static Hello__V1__Hello_Service service = HELLO__V1__HELLO__INIT(hello__);
    static ProtobufCService *const services[] = {&service.base, NULL};
    const struct errand_module errand_module = {
        .abi = ERRAND_MODULE_ABI, .name = "hello", .services = services,
        .descriptor_set = hello_schema, .descriptor_set_len = hello_schema_len,
    };
"""

CLIENT = r"""
    #include <errand/client.h>
    #include <stdio.h>
    #include "hello.pb-c.h"

    int main(int argc, char **argv)
    {
        struct errand_client *c;
        struct errand_reply *reply;
        Hello__V1__GreetRequest in = HELLO__V1__GREET_REQUEST__INIT;
        Hello__V1__GreetReply *out;
        unsigned char packed[256];

        if (errand_client_open(&c, argv[1], NULL) < 0) {
            fprintf(stderr, "%s\n", errand_client_error(c));
            return 1;
        }
        in.name = argv[2];
        if (errand_client_call(c, "hello.v1.Hello", "Greet", packed,
                               hello__v1__greet_request__pack(&in, packed), NULL, &reply) < 0)
            return 1;
        out = hello__v1__greet_reply__unpack(NULL, reply->payload_len, reply->payload);
        printf("%d %s\n", reply->code, out->text);
        hello__v1__greet_reply__free_unpacked(out, NULL);
        errand_reply_free(reply);
        errand_client_close(c);
        return 0;
    }
"""


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    dest = tmp_path_factory.mktemp("dest")
    subprocess.run(["make", "-s", "-C", BUILD, "install", f"DESTDIR={dest}"],
                   check=True, capture_output=True)
    assert [p.name for p in dest.iterdir()] == ["usr"], "installed outside its prefix"
    yield dest / "usr/local"
    subprocess.run(["make", "-s", "-C", BUILD, "uninstall", f"DESTDIR={dest}"],
                   check=True, capture_output=True)
    left = [p for p in dest.rglob("*") if not p.is_dir()]
    assert left == [], f"left behind by make uninstall: {left}"


def environment(prefix):
    return {**os.environ, "PKG_CONFIG_PATH": f"{prefix}/lib/pkgconfig",
            "PKG_CONFIG_SYSROOT_DIR": str(prefix.parents[1]),
            "LD_LIBRARY_PATH": f"{prefix}/lib"}


def build(work, env, *command):
    subprocess.run(["sh", "-euc", " ".join(map(str, command))], cwd=work, env=env, check=True)


def start(prefix, work, *modules):
    p = subprocess.Popen([prefix / "bin/errand", "dev", "--listen", "127.0.0.1:0", "--state",
                          work / "state", *modules], cwd=work, env=environment(prefix),
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for line in p.stdout:
        m = re.search(r"http://127\.0\.0\.1:\d+", line)
        if m:
            return p, m[0]
    raise AssertionError(f"errand dev ended with {p.wait(10)}")


def stop(p):
    p.send_signal(signal.SIGTERM)
    assert p.wait(60) == 0
    p.stdout.close()


def get(url):
    return json.loads(subprocess.run(["curl", "-sS", url], check=True, capture_output=True).stdout)


def check_docs(prefix, url):
    """Swagger UI is installed, with its licence, and served; or the page that needs none of it."""
    folder = prefix / "share/errand/docs"
    names = {p.name for p in folder.iterdir()}
    if (pathlib.Path(BUILD) / "web/ui/swagger-ui-bundle.js").exists():
        assert names == {"docs.js", "favicon-32x32.png", "index.html", "swagger-ui-bundle.js",
                         "swagger-ui.css", "swagger-ui.LICENSE", "swagger-ui.NOTICE"}
        for name in ("", "docs.js", "swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"):
            out = subprocess.run(["curl", "-sSf", url + name], check=True, capture_output=True).stdout
            assert out == (folder / (name or "index.html")).read_bytes()
    else:
        assert names == {"docs.js", "index.html"}
        out = subprocess.run(["curl", "-sSf", url], check=True, capture_output=True).stdout
        assert b"/items/{item_id}" in out
    assert all(p.stat().st_mode & 0o777 == 0o644 for p in folder.iterdir())


def test_completions_are_where_shells_look(prefix):
    for folder, files in (("bash-completion/completions", ["errand", "errand-gateway", "errand-service"]),
                          ("zsh/site-functions", ["_errand"]),
                          ("fish/vendor_completions.d", ["errand.fish", "errand-gateway.fish", "errand-service.fish"])):
        assert sorted(p.name for p in (prefix / "share" / folder).iterdir()) == sorted(files)


def test_installed_example(prefix, tmp_path):
    p, url = start(prefix, tmp_path)
    try:
        assert get(url + "/search?q=a") == {"message": "已根据参数a执行搜索"}
        check_docs(prefix, url + "/docs/")
    finally:
        stop(p)


def test_service_and_client_of_ones_own(prefix, tmp_path):
    env = environment(prefix)
    for name, text in (("hello.proto", PROTO), ("hello.c", MODULE), ("client.c", CLIENT)):
        (tmp_path / name).write_text(textwrap.dedent(text))
    build(tmp_path, env, prefix / "bin/errand", "gen hello.proto")
    build(tmp_path, env, "cc -shared -fPIC -Wall -Werror -o hello.so hello.c hello.pb-c.c",
          "hello.schema.c $(pkg-config --cflags --libs errand-service)")
    build(tmp_path, env, "cc -Wall -Werror -o client client.c hello.pb-c.c",
          "$(pkg-config --cflags --libs errand libprotobuf-c)")
    p, url = start(prefix, tmp_path, tmp_path / "hello.so")
    try:
        assert get(url + "/greet/world") == {"text": "hello, world"}
        assert get(url + "/greet/world?title=") == {"text": "hello, world"}
        assert get(url + "/greet/%20?titel=x")["errors"][0]["rule"] == "unknown"
        out = subprocess.run([tmp_path / "client", tmp_path / "state/service.sock", "C"], env=env,
                             check=True, capture_output=True, text=True)
        assert out.stdout == "0 hello, C\n"
        needs = subprocess.run(["ldd", tmp_path / "client"], env=env, check=True,
                               capture_output=True, text=True).stdout
        assert "sqlite" not in needs and "libevent" not in needs, needs
    finally:
        stop(p)
    shutil.rmtree(tmp_path, ignore_errors=True)


def test_the_module_of_hacking_md(prefix, tmp_path):
    """docs/HACKING.md, followed to the letter in an empty directory."""
    text = (pathlib.Path(__file__).resolve().parents[2] / "docs/HACKING.md").read_text()
    blocks = dict(re.findall(r"^   ```(proto|c|sh)\n(.*?)^   ```", text, re.M | re.S))
    env = environment(prefix)
    env["PATH"] = f"{prefix}/bin:{env['PATH']}"
    (tmp_path / "shop.proto").write_text(textwrap.dedent(blocks["proto"]))
    (tmp_path / "shop.c").write_text(textwrap.dedent(blocks["c"]))
    build(tmp_path, env, textwrap.dedent(blocks["sh"]))
    p, url = start(prefix, tmp_path, "./shop.so")
    env["ERRAND_SOCKET"] = str(tmp_path / "state/service.sock")
    try:
        assert get(url + "/greet/world") == {"text": "hello, world"}
        assert get(url + "/greet/!us")["detail"] == "there is no !us"
        out = subprocess.run(["errand", "call", "Greet", "name=world"], env=env, cwd=tmp_path,
                             check=True, capture_output=True, text=True)
        assert json.loads(out.stdout) == {"text": "hello, world"}
    finally:
        stop(p)


@pytest.mark.parametrize("name", ["shop", "my_shop2"])
def test_a_new_project(prefix, tmp_path, name):
    """What `errand new` makes builds without a warning, passes its test, and is the README's."""
    env = environment(prefix)
    env["PATH"] = f"{prefix}/bin:{env['PATH']}"
    out = subprocess.run(["errand", "new", name], cwd=tmp_path, env=env, check=True, capture_output=True, text=True)
    assert re.findall(r"^    (.*)$", out.stdout, re.M) == [f"cd {name}", "make", "make test", "errand dev ."]
    work = tmp_path / name
    for target in ("all", "test"):
        out = subprocess.run(["make", target, "CFLAGS=-O1 -Wall -Wextra -Werror"], cwd=work, env=env,
                             capture_output=True, text=True)
        assert out.returncode == 0, out.stderr
    assert out.stdout.splitlines()[-1] == "all good"
    again = subprocess.run(["errand", "new", name], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert again.returncode == 1 and f"{name} is there already" in again.stderr
    p, url = start(prefix, work, f"./{name}.so")
    try:
        for command in re.findall(r"^    (curl.*)$", (work / "README.md").read_text(), re.M):
            command = command.replace("http://127.0.0.1:8080", url)
            out = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout
            assert "hello" in out or "words" in out or "will be written" in out or "202 Accepted" in out, out
    finally:
        stop(p)


@pytest.mark.parametrize("name,why", [("Shop", "lower-case"), ("a_1", "lower-case"), ("int", "a word of C"),
                                      ("a__b", "lower-case"), ("a-b", "lower-case letters"), ("x" * 41, "1 to 40"),
                                      ("a_", "single _")])
def test_names_of_projects(tmp_path, name, why):
    out = subprocess.run([f"{BUILD}/errand", "new", name], cwd=tmp_path, capture_output=True, text=True)
    assert out.returncode == 64 and why in out.stderr, out.stderr
    assert list(tmp_path.iterdir()) == []
