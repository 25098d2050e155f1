"""errand convert: one message, JSON or binary on both sides."""
import json
import os
import subprocess

import pytest

from conftest import BUILD, TOP

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


RULES = """syntax = "proto3";
package r;
import "buf/validate/validate.proto";
message Plain { string name = 1 [(buf.validate.field).string.min_len = 2]; }
message Cel { int32 n = 1 [(buf.validate.field).cel = {id: "n", expression: "this > 0"}]; }
message Holder { map<string, Cel> cels = 1; }
message Ignorer { Cel cel = 1 [(buf.validate.field).ignore = IGNORE_ALWAYS]; Plain plain = 2; }
"""


def test_rules_are_refused_where_they_are_needed(convert, tmp_path):
    (tmp_path / "r.proto").write_text(RULES)
    subprocess.run(["protoc", "-I", tmp_path, "-I", os.path.join(TOP, "proto"), "--include_imports",
                    f"--descriptor_set_out={tmp_path}/r.pb", "r.proto"], check=True)

    def run(data, kind, *args):
        return convert(data, "--to", "json", *args, kind=kind, schema=f"{tmp_path}/r.pb")
    assert run(b'{"n":0}', "r.Cel").stdout == b"{}\n"
    assert run(b'{"name":"ab"}', "r.Plain", "--validate").returncode == 0
    problem = json.loads(run(b'{"name":"a"}', "r.Plain", "--validate").stderr)
    assert [e["rule"] for e in problem["errors"]] == ["string.min_len"]
    for kind in ("r.Cel", "r.Holder"):
        done = run(b"{}", kind, "--validate")
        assert done.returncode == 65 and b"r.Cel.n: (buf.validate.field).cel: errand does not" in done.stderr
    problem = json.loads(run(b'{"cel":{"n":1},"plain":{}}', "r.Ignorer", "--validate").stderr)
    assert [e["pointer"] for e in problem["errors"]] == ["#/plain/name"]
    routes = [os.path.join(BUILD, "errand"), "routes", "--schema", f"{tmp_path}/r.pb"]
    assert subprocess.run(routes, capture_output=True, timeout=60).returncode == 0


FORMS = """syntax = "proto3";
package f;
import "google/protobuf/any.proto";
import "google/protobuf/empty.proto";
message M { oneof o { M m = 1; string s = 2; } google.protobuf.Any any = 3; google.protobuf.Empty e = 4; }
"""


def test_forms(convert, tmp_path):
    (tmp_path / "f.proto").write_text(FORMS)
    subprocess.run(["protoc", "-I", tmp_path, "-I", "/usr/include", "--include_imports",
                    f"--descriptor_set_out={tmp_path}/f.pb", "f.proto"], check=True)

    def run(data, *args, kind="f.M"):
        return convert(data, *args, "--to", "json", kind=kind, schema=f"{tmp_path}/f.pb")
    # what another member of the oneof replaces has to be a message all the same
    assert run(b"\x0a\x02\x12\x00\x12\x01x", "--from", "binary").stdout == b'{"s":"x"}\n'
    for lost in (b"\x0a\x02\x12\x07", b"\x0a\x03\x12\x01\xff", b"\x0a\x02\x0a\x05"):
        assert run(lost + b"\x12\x01x", "--from", "binary").returncode == 65, lost
    # Empty in an Any as Go writes it, and as the others do
    url = b'{"any":{"@type":"type.googleapis.com/google.protobuf.Empty"%s}}'
    for more in (b"", b',"value":{}'):
        assert run(url % more).stdout == url % b"" + b"\n"
    for more in (b',"value":1', b',"value":{"x":1}', b',"x":1', b',"value":{},"value":{}'):
        assert run(url % more).returncode == 65, more
    assert run(b"{}", kind=".f.M").returncode == 0
    assert run(b"{}", kind=".f.N").returncode == 4
