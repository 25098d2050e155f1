#!/usr/bin/python3
"""Independent judges of the transcoder.

protoc: what we write decodes, and encoded again by protoc it is the same message.
Python's protobuf (where it is installed): random messages of every kind go both
ways, and both sides must agree on every value. Then canonical forms, and bytes with
random damage: the same verdict and the same message.
Debian's 3.21 is laxer than the specification in JSON (quoted booleans, bare NaN,
1_000, lower-case t and z), so no refused text is put to it: that is for the golden
cases. It cannot read repeated extensions back.
"""
import json
import math
import os
import random
import re
import subprocess
import sys
import warnings

SRC = os.environ.get("srcdir", ".")
PROTOC = os.environ.get("PROTOC", "protoc")
SET = "tests/golden/transcode/golden.pb"
TOOL = "tests/unit/schema/transcode_tool"
GOLDEN = os.path.join(SRC, "tests/golden/transcode")
SAMPLE = 40
ROUNDS = int(os.environ.get("JUDGE_ROUNDS", "400"))


class Tool:
    def __init__(self):
        self.p = subprocess.Popen([TOOL, SET], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, what, message, text):
        self.p.stdin.write(f"{what} {message} {text}\n".encode())
        self.p.stdin.flush()
        verdict, _, rest = self.p.stdout.readline().decode().rstrip("\n").partition(" ")
        return verdict, rest

    def end(self):
        self.p.stdin.close()
        return self.p.wait()


def golden_cases():
    for name in ("scalars", "messages", "wellknown"):
        message = None
        with open(os.path.join(GOLDEN, name + ".txt"), encoding="utf-8") as f:
            for line in f:
                if line.startswith("M "):
                    message = "golden.v1." + line[2:].strip()
                elif line.startswith("J "):
                    yield message, line[2:].rstrip("\n")


def protoc(verb, message, data):
    args = [PROTOC, f"--{verb}={message}", f"--descriptor_set_in={SET}"]
    if verb == "encode":
        args.append("--deterministic_output")
    return subprocess.run(args, input=data, stdout=subprocess.PIPE, check=True).stdout


def judge_protoc(tool):
    accepted = []
    for message, text in golden_cases():
        verdict, wire = tool.ask("json", message, text)
        if verdict == "ok":
            accepted.append((message, text, wire))
    random.Random(7).shuffle(accepted)
    bad = 0
    for message, text, wire in accepted[:SAMPLE]:
        again = protoc("encode", message, protoc("decode", message, bytes.fromhex(wire)))
        ours, theirs = tool.ask("wire", message, wire), tool.ask("wire", message, again.hex())
        if sorted_json(ours[1]) != sorted_json(theirs[1]) or ours[0] != "ok":
            bad += 1
            print(f"protoc differs: {message} {text}\n  {ours}\n  {theirs}")
    print(f"protoc: {min(SAMPLE, len(accepted))} messages, {bad} bad")
    return bad


def sorted_json(text):
    """Maps have no order: protoc sorts them."""
    return json.dumps(json.loads(text), sort_keys=True) if text.startswith("{") else text


# --- Python's protobuf ---

def load_pool():
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError:
        return None
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet()
    with open(SET, "rb") as f:
        files.ParseFromString(f.read())
    for one in files.file:
        pool.Add(one)
    factory = message_factory.MessageFactory(pool)
    return pool, lambda name: factory.GetPrototype(pool.FindMessageTypeByName(name))


def random_int(rnd, low, high):
    kind = rnd.random()
    if kind < 0.2:
        return rnd.choice([low, high, 0, max(low, -1), 1])
    if kind < 0.6:
        return max(low, min(high, rnd.randint(-1000, 1000)))
    return rnd.randint(low, high)


def random_double(rnd):
    kind = rnd.random()
    if kind < 0.1:
        return rnd.choice([0.0, math.inf, -math.inf, 5e-324, 1.7976931348623157e308])
    if kind < 0.5:
        return round(rnd.uniform(-10000, 10000), rnd.randint(0, 4))
    import struct
    while True:
        d = struct.unpack("<d", rnd.getrandbits(64).to_bytes(8, "little"))[0]
        if math.isfinite(d):
            return d


