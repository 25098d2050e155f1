"""errand-gateway(8), PATHS: a line for each path, with who may ask for it and what it does, as the schema says."""

import os
import pathlib
import re

from conftest import BUILD, TOP

PAGE = pathlib.Path(TOP, "man", "errand-gateway.8")
BEGIN, END = '.\\" begin routes\n', '.\\" end routes\n'
OWN = {  # what the gateway answers itself: who may, what it is
    "/docs/": ("read", "A page to read and to try the methods."),
    "/livez": ("everybody", "204 while the gateway runs."),
    "/metrics": ("read", "The gateway's figures, for Prometheus."),
    "/openapi.json": ("read", "The methods as OpenAPI 3.1."),
    "/readyz": ("everybody", "204 while requests can be served, else 503 with the reason."),
}


def scopes():
    """{"Tasks_GetTask": "read or call"}, from the .proto files."""
    found = {}
    for file in sorted(pathlib.Path(TOP, "proto", "errand", "v1").glob("*.proto")):
        text = file.read_text(encoding="utf-8")
        service = re.search(r"^service (\w+)", text, re.M)
        for m in re.finditer(r"rpc (\w+)\(.*?(?=\n  rpc |\n}\n)", text, re.S):
            said = re.search(r"scope: (\[[^]]*\]|\w+)", m[0])
            assert service and said, f"{file.name}: {m[1]} does not say which scope it wants"
            words = re.findall(r"[A-Z_]+", said[1])
            found[f"{service[1]}_{m[1]}"] = " or ".join({"KNOWN_TASK": "call"}.get(w, w.lower()) for w in words)
    return found


def mdoc(text):
    text = text.replace("\\", "\\e")
    return ("\\&" if text[0] in ".'" else "") + text


def lines(document):
    wanted = scopes()
    for path, operations in sorted(document["paths"].items()):
        for verb, operation in operations.items():
            if path.startswith("/v1/"):
                summary = operation["summary"].rstrip(".")
                yield path, verb.upper(), wanted[operation["operationId"]], summary[0].upper() + summary[1:] + "."
    for path, (who, what) in OWN.items():
        yield path, "GET", who, what


def test_every_route_has_its_line(make_pair):
    pair = make_pair(modules=[])
    text = "".join(f".It Li {verb} {mdoc(path)} Pq {who}\n{mdoc(what)}\n"
                   for path, verb, who, what in lines(pair.get("/openapi.json").json()))
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    now, after = rest.split(END)
    if now != text:
        new = pathlib.Path(BUILD, "errand-gateway.8.new")
        new.write_text(before + BEGIN + text + END + after, encoding="utf-8")
        raise AssertionError(f"man/errand-gateway.8 is not what the schema says: see {new}")
    for path in OWN:
        assert pair.get(path).status in (200, 204), path
