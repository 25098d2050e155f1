"""A stand-in for systemd's socket activation: activate.py NAME:FD ... -- PROGRAM ARGUMENT ...

The descriptors become 3, 4, ... of the program, which takes this process's place; --ready-fd of
its arguments keeps its meaning."""

import fcntl
import os
import sys


def main():
    at = sys.argv.index("--")
    given, argv = [g.rpartition(":") for g in sys.argv[1:at]], sys.argv[at + 1:]
    high = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for _, _, fd in given]
    if "--ready-fd" in argv:
        i = argv.index("--ready-fd") + 1
        argv[i] = str(fcntl.fcntl(int(argv[i]), fcntl.F_DUPFD, 100))
        os.set_inheritable(int(argv[i]), True)
    for i, fd in enumerate(high):
        os.dup2(fd, 3 + i, inheritable=True)
        os.close(fd)
    os.closerange(3 + len(high), 100)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)),
                      LISTEN_FDNAMES=":".join(name for name, _, _ in given))
    os.execv(argv[0], argv)


main()
