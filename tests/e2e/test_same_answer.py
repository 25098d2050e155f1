"""curl, the errand command, the C client library and Go's ttrpc give the same answer."""

import json
import os
import struct
import subprocess

from conftest import BUILD, TOP, need

WANT = {"item_id": 1, "name": "示例商品", "price": 99.9}


def parse_item(data):
    """article.v1.Item from the wire: 1 int32, 2 string, 3 double."""
    item, at = {}, 0
    while at < len(data):
        tag, at = data[at], at + 1
        if tag == 0x08:
            item["item_id"], at = data[at], at + 1
        elif tag == 0x12:
            item["name"] = data[at + 1:at + 1 + data[at]].decode()
            at += 1 + data[at]
        elif tag == 0x19:
            item["price"] = struct.unpack_from("<d", data, at)[0]
            at += 8
        else:
            raise AssertionError(data)
    return item


def run(argv, **kw):
    r = subprocess.run(argv, capture_output=True, timeout=60, check=False, **kw)
    assert r.returncode == 0, r
    return r.stdout


def test_curl(pair):
    out = run(["curl", "-sS", "--fail-with-body", f"http://127.0.0.1:{pair.port}/items/1"])
    assert json.loads(out) == WANT


def test_curl_by_method_name(pair):
    out = run(["curl", "-sS", "--fail-with-body", "-H", "Content-Type: application/json", "-d",
               '{"item_id":1}', f"http://127.0.0.1:{pair.port}/article.v1.Article/GetItem"])
    assert json.loads(out) == WANT


def call(tool, *args):
    """wire_call and ttrpc_call print alike: the status, then the payload in hexadecimal."""
    status, payload = run([tool, *args]).decode().splitlines()[:2]
    assert status == "code=0 message=", status
    return bytes.fromhex(payload)


def test_c_client(pair):
    out = call(os.path.join(BUILD, "tests", "unit", "wire", "wire_call"), pair.socket,
               "article.v1.Article", "GetItem", "0801")
    assert parse_item(out) == WANT


def test_errand_call(pair):
    env = dict(pair.env, ERRAND_SOCKET=pair.socket)
    for target in ("article.v1.Article/GetItem", "/items/1"):
        argv = [os.path.join(BUILD, "errand"), "call", target]
        out = run(argv + (["item_id=1"] if "Article" in target else []), env=env)
        assert json.loads(out) == WANT


def test_go(pair):
    tools = os.path.join(BUILD, "tests", "go")
    built = subprocess.run([os.path.join(TOP, "tests", "go", "build.sh"), tools],
                           capture_output=True, text=True, timeout=300, check=False)
    need(built.returncode != 77, built.stdout.strip())
    assert built.returncode == 0, built
    out = call(os.path.join(tools, "ttrpc_call"), pair.socket, "article.v1.Article", "GetItem", "0801")
    assert parse_item(out) == WANT
