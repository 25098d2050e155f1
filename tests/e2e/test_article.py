"""The behaviours of the article, at its paths and with its payloads."""

import json
import os
import re
import shutil
import subprocess
import time

from conftest import wait_until


def read(path):
    try:
        with open(path, encoding="utf-8") as f:
            return f.read()
    except FileNotFoundError:
        return ""


def test_items_waits_a_second_on_the_loop(pair):
    begin = time.monotonic()
    r = pair.get("/items/1")
    assert r.status == 200
    assert time.monotonic() - begin >= 1
    assert r.headers["Content-Type"] == "application/json"
    assert r.json() == {"item_id": 1, "name": "示例商品", "price": 99.9}


def test_sync_operation(pair):
    begin = time.monotonic()
    r = pair.get("/sync-operation")
    assert (r.status, r.json()) == (200, {"message": "同步操作完成"})
    assert time.monotonic() - begin >= 3


def test_notification_comes_after_the_answer(make_pair):
    pair = make_pair()
    log = pair.path("notification_log.txt")
    os.mkfifo(log)  # nobody reads it yet: the background work cannot be done
    r = pair.post("/send-notification/a@b.c")
    assert (r.status, r.json()) == (200, {"message": "通知已在后台发送,请注意查收"})
    with open(log, encoding="utf-8") as f:
        line = f.readline()
    assert re.fullmatch(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] 通知至a@b\.c: 欢迎使用后台任务!\n", line)


def test_notification_is_one_line(pair):
    assert pair.post("/send-notification/a%0A[forged]@b.c").status in (400, 422)
    assert pair.post("/send-notification/%E5%BC%A0@b.c").status == 200
    text = wait_until(lambda: read(pair.path("notification_log.txt")))
    assert "forged" not in text and "通知至张@b.c" in text


def test_search_logs_only_when_there_is_a_query(pair):
    r = pair.get("/search")
    assert (r.status, r.json()) == (200, {"message": "已根据参数None执行搜索"})
    r = pair.get("/search?q=%E6%89%8B%E6%9C%BA")
    assert (r.status, r.json()) == (200, {"message": "已根据参数手机执行搜索"})
    log = wait_until(lambda: read(pair.path("query_log.txt")))
    assert log.count("\n") == 1 and "手机" in log


def test_a_failing_background_job_is_logged_and_the_next_one_runs(pair):
    assert pair.post("/test/after-fail").status == 200
    assert wait_until(lambda: read(pair.path("after.log"))) == "ran\n"
    pair.service.wait_line(r"level=(error|warn).*fails")


def probe(path):
    out = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of",
                          "json", path], capture_output=True, check=True)
    return sorted(s["codec_name"] for s in json.loads(out.stdout)["streams"])


def test_encode(pair, clips):
    out = pair.path("out.mp4")
    task_id = pair.submit("/encode", {"input_path": f"{clips}/clip.mp4", "output_path": out,
                                      "preset": "ultrafast"})
    events = list(pair.events(task_id))
    task = pair.task(task_id)
    assert task["state"] == "SUCCEEDED", task
    assert task["result"] == {"status": "success", "message": "转码完成"}
    assert task["method"] == "article.v1.Article/Encode"
    assert task["progress"]["fraction"] == 1
    assert task["attempt"] == 1
    assert probe(out) == ["aac", "h264"]
    assert "progress" in [e.event for e in events]
    assert [e.json()["state"] for e in events if e.event == "state"][-1] == "SUCCEEDED"
    assert pair.get(f"/v1/tasks/{task_id}/result").json() == task["result"]
    stderr = "\n".join(l["text"] for l in pair.logs(task_id) if l["stream"] == "stderr")
    assert "libx264" in stderr
    assert not [n for n in os.listdir(pair.dir) if n.startswith(".errand-")]


def failed(pair, **body):
    task = pair.wait_task(pair.submit("/encode", body))
    assert task["state"] == "FAILED", task
    return task


def test_encode_of_a_missing_file_is_final(pair):
    task = failed(pair, input_path="/no/such.mp4", output_path=pair.path("x.mp4"))
    assert task["error"]["code"] == "NOT_FOUND"
    assert "input_path" in task["error"]["detail"] and "/no/such.mp4" in task["error"]["detail"]
    assert task["attempt"] == 1


def test_encode_refuses_a_preset_that_is_none(pair, clips):
    r = pair.post("/encode", {"input_path": f"{clips}/clip.mp4", "output_path": pair.path("x.mp4"),
                              "preset": "fast -f null"})
    assert r.status == 422 and r.json()["errors"][0]["pointer"] == "#/preset", r


def test_encode_keeps_the_input(pair, clips):
    task = failed(pair, input_path=f"{clips}/clip.mp4", output_path=f"{clips}/../"
                  + os.path.basename(clips) + "/clip.mp4")
    assert "input itself" in task["error"]["detail"]
    assert probe(f"{clips}/clip.mp4") == ["aac", "mpeg4"]


def test_encode_of_no_video_fails_with_ffmpegs_words(pair):
    with open(pair.path("text.mp4"), "w", encoding="utf-8") as f:
        f.write("no video\n" * 100)
    task = failed(pair, input_path=pair.path("text.mp4"), output_path=pair.path("x.mp4"))
    assert "Invalid data found" in task["error"]["detail"]
    assert task["attempt"] == 1
    assert task["attempts"][-1]["outcome"] == "EXIT"
    assert not os.path.exists(pair.path("x.mp4"))


def test_encode_reads_no_playlists(pair, clips):
    """FAULTS 30: a playlist could have any file read out."""
    with open(pair.path("list.m3u8"), "w", encoding="utf-8") as f:
        f.write(f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{clips}/clip.mp4\n#EXT-X-ENDLIST\n")
    task = failed(pair, input_path=pair.path("list.m3u8"), output_path=pair.path("x.mp4"))
    assert not os.path.exists(pair.path("x.mp4"))
    assert task["attempt"] == 1
    with open(pair.path("list.ffconcat"), "w", encoding="utf-8") as f:
        f.write(f"ffconcat version 1.0\nfile '{clips}/clip.mp4'\n")
    failed(pair, input_path=pair.path("list.ffconcat"), output_path=pair.path("x.mp4"))


def test_encode_takes_no_path_for_an_option(pair, clips):
    """FAULTS 29: names that look like options, protocols and shell."""
    for name in ("-i.mp4", "http:x;$(touch pwned)&.mp4", "a\nb.mp4"):
        shutil.copy(f"{clips}/clip.mp4", pair.path(name))
        task = pair.wait_task(pair.submit("/encode", {
            "input_path": name, "output_path": "-y " + name, "preset": "ultrafast"}))
        assert task["state"] == "SUCCEEDED", task
        assert probe(pair.path("-y " + name)) == ["aac", "h264"]
    assert not os.path.exists(pair.path("pwned"))
