"""clients/python: the blocking client and the asyncio one, against the real daemons."""

import asyncio
import datetime
import os
import re
import subprocess
import sys
import threading
import time

import pytest
from conftest import TOP, in_threads, wait_until

PACKAGE = f"{TOP}/clients/python"
sys.path.insert(0, PACKAGE)
import errand  # pylint: disable=wrong-import-position

TEST = "errandtest.v1.Test"
TASK_ECHO, SLEEP = f"{TEST}/TaskEcho", f"{TEST}/TaskSleep"


@pytest.fixture
def client(pair):
    with errand.Client(pair.socket) as c:
        yield c


def refused(name, call, *a, **kw):
    with pytest.raises(errand.Error) as e:
        call(*a, **kw)
    assert e.value.name == name, e.value
    return e.value


# --- typed by the service's own schema ---

def test_methods_are_the_services(client):
    article = client.service("article.v1.Article")
    assert "GetItem" in dir(article)
    item = article.GetItem(item_id=7)
    assert item.DESCRIPTOR.full_name == "article.v1.Item" and item.item_id == 7
    echo = client.schema.message(f"{TEST.rpartition('.')[0]}.EchoMessage")(text_value="a")
    assert client.call(f"{TEST}/Echo", echo) == client.call(f"{TEST}/Echo", {"text_value": "a"}) == echo


def test_names_that_are_not_there(client):
    article = client.service("article.v1.Article")
    with pytest.raises(AttributeError, match="no method 'GetItems': did you mean 'GetItem'"):
        article.GetItems()
    with pytest.raises(TypeError, match="GetItemRequest has no field 'item': did you mean 'item_id'"):
        article.GetItem(item=1)
    with pytest.raises(TypeError, match="item_id"):
        article.GetItem(item_id="seven")
    with pytest.raises(TypeError, match="item_id"):
        article.GetItem(item_id=2**31)
    with pytest.raises(LookupError, match="no service 'article.v1.Articel': did you mean 'article.v1.Article'"):
        client.service("article.v1.Articel")
    with pytest.raises(LookupError, match="no method 'Nope'"):
        client.call(f"{TEST}/Nope")
    with pytest.raises(LookupError, match="pkg.Service/Method"):
        client.call("Nope")
    with pytest.raises(TypeError, match="takes errandtest.v1.EchoMessage, not article.v1.Item"):
        client.call(f"{TEST}/Echo", article.GetItem(item_id=1))


def test_every_kind_of_value(client):
    now = datetime.datetime(2026, 11, 23, 0, 0, 1, 500000, tzinfo=datetime.timezone.utc)
    kinds = client.schema.message("errandtest.v1.EchoMessage").DESCRIPTOR.fields_by_name
    given = {"text_value": "ü", "int32_value": -1, "bytes_value": b"\0\xff", "numbers": [1, 2], "counts": {"a": 1},
             "inner": {"label": "x", "next": {"label": "y"}}, "at": now}
    got = client.call(f"{TEST}/Echo", {k: v for k, v in given.items() if k in kinds})
    assert (got.text_value, got.int32_value, got.bytes_value) == ("ü", -1, b"\0\xff")
    assert (list(got.numbers), dict(got.counts), got.inner.next.label) == ([1, 2], {"a": 1}, "y")
    assert got.at.ToDatetime(datetime.timezone.utc) == now
    with pytest.raises(TypeError, match="a list is needed"):
        client.call(f"{TEST}/Echo", numbers="12")
    with pytest.raises(TypeError, match="is made of a dict"):
        client.call(f"{TEST}/Echo", inner=1)


# --- errors, time, cancel ---

def test_an_error_brings_its_problem(client):
    e = refused("INVALID_ARGUMENT", client.call, f"{TEST}/Checked")
    assert e.problem.status == 422
    assert {(v.pointer, v.rule) for v in e.problem.errors} >= {("#/name", "string.min_len")}
    assert "#/name" in str(e)


def test_a_call_has_its_time(client):
    begin = time.monotonic()
    refused("DEADLINE_EXCEEDED", client.call, f"{TEST}/Wait", {"ms": 20000}, timeout=0.1)
    with errand.Client(client.path, timeout=0.1) as hurried:
        refused("DEADLINE_EXCEEDED", hurried.call, f"{TEST}/Wait", {"ms": 20000})
        assert hurried.call(f"{TEST}/Wait", {"ms": 1}, timeout=20)
    assert time.monotonic() - begin < 15