def random_text(rnd):
    alphabet = 'abc XYZ_09"\\/\n\t\x01é中😀~'
    return "".join(rnd.choice(alphabet) for _ in range(rnd.choice([0, 1, 5, 20, 200])))


def random_scalar(rnd, f):
    t = f.cpp_type
    if t == f.CPPTYPE_INT32:
        return random_int(rnd, -2**31, 2**31 - 1)
    if t == f.CPPTYPE_INT64:
        return random_int(rnd, -2**63, 2**63 - 1)
    if t == f.CPPTYPE_UINT32:
        return random_int(rnd, 0, 2**32 - 1)
    if t == f.CPPTYPE_UINT64:
        return random_int(rnd, 0, 2**64 - 1)
    if t == f.CPPTYPE_DOUBLE:
        return random_double(rnd)
    if t == f.CPPTYPE_FLOAT:
        return rnd.choice([0.0, 0.5, -3.25, 1e10, 0.1, 16777217.0, 3.4e38, 1e-40])
    if t == f.CPPTYPE_BOOL:
        return rnd.random() < 0.5
    if t == f.CPPTYPE_ENUM:
        return rnd.choice(f.enum_type.values).number
    if f.type == f.TYPE_BYTES:
        return bytes(rnd.getrandbits(8) for _ in range(rnd.choice([0, 1, 2, 3, 50])))
    return random_text(rnd)


def fill_value(rnd, v, depth):
    kind = rnd.randint(0, 5 if depth < 4 else 3)
    if kind == 0:
        v.null_value = 0
    elif kind == 1:
        v.number_value = rnd.choice([0, 1.5, -7, 1e100])
    elif kind == 2:
        v.string_value = random_text(rnd)
    elif kind == 3:
        v.bool_value = rnd.random() < 0.5
    elif kind == 4:
        v.struct_value.SetInParent()
        for _ in range(rnd.randint(0, 3)):
            fill_value(rnd, v.struct_value.fields[random_text(rnd)[:20]], depth + 1)
    else:
        v.list_value.SetInParent()
        for _ in range(rnd.randint(0, 3)):
            fill_value(rnd, v.list_value.values.add(), depth + 1)


def fill_known(rnd, m, depth, make):
    """True when m is a message with limits of its own, and was filled."""
    name = m.DESCRIPTOR.full_name
    m.SetInParent()
    if name == "google.protobuf.Timestamp":
        m.seconds = rnd.choice([0, -62135596800, 253402300799, rnd.randint(-2**35, 2**35)])
        m.nanos = rnd.choice([0, 1, 999999999, 5000, 7000000])
    elif name == "google.protobuf.Duration":
        m.seconds = rnd.choice([0, 1, 315576000000, rnd.randint(0, 10**6)])
        m.nanos = 0 if m.seconds == 315576000000 else rnd.choice([0, 1, 500000000])
        if rnd.random() < 0.5:
            m.seconds, m.nanos = -m.seconds, -m.nanos
    elif name == "google.protobuf.FieldMask":
        m.paths.extend(rnd.sample(["a", "foo_bar", "a.b_c.d"], rnd.randint(0, 3)))
    elif name == "google.protobuf.Value":
        fill_value(rnd, m, depth)
    elif name == "google.protobuf.Any":
        # none with a map: its order within the bytes is Python's secret
        inner = make(rnd.choice(["golden.v1.Nested", "golden.v1.Scalars",
                                 "google.protobuf.Duration"]))()
        fill(rnd, inner, depth + 1, make)
        m.Pack(inner)
    else:
        return False
    return True


def fill(rnd, m, depth, make):
    if fill_known(rnd, m, depth, make):
        return
    for f in m.DESCRIPTOR.fields:
        # ours alone; what Python itself cannot read back
        if f.name in ("bare", "r_null", "nothing"):
            continue
        if rnd.random() < 0.5 or (depth > 3 and f.message_type):
            continue
        # many fields lead back to it: one level is plenty
        if depth > 0 and f.message_type and "AllTypes" in m.DESCRIPTOR.name:
            continue
        if f.containing_oneof and m.WhichOneof(f.containing_oneof.name):
            continue
        fill_field(rnd, m, f, depth, make)


