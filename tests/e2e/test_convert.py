"""errand convert: one message, JSON or binary on both sides."""
import json
import os
import subprocess

import pytest

BUILD = os.environ.get("ERRAND_BUILDDIR", ".")
PROTO = """syntax = "proto3";
package t;
message Msg { int32 some_number = 1; string text = 2; repeated Msg children = 3; }
"""


@pytest.fixture(scope="module")
def convert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("convert")
    (folder / "t.proto").write_text(PROTO)
    subprocess.run(["protoc", "-I", folder, f"--descriptor_set_out={folder}/t.pb", "t.proto"], check=True)

    def run(data, *args, kind="t.Msg", schema=None):
        command = [os.path.join(BUILD, "errand"), "convert", "--schema", schema or f"{folder}/t.pb",
                   "--type", kind, *args]
        return subprocess.run(command, input=data, capture_output=True, timeout=60)
    return run


def test_all_four_ways(convert):
    text, wire = b'{"someNumber":5,"text":"a\\u0000b"}', b"\x08\x05\x12\x03a\0b"
    assert convert(b'{"some_number":5.0,"text":"a\\u0000b"}').stdout == wire
    assert convert(wire, "--from", "binary", "--to", "json").stdout == text + b"\n"
    assert convert(b"\x12\x03a\0b\x08\x01\x08\x85\x00", "--from", "binary").stdout == wire
    assert convert(text, "--to", "json").stdout == text + b"\n"
    http = json.loads(convert(wire, "--from", "binary", "--to", "json", "--http").stdout)
    assert http == {"some_number": 5, "text": "a\0b", "children": []}


def test_unknown_fields(convert):
    wire = b"\x08\x05\xa0\x1f\x01"
    assert convert(wire, "--from", "binary", "--to", "binary").stdout == wire
    assert convert(b'{"zz":[{}]}').returncode == 65
    assert convert(b'{"zz":[{}]}', "--ignore-unknown").stdout == b""


def test_refused_with_a_problem(convert):
    done = convert(b'{"someNumber":"x","children":[{"text":1}]}')
    assert done.returncode == 65 and done.stdout == b"" and done.stderr.count(b"\n") == 1
    problem = json.loads(done.stderr)
    assert [e["pointer"] for e in problem["errors"]] == ["#/someNumber", "#/children/0/text"]
    for broken in (b"\x08", b"\x12\x01\xff", b"\x1b"):
        done = convert(broken, "--from", "binary", "--to", "json")
        assert done.returncode == 65 and json.loads(done.stderr)["errors"]


def test_exit_statuses(convert):
    done = convert(b"", kind="t.Mgs")
    assert done.returncode == 4 and b"did you mean 't.Msg'" in done.stderr
    assert convert(b"", "--from", "xml").returncode == 64
    assert convert(b"", "too", "much").returncode == 64
    assert convert(b"{}", schema="/nowhere").returncode == 64
    assert convert(b"{}", schema=__file__).returncode == 65


def test_the_schema_of_a_service(convert, pair):
    done = convert(b'{"id":"7"}', "--to", "json", kind="errand.v1.Task", schema=pair.socket)
    assert done.returncode == 0 and json.loads(done.stdout) == {"id": "7"}