def test_a_stopped_service_does_not_hold_its_clients(make_pair):
    p = make_pair()
    with errand.Client(p.socket) as client:
        assert client.schema
        os.kill(p.service.pid, 19)
        try:
            refused("DEADLINE_EXCEEDED", client.call, f"{TEST}/Echo", timeout=0.2)
        finally:
            os.kill(p.service.pid, 18)
        assert client.call(f"{TEST}/Echo", text_value="x").text_value == "x"


def test_a_call_is_cancelled_and_the_service_is_told(pair, client):
    call = client.begin(f"{TEST}/Wait", {"ms": 30000})
    with pytest.raises(TimeoutError):
        call.result(0.05)
    call.cancel()
    refused("CANCELLED", call.result)
    log = pair.path("cancelled.log")
    wait_until(lambda: os.path.exists(log), what="the handler's word")


def test_a_call_is_waited_for_by_another_thread(client):
    call = client.begin(f"{TEST}/Wait", {"ms": 30000})
    threading.Timer(0.1, call.cancel).start()
    refused("CANCELLED", call.result, 20)


def test_a_client_for_many_threads(client):
    def work(i):
        return [client.call(f"{TEST}/SyncEcho", text_value=f"{i}.{k}").text_value for k in range(50)]
    assert in_threads(8, work) == [[f"{i}.{k}" for k in range(50)] for i in range(8)]


def test_large_calls_both_ways_do_not_hold_each_other(client):
    """Nobody reads while everybody writes: the link's thread does both."""
    data = os.urandom(1 << 20)

    def work(_):
        return all(client.call(f"{TEST}/Echo", bytes_value=data).bytes_value == data for _ in range(4))
    assert all(in_threads(12, work))


# --- streams ---

def test_a_stream_of_more_than_the_window(client):
    got = [(m.index, len(m.data)) for m in client.call(f"{TEST}/Stream", count=60, size=50000)]
    assert got == [(i, 50000) for i in range(60)]


def test_a_stream_that_fails_after_some(client):
    stream = client.stream(f"{TEST}/Stream", count=2, fail_code=9)
    assert [next(stream).index, next(stream).index] == [0, 1]
    refused("FAILED_PRECONDITION", next, stream)


def test_a_stream_that_is_left_gives_way(client):
    with client.stream(f"{TEST}/Stream", count=1000000, size=10000) as stream:
        assert next(stream).index == 0
    assert client.call(f"{TEST}/Echo", text_value="after").text_value == "after"
    slow = client.stream(f"{TEST}/Stream", count=100, interval_ms=400)
    threading.Timer(0.1, slow.cancel).start()
    refused("CANCELLED", list, slow)
    with pytest.raises(TypeError, match="use call"):
        client.stream(f"{TEST}/Echo")
    with pytest.raises(TypeError, match="use call"):
        client.begin(f"{TEST}/Stream")


# --- tasks ---

def test_a_task_from_its_making_to_its_result(client):
    task = client.submit(TASK_ECHO, text_value="hello", options={"labels": {"who": "python"}, "priority": 3})
    assert task.result(30).text_value == "hello"
    assert task.state == "SUCCEEDED" and task.done and task.id in repr(task)
    assert (task.latest.labels["who"], task.latest.priority) == ("python", 3)
    events = [(e.event, e.seq) for e in task.events()]
    assert events[-1][0] == "state" and "result" in [e for e, _ in events]
    assert [(e.event, e.seq) for e in task.events(after=events[1][1])] == events[2:]
    assert [a.number for a in task.attempts()] == [1]
    assert client.task(task.id).result().text_value == "hello"
    task.delete()
    refused("NOT_FOUND", client.task(task.id).get)


def test_options_of_a_task(client):
    first = client.submit(TASK_ECHO, {"text_value": "1"}, options={"delay": datetime.timedelta(milliseconds=50)})
    second = client.submit(TASK_ECHO, {"text_value": "2"}, options={"after": [first], "retry": {"max_attempts": 2}})
    assert second.result(30).text_value == "2"
    assert client.task(first.id).get().state == second.latest.state
    assert second.latest.options.retry.max_attempts == 2
    with pytest.raises(TypeError, match="no field 'dely': did you mean 'delay'"):
        client.submit(TASK_ECHO, options={"dely": 1})
    with pytest.raises(TypeError, match="no field 'txt'"):
        client.submit(TASK_ECHO, txt="x")
    unique = client.submit(TASK_ECHO, options={"unique_key": "python", "delay": 60})
    assert "python" in str(refused("ALREADY_EXISTS", client.submit, TASK_ECHO, options={"unique_key": "python"}))
    same = client.submit(TASK_ECHO, options={"unique_key": "python", "on_conflict": "USE_EXISTING"})
    assert same.id == unique.id
    unique.cancel()


