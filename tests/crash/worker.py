"""A worker in Python for the crash matrix: worker.py SET EFFECTS. Writes that it ran, and waits."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "clients", "python"))

import errand  # noqa: E402

with open(sys.argv[1], "rb") as f:
    worker = errand.Worker("crash-python", descriptor_set=f.read(), services=["crash.v1.Python"], tasks=3, lease=2)


@worker.method("crash.v1.Python/Touch")
def touch(request, call):
    with open(sys.argv[2], "a", encoding="utf-8") as effects:
        effects.write(f"{request.name} {call.attempt}\n")
    until = time.monotonic() + request.seconds
    while time.monotonic() < until:
        call.check()
        time.sleep(0.01)
    return {"ok": True}


worker.run()
