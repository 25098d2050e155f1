#!/usr/bin/python3
"""The picture of the README: what errand really prints, as SVG.

picture.py BUILDDIR OUT.svg starts `errand dev` with the example service in a private directory, types a few
commands into a terminal of its own (pyte), and writes what that shows then.
"""

import fcntl
import html
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios

import pyte

COLUMNS, LINES = 92, 40
BOLD = ' font-weight="bold"'
CELL_W, CELL_H, PAD = 8.4, 18, 16
COLOURS = {"default": "#d7dae0", "black": "#5c6370", "red": "#e06c75", "green": "#98c379", "brown": "#e5c07b",
           "yellow": "#e5c07b", "blue": "#61afef", "magenta": "#c678dd", "cyan": "#56b6c2", "white": "#d7dae0"}
COMMANDS = (
    "errand run Encode input_path=clip.mp4 output_path=out.mp4",
    "errand call GetItem item_id=1",
    "errand list",
    "errand queues",
)


def type_command(stream, command, env, cwd):
    """Runs one on a terminal and feeds all it prints to the screen."""
    stream.feed(f"\x1b[1;32m$\x1b[0m \x1b[1m{command}\x1b[0m\r\n")
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.execvpe("sh", ["sh", "-c", command], env)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    while True:
        if not select.select([fd], [], [], 60)[0]:
            os.kill(pid, signal.SIGKILL)
            raise SystemExit(f"picture: {command} does not end")
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        stream.feed(data.decode(errors="replace"))
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status != 0:
        raise SystemExit(f"picture: {command} ended with {status}")
    stream.feed("\r\n")


def spans(row):
    """Runs of equal colour: (column, text, colour, bold)."""
    runs = []
    for x in range(COLUMNS):
        c = row[x]
        look = (COLOURS.get(c.fg, "#" + c.fg if re.fullmatch("[0-9a-f]{6}", c.fg) else COLOURS["default"]), c.bold)
        if runs and runs[-1][2:] == look:
            runs[-1] = (runs[-1][0], runs[-1][1] + c.data, *look)
        else:
            runs.append((x, c.data, *look))
    return [r for r in runs if r[1].strip()]


def draw(screen):
    lines = max(i for i, line in enumerate(screen.display) if line.strip()) + 1
    width, height = COLUMNS * CELL_W + 2 * PAD, lines * CELL_H + 2 * PAD
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
           f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="ui-monospace,Menlo,Consolas,\'DejaVu Sans Mono\',monospace" '
           'font-size="14">', f'<rect width="{width:.0f}" height="{height:.0f}" rx="8" fill="#21252b"/>']
    for y in range(lines):
        for x, text, colour, bold in spans(screen.buffer[y]):
            lead = len(text) - len(text.lstrip())
            text = text.strip()
            out.append(f'<text x="{PAD + (x + lead) * CELL_W:.1f}" y="{PAD + y * CELL_H + 13}" fill="{colour}"'
                       f'{BOLD if bold else ""} textLength="{len(text) * CELL_W:.1f}" '
                       f'xml:space="preserve">{html.escape(text)}</text>')
    return "\n".join(out) + "\n</svg>\n"


def main(build, target):
    build = os.path.realpath(build)
    with tempfile.TemporaryDirectory(prefix="errand-picture-") as work:
        subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30:duration=10", "-f",
                        "lavfi", "-i", "sine=duration=10", "-c:v", "mpeg4", "-c:a", "aac", "clip.mp4"], cwd=work, check=True)
        env = dict(os.environ, PATH=f"{build}:{os.environ['PATH']}", TERM="xterm-256color", ARTICLE_DIR=work,
                   ERRAND_SOCKET=os.path.join(work, "state", "service.sock"), XDG_CONFIG_HOME=work)
        with subprocess.Popen([os.path.join(build, "errand"), "dev", "--listen", "127.0.0.1:0", "--state", os.path.join(work, "state"),
                               os.path.join(build, ".libs", "article.so")], cwd=work, env=env, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True) as dev:
            try:
                while "http://" not in (line := dev.stdout.readline()):
                    if not line:
                        raise SystemExit("picture: errand dev does not start")
                screen = pyte.Screen(COLUMNS, LINES)
                stream = pyte.Stream(screen)
                for command in COMMANDS:
                    type_command(stream, command, env, work)
            finally:
                dev.send_signal(signal.SIGTERM)
        picture = draw(screen)
        with open(target, "w", encoding="utf-8") as f:
            f.write(picture)
        print("\n".join(line.rstrip() for line in screen.display).rstrip())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
