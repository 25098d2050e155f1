"""examples/images: a method in C makes a video, a command its frames, a worker in Python thumbnails of these."""

import os
import pathlib
import subprocess
import sys

import pytest
from conftest import ARTICLE, TOP, Pair, wait_until

EXAMPLE = f"{TOP}/examples/images"
sys.path.insert(0, f"{TOP}/clients/python")
import errand  # pylint: disable=wrong-import-position

Image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def images():
    p = Pair(modules=(ARTICLE,))
    p.media = p.path("media")
    os.makedirs(f"{p.media}/frames")
    text = pathlib.Path(f"{EXAMPLE}/frames.conf").read_text(encoding="utf-8")
    pathlib.Path(p.path("frames.conf")).write_text(text.replace("in=/srv", f"in={p.media}"), encoding="utf-8")
    p.service_args += ["--config", p.path("frames.conf")]
    p.environment = dict(os.environ, PYTHONPATH=f"{TOP}/clients/python", ERRAND_SOCKET=p.socket, IMAGES_DIR=p.media)
    try:
        p.start()
        with open(p.path("worker.log"), "wb") as log:
            worker = subprocess.Popen([sys.executable, "-X", "dev", f"{EXAMPLE}/worker.py"], env=p.environment, stderr=log)
        try:
            wait_until(lambda: any(w["worker"] for w in p.get("/v1/workers").json()["workers"]), 30, "the worker")
            yield p
            worker.terminate()
            assert worker.wait(30) == 0
            assert "Warning" not in pathlib.Path(p.path("worker.log")).read_text(encoding="utf-8")
        finally:
            if worker.poll() is None:
                worker.kill()
                worker.wait()
    finally:
        p.close()


@pytest.fixture(scope="module")
def sheet(images, clips):
    """make_sheet.py of the clip; what it said."""
    done = subprocess.run([sys.executable, "-X", "dev", f"{EXAMPLE}/make_sheet.py", f"{clips}/clip.mp4",
                           f"{images.media}/frames"], env=images.environment, capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done


def test_a_chain_of_three_languages(images, sheet):
    path = f"{images.media}/frames/sheet.jpg"
    assert f'path: "{path}"' in sheet.stdout and "thumbnails: 8" in sheet.stdout
    assert "of 8" in sheet.stderr
    with Image.open(path) as image:  # 8 of 160x90 in rows of 3
        assert (image.format, image.size) == ("JPEG", (480, 270))
        assert len(set(image.crop((160, 0, 320, 90)).getdata())) > 50                # a picture
        assert max(max(c) for c in image.crop((330, 190, 470, 260)).getdata()) < 16  # the ninth: none
    assert not [n for n in os.listdir(f"{images.media}/frames") if n.endswith(".part")]


def test_its_parents_and_logs_are_kept(images, sheet):
    assert sheet.returncode == 0
    with errand.Client(images.socket) as client:
        (task,) = client.tasks('method = "images.v1.Sheets/Make" AND state = succeeded')
        assert [line.text for line in task.logs()] == ["8 thumbnails, 0 duplicates"]
        (frames,) = client.tasks('method = "images.v1.Frames/Extract" AND state = succeeded')
        assert list(task.get().options.after) == [frames.id]
        assert len([line for line in frames.result().frames.splitlines() if line[0] != "#"]) == 8


def test_the_same_picture_is_taken_once(images):
    os.makedirs(f"{images.media}/still", exist_ok=True)
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", "color=red:size=64x64:rate=5:duration=2",
                    "-c:v", "png", f"{images.media}/still.mkv"], check=True)
    with errand.Client(images.socket) as client:
        frames = client.submit("images.v1.Frames/Extract", video="still.mkv", directory="still", fps=5)
        task = client.submit("images.v1.Sheets/Make", directory="still", output_path="still.jpg", width=32,
                             options={"after": frames})
        made = task.result(60)
        assert (made.thumbnails, made.duplicates, made.width, made.height) == (1, 9, 32, 32)


def test_what_it_refuses(images, tmp_path):
    with errand.Client(images.socket) as client:
        alone = client.submit("images.v1.Sheets/Make", directory="still", output_path="x.jpg")
        with pytest.raises(errand.Error, match="after images.v1.Frames/Extract"):
            alone.result(60)
        with pytest.raises(errand.Error, match="at least 1 character"):
            client.submit("images.v1.Sheets/Make", directory="still")
        frames = client.submit("images.v1.Frames/Extract", video=f"{images.media}/frames/small.mp4", directory="frames")
        os.symlink(tmp_path, f"{images.media}/out")
        for path in ("../x.jpg", f"{tmp_path}/x.jpg", "out/x.jpg"):
            task = client.submit("images.v1.Sheets/Make", directory="frames", output_path=path, options={"after": frames})
            with pytest.raises(errand.Error, match="is not below"):
                task.result(60)
        assert os.listdir(tmp_path) == []