def fill_field(rnd, m, f, depth, make):
    is_map = f.message_type and f.message_type.GetOptions().map_entry
    if is_map:
        key, value = f.message_type.fields_by_number[1], f.message_type.fields_by_number[2]
        for _ in range(rnd.choice([0, 1, 3, 12])):
            k = random_scalar(rnd, key)
            if value.message_type:
                fill(rnd, getattr(m, f.name)[k], depth + 1, make)
            else:
                getattr(m, f.name)[k] = random_scalar(rnd, value)
    elif f.label == f.LABEL_REPEATED:
        for _ in range(rnd.choice([0, 1, 3, 12])):
            if f.message_type:
                fill(rnd, getattr(m, f.name).add(), depth + 1, make)
            else:
                getattr(m, f.name).append(random_scalar(rnd, f))
    elif f.message_type:
        fill(rnd, getattr(m, f.name), depth + 1, make)
    else:
        setattr(m, f.name, random_scalar(rnd, f))


def check_one(tool, m, name, pool, json_format):
    """Three ways to disagree; the reason, or None."""
    wire = m.SerializeToString(deterministic=True)
    verdict, ours = tool.ask("wire", name, wire.hex())
    if verdict != "ok":
        return f"not shown: {ours}"
    back = type(m)()
    try:
        json_format.Parse(ours, back, descriptor_pool=pool)
    except json_format.ParseError as e:
        return f"Python refuses our JSON: {e}: {ours}"
    if back.SerializeToString(deterministic=True) != wire:
        return f"Python reads our JSON otherwise: {ours}"
    for preserve in (True, False):
        theirs = json_format.MessageToJson(m, preserving_proto_field_name=preserve, indent=None,
                                           descriptor_pool=pool)
        verdict, ours = tool.ask("json", name, theirs)
        if verdict != "ok":
            return f"Python's JSON refused: {ours}: {theirs}"
        back = type(m)()
        back.ParseFromString(bytes.fromhex(ours))
        if back.SerializeToString(deterministic=True) != wire:
            return f"we read Python's JSON otherwise: {theirs}"
    return None


def judge_python(tool):
    loaded = load_pool()
    if loaded is None:
        print("python: google.protobuf is not installed (Debian: python3-protobuf)")
        return 1 if os.environ.get("ERRAND_TOOLS") else 0
    from google.protobuf import json_format
    pool, make = loaded
    names = ["Scalars", "Optional", "Named", "Nested", "Lists", "Maps", "Oneofs", "WellKnown",
             "Wrappers", "Mixed", "AllTypes", "AllTypes", "AllTypes2"]
    rnd = random.Random(int(os.environ.get("JUDGE_SEED", "1")))
    bad = 0
    for i in range(ROUNDS):
        name = "golden.v1." + names[i % len(names)]
        m = make(name)()
        fill(rnd, m, 0, make)
        wrong = check_one(tool, m, name, pool, json_format)
        if wrong:
            bad += 1
            print(f"{name}: {wrong[:1000]}")
    print(f"python: {ROUNDS} random messages, {bad} bad")
    return bad


def clear_maps(m):
    """3.21 itself does not merge the maps of two parts by key."""
    for f, v in m.ListFields():
        if f.message_type and f.message_type.GetOptions().map_entry:
            m.ClearField(f.name)
        elif f.message_type and f.label == f.LABEL_REPEATED:
            for one in v:
                clear_maps(one)
        elif f.message_type:
            clear_maps(v)