def test_the_same_key_is_the_same_task(client):
    made = {client.submit(TASK_ECHO, text_value="k", idempotency_key="py-1").id for _ in range(3)}
    assert len(made) == 1


def test_a_task_that_is_cancelled(client):
    task = client.submit(SLEEP, ms=60000)
    with pytest.raises(TimeoutError, match=task.id):
        task.wait(0.05)
    task.cancel()
    refused("CANCELLED", task.result, 30)
    assert task.retry().state == task.latest.state and not task.done
    task.cancel()
    assert task.wait(30).id == task.id


def test_a_task_that_fails_and_its_logs(client):
    task = client.submit(f"{TEST}/TaskFail", code=9, times=1,
                         options={"retry": {"max_attempts": 1}, "labels": {"py": "fails"}})
    with pytest.raises(errand.Error, match=task.id) as e:
        task.result(30)
    assert e.value.problem.code == e.value.name
    assert [t.id for t in client.tasks('labels.py = "fails" AND state = failed')] == [task.id]
    assert list(task.logs(follow=True)) == list(task.logs())


def test_lists_go_over_pages(client):
    made = {client.submit(TASK_ECHO, options={"labels": {"py": "page"}}).id for _ in range(7)}
    got = list(client.tasks('labels.py = "page"', page_size=3, method=TASK_ECHO))
    assert {t.id for t in got} == made and len(got) == 7
    assert "INVALID_ARGUMENT" in str(refused("INVALID_ARGUMENT", list, client.tasks("stat = 1")))


def test_a_durable_method_is_waited_for(client):
    assert client.call(TASK_ECHO, text_value="now").text_value == "now"
    later = client.call(TASK_ECHO, text_value="later", metadata={"errand-task": "accept"})
    assert later.DESCRIPTOR.full_name == "errand.v1.Task"
    assert client.task(later.id).result(30).text_value == "later"


# --- the service's own end ---

def test_nobody_there(tmp_path):
    with errand.Client(str(tmp_path / "none"), patience=0.1) as client:
        assert "is errand-service running?" in str(refused("UNAVAILABLE", client.call, f"{TEST}/Echo"))


def test_a_restart_is_outlived(make_pair):
    p = make_pair()
    with errand.Client(p.socket, patience=20) as client:
        task = client.submit(TASK_ECHO, text_value="x", options={"delay": 1.5})
        results, seen = [], []
        waiter = threading.Thread(target=lambda: results.append(task.result(60)))
        watcher = threading.Thread(target=lambda: seen.extend(e.seq for e in client.task(task.id).events()))
        waiter.start()
        watcher.start()
        call = client.begin(f"{TEST}/Wait", {"ms": 60000})
        p.service.kill()
        refused("UNAVAILABLE", call.result, 20)
        p.start_service()
        waiter.join(60)
        watcher.join(60)
        assert [r.text_value for r in results] == ["x"]
        assert seen == sorted(set(seen)) and seen
        assert client.call(f"{TEST}/Echo", text_value="y").text_value == "y"
    refused("CANCELLED", client.call, f"{TEST}/Echo")


def test_a_service_that_stops_sends_its_clients_on(make_pair):
    """After GOAWAY a call that has begun goes on to its end, and a new one waits for the new service."""
    p = make_pair()
    with errand.Client(p.socket, patience=20) as client:
        call = client.begin(f"{TEST}/Wait", {"ms": 700})
        p.service.popen.terminate()
        p.service.wait_line("stopping")
        starter = threading.Thread(target=lambda: (p.service.popen.wait(30), p.start_service()))
        starter.start()
        assert client.call(f"{TEST}/Echo", text_value="new").text_value == "new"
        starter.join()
        assert call.result(20) is not None


# --- asyncio ---

