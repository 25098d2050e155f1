#!/usr/bin/python3
"""images.v1.Sheets: a contact sheet of the frames a task before this one has written."""

import math
import os

import errand
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.realpath(os.environ.get("IMAGES_DIR", "/srv"))
worker = errand.Worker("sheets", service=f"{HERE}/sheets.proto", tasks=2)


def below_root(path):
    """Whatever a client names: nothing outside of ROOT is read or written."""
    real = os.path.realpath(os.path.join(ROOT, path))
    if os.path.commonpath([ROOT, real]) != ROOT:
        raise errand.Error(3, f"{path} is not below {ROOT}")
    return real


def distinct(frames):
    """Numbers (from 1) of the frames that differ: the last column of framemd5 is the MD5."""
    sums = [line.rpartition(",")[2].strip() for line in frames.splitlines() if not line.startswith("#")]
    return sorted({md5: len(sums) - i for i, md5 in enumerate(reversed(sums))}.values()), len(sums)


def thumbnail(path, width):
    with Image.open(path) as image:
        image.thumbnail((width, width))
        return image.convert("RGB")


@worker.task("images.v1.Sheets/Make")
def make(request, call):
    if not call.parents:
        raise errand.Final("a sheet is made after images.v1.Frames/Extract")
    directory, output = below_root(request.directory), below_root(request.output_path)
    numbers, total = distinct(call.parent_result().frames)
    pictures = []
    for i, number in enumerate(numbers):
        call.check()
        pictures.append(thumbnail(f"{directory}/frame-{number:03}.png", request.width or 160))
        call.progress((i + 1) / (len(numbers) + 1), f"{i + 1} of {len(numbers)}")
    if not pictures:
        raise errand.Final("there are no frames")
    columns = math.ceil(math.sqrt(len(pictures)))
    wide, high = max(p.width for p in pictures), max(p.height for p in pictures)
    sheet = Image.new("RGB", (columns * wide, math.ceil(len(pictures) / columns) * high))
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i % columns * wide, i // columns * high))
    part = f"{output}.{call.task}.{call.attempt}.part"
    try:
        sheet.save(part, "JPEG", quality=85)
        os.replace(part, output)  # whole, or not there
    finally:
        if os.path.exists(part):
            os.unlink(part)
    call.log(f"{len(pictures)} thumbnails, {total - len(pictures)} duplicates")
    return {"path": output, "thumbnails": len(pictures), "duplicates": total - len(pictures),
            "width": sheet.width, "height": sheet.height}


if __name__ == "__main__":
    worker.run()