def judge_canonical(tool):
    """Canonical JSON and wire, read by Python, are the same message; and stable."""
    loaded = load_pool()
    if loaded is None:
        return 0
    from google.protobuf import json_format
    pool, make = loaded
    rnd = random.Random(int(os.environ.get("JUDGE_SEED", "2")))
    bad = 0
    for i in range(ROUNDS // 2):
        name = "golden.v1." + ("AllTypes" if i % 2 else "AllTypes2")
        m, other = make(name)(), make(name)()
        fill(rnd, m, 0, make)
        fill(rnd, other, 0, make)
        clear_maps(other)
        if i % 2:
            other.ClearField("k_any") # the type of one with the bytes of the other
        # parts in disorder and twice: protobuf merges them
        wire = m.SerializeToString() + other.SerializeToString()
        merged = make(name)()
        merged.ParseFromString(wire)
        want = merged.SerializeToString(deterministic=True)
        verdict, norm = tool.ask("norm", name, wire.hex())
        back = make(name)()
        back.ParseFromString(bytes.fromhex(norm) if verdict == "ok" else b"")
        wrong = verdict != "ok" or back.SerializeToString(deterministic=True) != want
        again = tool.ask("norm", name, norm)[1] if not wrong else ""
        text = ""
        if not wrong and again == norm:
            verdict, text = tool.ask("canon", name, norm)
            back = make(name)()
            if verdict == "ok":
                json_format.Parse(text, back, descriptor_pool=pool)
            # merged seconds and nanoseconds may have two signs
            wrong = "Duration: out of range" not in text and (
                verdict != "ok" or back.SerializeToString(deterministic=True) != want)
        else:
            wrong = True
        if wrong:
            bad += 1
            print(f"{name}: canonical forms differ: {verdict} {text[:200]} {norm[:600]}")
    print(f"canonical: {ROUNDS // 2} random messages, {bad} bad")
    return bad


def mutated(rnd, data):
    data = bytearray(data)
    for _ in range(rnd.choice([1, 1, 2, 4])):
        at = rnd.randrange(len(data) + 1)
        kind = rnd.randrange(3)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rnd.randrange(8)
        elif kind == 1:
            del data[at:at + rnd.randint(1, 3)]
        else:
            data[at:at] = bytes([rnd.choice([0, 1, 8, 0x7f, 0x80, 0xff, rnd.randrange(256)])])
    return bytes(data)


def python_reads(m, wire):
    """3.21 only warns of field 0 and of a group's end at the top."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            m.ParseFromString(wire)
        except Exception:
            return False
    return not caught


def judge_bytes(tool):
    """Broken wire bytes: the same verdict as Python's parser, the same message."""
    loaded = load_pool()
    if loaded is None:
        return 0
    make = loaded[1]
    rnd = random.Random(int(os.environ.get("JUDGE_SEED", "3")))
    bad = refused = 0
    for i in range(ROUNDS * 2):
        name = "golden.v1." + rnd.choice(["AllTypes", "AllTypes2", "Scalars", "Maps", "Nested"])
        m = make(name)()
        fill(rnd, m, 2, make)
        wire = mutated(rnd, m.SerializeToString())
        theirs = make(name)()
        accepted = python_reads(theirs, wire)
        verdict, norm = tool.ask("norm", name, wire.hex())
        refused += not accepted
        if accepted and verdict != "ok" and re.search(rb"[\x80-\xff]{9}[\x02-\x7f]", wire):
            continue # 3.21 drops what is over 64 bits of a varint
        if accepted != (verdict == "ok"):
            wrong = f"Python {'reads' if accepted else 'refuses'} it, we: {verdict} {norm[:200]}"
        else:
            ours = make(name)()
            ours.ParseFromString(bytes.fromhex(norm) if accepted else b"")
            wrong = accepted and comparable(ours) != comparable(theirs) and "another message"
        if wrong:
            bad += 1
            print(f"{name} {wire.hex()[:400]}: {wrong}")
    print(f"bytes: {ROUNDS * 2} mutated messages, {refused} refused by both, {bad} bad")
    return bad


def comparable(m):
    """Without unknown fields, and NaN equal to itself."""
    from google.protobuf import text_format
    m.DiscardUnknownFields()
    return text_format.MessageToString(m, as_one_line=True)


def main():
    tool = Tool()
    bad = (judge_protoc(tool) + judge_python(tool) + judge_canonical(tool) + judge_bytes(tool))
    if tool.end() != 0:
        bad += 1
        print("transcode_tool failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