def test_the_same_on_asyncio(pair):
    async def main():
        async with errand.AsyncClient(pair.socket) as client:
            article = await client.service("article.v1.Article")
            assert (await article.GetItem(item_id=7)).item_id == 7
            with pytest.raises(AttributeError, match="did you mean 'GetItem'"):
                article.GetItems()
            with pytest.raises(TypeError, match="no field 'item'"):
                await article.GetItem(item=7)
            with pytest.raises(LookupError):
                await client.call("a.b/C")
            many = await asyncio.gather(*(client.call(f"{TEST}/Echo", text_value=str(i)) for i in range(200)))
            assert [m.text_value for m in many] == [str(i) for i in range(200)]
            with pytest.raises(errand.Error, match="DEADLINE_EXCEEDED"):
                await client.call(f"{TEST}/Wait", {"ms": 20000}, timeout=0.1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await client.call(f"{TEST}/Wait", {"ms": 20000})
            with pytest.raises(errand.Error) as e:
                await client.call(f"{TEST}/Checked")
            assert e.value.problem.status == 422
    asyncio.run(main())


def test_streams_and_tasks_on_asyncio(pair):
    async def main():
        async with errand.AsyncClient(pair.socket) as client:
            got = [m.index async for m in await client.call(f"{TEST}/Stream", count=60, size=50000)]
            assert got == list(range(60))
            async with await client.stream(f"{TEST}/Stream", count=1000000, size=10000) as stream:
                assert (await anext(stream)).index == 0
            with pytest.raises(errand.Error, match="DEADLINE_EXCEEDED"):
                async for _ in await client.stream(f"{TEST}/Stream", count=100, interval_ms=400, timeout=0.2):
                    pass
            task = await client.submit(TASK_ECHO, text_value="a", options={"labels": {"py": "aio"}})
            assert (await task.result(30)).text_value == "a"
            events = [e.event async for e in task.events()]
            assert events[-1] == "state" and "result" in events
            assert [t.id async for t in client.tasks('labels.py = "aio"')] == [task.id]
            slow = await client.submit(SLEEP, ms=60000)
            with pytest.raises(TimeoutError):
                await slow.wait(0.05)
            await slow.cancel()
            with pytest.raises(errand.Error, match="CANCELLED"):
                await slow.result(30)
            assert [line.text async for line in slow.logs()] is not None
            assert len(await task.attempts()) == 1
            await task.delete()
    asyncio.run(main())


def test_a_restart_on_asyncio(make_pair):
    p = make_pair()

    async def main():
        async with errand.AsyncClient(p.socket, patience=20) as client:
            task = await client.submit(TASK_ECHO, text_value="x", options={"delay": 1.5})
            result = asyncio.create_task(task.result(60))
            call = asyncio.create_task(client.call(f"{TEST}/Wait", {"ms": 60000}))
            await client.call(f"{TEST}/Echo")  # both are under way
            await asyncio.to_thread(p.service.kill)
            with pytest.raises(errand.Error, match="UNAVAILABLE"):
                await call
            await asyncio.to_thread(p.start_service)
            assert (await result).text_value == "x"
    asyncio.run(main())


# --- as it is shipped ---

SCRIPT = """
import asyncio, sys, errand
async def main():
    async with errand.AsyncClient(sys.argv[1]) as c:
        await c.call("errandtest.v1.Test/Echo", text_value="a")
        async for m in await c.stream("errandtest.v1.Test/Stream", count=100000, size=1000):
            break
with errand.Client(sys.argv[1]) as c:
    for m in c.call("errandtest.v1.Test/Stream", count=100000, size=1000):
        break
    print(c.submit("errandtest.v1.Test/TaskEcho", text_value="x").result().text_value)
try:
    errand.Client("/nonexistent/socket", patience=0).call("a.b/C")
except errand.Error as e:
    print(e.name)
asyncio.run(main())
"""


def test_nothing_is_left_open(pair):
    done = subprocess.run([sys.executable, "-X", "dev", "-W", "error", "-c", SCRIPT, pair.socket], capture_output=True,
                          text=True, timeout=60, check=False, env=dict(os.environ, PYTHONPATH=PACKAGE))
    assert (done.returncode, done.stdout, done.stderr) == (0, "x\nUNAVAILABLE\n", "")


def test_the_package_compiles_and_needs_nothing_else():
    names = set()
    for file in sorted(os.listdir(f"{PACKAGE}/errand")):
        if file.endswith(".py"):
            with open(f"{PACKAGE}/errand/{file}", encoding="utf-8") as f:
                text = f.read()
            compile(text, file, "exec")
            names |= set(re.findall(r"^(?:from ([a-z0-9_]+)[a-z0-9_.]* )?import ", text, re.M))
            names |= set(re.findall(r"^import ([a-z0-9_]+)", text, re.M))
    assert names - set(sys.stdlib_module_names) == {"", "google"}
