"""tests/style/abi.sh tells a change that breaks programs from one that does not."""
import pathlib
import shutil
import subprocess

import pytest
from conftest import need

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "style/abi.sh"

OLD = "struct opt { int a; }; int call(struct opt *o) { return o->a; } int gone(void) { return 1; }"


def make(folder, text):
    folder.mkdir()
    (folder / "l.c").write_text(text)
    for name in ("liberrand", "liberrand-service"):
        subprocess.run(["cc", "-shared", "-fPIC", "-g", "-o", folder / f"{name}.so", folder / "l.c"], check=True)


@pytest.mark.parametrize("text,good", [
    (OLD, True),
    (OLD + " int more(void) { return 2; }", True),
    (OLD.replace("int gone(void) { return 1; }", ""), False),
    (OLD.replace("int a;", "long b; int a;"), False),
])
def test_compare(tmp_path, text, good):
    need(shutil.which("abidiff"), "abidiff")
    make(tmp_path / "old", OLD)
    make(tmp_path / "new", text)
    out = subprocess.run([SCRIPT, tmp_path / "old", tmp_path / "new"], capture_output=True, text=True)
    assert (out.returncode == 0) == good, out.stderr
    assert good or "does not replace the released one" in out.stderr
