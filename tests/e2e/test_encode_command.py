"""The article's POST /encode twice, in C and as a command (examples/article/encode.conf): both
behave the same, and the second is held by what its configuration says."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from conftest import ARTICLE, TESTMOD, TOP, Pair, processes, wait_until

CONF = pathlib.Path(TOP) / "examples/article/encode.conf"


@pytest.fixture(scope="module")
def pair():
    p = Pair(modules=(ARTICLE, TESTMOD))
    media = p.path("media")
    os.mkdir(media)
    with open(p.path("encode.conf"), "w", encoding="utf-8") as f:
        f.write(CONF.read_text().replace("in=/srv", f"in={media}"))
    p.service_args += ["--config", p.path("encode.conf")]
    p.media = media
    try:
        yield p.start()
    finally:
        p.close()


@pytest.fixture(params=["/encode", "/commands/encode"])
def route(request):
    return request.param


def probe(path):
    out = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of",
                          "json", path], capture_output=True, check=True)
    return sorted(s["codec_name"] for s in json.loads(out.stdout)["streams"])


def given(pair, clips, clip="clip.mp4"):
    path = os.path.join(pair.media, clip)
    if not os.path.exists(path):
        shutil.copy(f"{clips}/{clip}", path)
    return path


def leftovers(pair):
    return [n for n in os.listdir(pair.media) if n.startswith(".errand-")]


def test_a_video(pair, clips, route):
    out = os.path.join(pair.media, f"out{route.count('/')}.mp4")
    task_id = pair.submit(route, {"input_path": given(pair, clips), "output_path": out, "preset": "ultrafast"})
    events = list(pair.events(task_id))
    task = pair.task(task_id)
    assert (task["state"], task["queue"], task["attempt"]) == ("SUCCEEDED", "encode", 1), task
    assert task["result"] == {"status": "success", "message": "转码完成"}
    assert task["progress"]["fraction"] == pytest.approx(1, abs=0.1)
    assert "progress" in [e.event for e in events]
    assert "libx264" in "\n".join(l["text"] for l in pair.logs(task_id) if l["stream"] == "stderr")
    usage = task["attempts"][-1]["usage"]
    assert int(usage["peak_memory"]) > 10 << 20 and usage["isolation"] in ("cgroup2", "cgroup1", "rlimit"), usage
    assert probe(out) == ["aac", "h264"]
    assert not leftovers(pair)


def test_the_preset_is_a_choice(pair, clips, route):
    r = pair.post(route, {"input_path": given(pair, clips), "output_path": os.path.join(pair.media, "x.mp4"),
                          "preset": "fast -f null"})
    assert r.status == 422 and r.json()["errors"][0]["pointer"] == "#/preset", r


def test_no_video(pair, route):
    path = os.path.join(pair.media, "text.mp4")
    with open(path, "w", encoding="utf-8") as f:
        f.write("no video\n" * 100)
    task = pair.wait_task(pair.submit(route, {"input_path": path, "output_path": os.path.join(pair.media, "no.mp4")}))
    assert (task["state"], task["attempt"], task["attempts"][-1]["outcome"]) == ("FAILED", 1, "EXIT"), task
    assert "Invalid data found" in task["error"]["detail"]
    assert not os.path.exists(os.path.join(pair.media, "no.mp4")) and not leftovers(pair)


def test_a_missing_file(pair, route):
    task = pair.wait_task(pair.submit(route, {"input_path": os.path.join(pair.media, "none.mp4"),
                                              "output_path": os.path.join(pair.media, "no.mp4")}))
    assert (task["state"], task["attempt"]) == ("FAILED", 1), task
    assert [e["pointer"] for e in task["error"]["errors"]] == ["#/input_path"]


def test_playlists_are_not_read(pair, clips, route):
    """FAULTS 30."""
    for name, text in (("list.m3u8", f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{given(pair, clips)}\n#EXT-X-ENDLIST\n"),
                       ("list.ffconcat", f"ffconcat version 1.0\nfile '{given(pair, clips)}'\n")):
        path = os.path.join(pair.media, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        out = os.path.join(pair.media, "list.mp4")
        task = pair.wait_task(pair.submit(route, {"input_path": path, "output_path": out}))
        assert task["state"] == "FAILED" and not os.path.exists(out), task


def test_cancel_ends_the_program_and_leaves_no_half_file(pair, clips, route):
    out = os.path.join(pair.media, "cancelled.mp4")
    task_id = pair.submit(route, {"input_path": given(pair, clips, "long.mp4"), "output_path": out, "preset": "veryslow"})
    wait_until(lambda: processes("ffmpeg", pair.media), what="ffmpeg")
    assert pair.post(f"/v1/tasks/{task_id}:cancel").status in (200, 202)
    assert pair.wait_task(task_id)["state"] == "CANCELLED"
    wait_until(lambda: not processes("ffmpeg", pair.media), what="no ffmpeg")
    assert not os.path.exists(out)
    wait_until(lambda: not leftovers(pair), what="no partial file")


def test_paths_lead_nowhere_else(pair, clips):
    """The command's own: paths stay below its directories, whatever they look like."""
    os.symlink("/etc", os.path.join(pair.media, "etc"))
    inside = given(pair, clips)
    for path in ("../../etc/passwd", "/etc/passwd", pair.media + "/../service.log", pair.media + "/etc/passwd",
                 pair.media + "2/clip.mp4", "", "/"):
        for body, field in (({"input_path": path, "output_path": pair.media + "/x.mp4"}, "#/input_path"),
                            ({"input_path": inside, "output_path": path}, "#/output_path")):
            r = pair.post("/commands/encode", body)
            problem = r.json()
            if r.status == 202:
                problem = pair.wait_task(problem["id"])["error"]
            else:
                assert r.status in (400, 422), r
            assert [e["pointer"] for e in problem["errors"]] == [field], (path, problem)


def test_names_of_errands_own(pair, clips):
    """A client must not name the file another task is writing."""
    r = pair.post("/commands/encode", {"input_path": given(pair, clips), "output_path": pair.media + "/.errand-x.mp4"})
    assert r.status == 422, r
    assert [(e["pointer"], e["rule"]) for e in r.json()["errors"]] == [("#/output_path", "path.name")]


def test_it_is_documented_like_any_other(pair):
    doc = pair.get("/openapi.json").json()
    post = doc["paths"]["/commands/encode"]["post"]
    assert post["summary"] == "Transcodes a video with ffmpeg, as a durable task"
    assert "202" in post["responses"]
