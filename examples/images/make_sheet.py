#!/usr/bin/python3
"""make_sheet.py VIDEO DIRECTORY: three tasks, each after the one before. In C: the video is
transcoded; by ffmpeg as a command: its frames; in Python: the sheet of their thumbnails."""

import os
import sys

import errand


def main(video, directory):
    small, sheet = os.path.join(directory, "small.mp4"), os.path.join(directory, "sheet.jpg")
    with errand.Client() as client:
        encode = client.submit("article.v1.Article/Encode", input_path=video, output_path=small, preset="ultrafast")
        frames = client.submit("images.v1.Frames/Extract", video=small, directory=directory, fps=2,
                               options={"after": encode})
        task = client.submit("images.v1.Sheets/Make", directory=directory, output_path=sheet, options={"after": frames})
        for event in task.events():
            if event.event == "progress":
                print(f"{event.progress.fraction:4.0%} {event.progress.message}", file=sys.stderr)
        print(task.result())


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*map(os.path.abspath, sys.argv[1:]))
