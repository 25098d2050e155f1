"""The errand command when what it prints has nowhere to go: a full disk, a closed stdout, a reader that has seen
enough. It says so, ends, and not with 0."""

import signal
import subprocess
import time

import pytest
from test_cli import ERRAND, environment, errand, submit

FULL = "the output could not be written"
SIGPIPE = 128 + signal.SIGPIPE


def shell(pair, script, *args):
    """Runs it with "$E" as the command; its status and stderr."""
    r = subprocess.run(["bash", "-c", "set -o pipefail; " + script, "sh", *args], env={**environment(pair), "E": ERRAND},
                       capture_output=True, text=True, timeout=60)
    return r.returncode, r.stderr


@pytest.mark.parametrize("command", [
    "--help", "list --help", "help list", "--version", "version", "list --columns help", "list", "list --json", "queues",
    "queues --json", "queue show default", "status", "status --json", "ping -c 1", "doctor", "routes", "store show", "show {}",
    "watch {}", "wait {}", "wait --json {}", "logs {}", "logs --json {}", "logs --follow {}", "logs --tail 1 {}", "result {}",
    "call /test/echo text_value=x", "run TaskEcho text_value=x", "submit TaskEcho text_value=x", "cancel --all --dry-run"])
def test_a_full_disk(pair, command):
    r = pair.post("/v1/tasks", {"method": "errandtest.v1.Test/TaskRun", "input": {"argv": ["echo", "a line"]}})
    task = r.json()["id"]
    assert pair.wait_task(task)["state"] == "SUCCEEDED"
    status, stderr = shell(pair, f'"$E" {command.format(task)} >/dev/full')
    assert status == 1 and stderr.count(FULL) == 1, stderr


def test_what_has_printed_nothing_is_no_failure(pair):
    task = submit(pair, "TaskEcho", "text_value=x")
    pair.wait_task(task)
    assert shell(pair, f'"$E" logs {task} >/dev/full') == (0, "")
    assert shell(pair, '"$E" show nosuch >/dev/full')[0] == 4


def test_events_end_with_their_reader(pair):
    for way in ("", "--json"):
        with subprocess.Popen(["bash", "-c", f'exec "$E" events {way} >/dev/full'], stderr=subprocess.PIPE, text=True,
                              env={**environment(pair), "E": ERRAND}) as p:
            end = time.monotonic() + 30
            while p.poll() is None and time.monotonic() < end:
                submit(pair, "TaskEcho", "text_value=x")
                time.sleep(0.05)
            p.kill()
            assert p.wait() == 1 and p.stderr.read().count(FULL) == 1


def test_closed_descriptors_are_not_the_services(pair):
    """Else the socket would be 1, and the service would get what was to be printed."""
    status, stderr = shell(pair, '"$E" list >&-')
    assert status == 1 and "Bad file descriptor" in stderr
    assert shell(pair, '"$E" list 2>&- >/dev/null') == (0, "")
    assert shell(pair, '"$E" list <&- >/dev/null') == (0, "")
    assert shell(pair, '"$E" call /test/echo - <&-')[0] not in (0, 124)
    errand(pair, "list")


def test_a_reader_that_goes_is_no_error_message(pair):
    for command in ("routes", "--help", "list", "status"):
        status, stderr = shell(pair, f'"$E" {command} | true')
        assert status in (0, SIGPIPE) and stderr == "", command
    status, stderr = shell(pair, 'for i in $(seq 1000); do "$E" routes || exit; done | head -n 1 >/dev/null')
    assert status == SIGPIPE and stderr == ""


def test_output_to_a_file_that_is_full(pair):
    status, stderr = shell(pair, '"$E" call --output /dev/full /test/echo text_value=x')
    assert status == 1 and stderr.count(FULL) == 1, stderr
