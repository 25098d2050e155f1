"""/docs: in a real Chromium, and by hand."""

import gzip
import json
import os
import re
import shutil
import socket
import tempfile

import pytest
from conftest import BUILD, in_threads, need, rss_kb, wait_until
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

UI = os.path.join(BUILD, "web", "ui")
FILES = {"index.html": "text/html; charset=utf-8",
         "docs.js": "text/javascript; charset=utf-8",
         "favicon-32x32.png": "image/png",
         "swagger-ui.css": "text/css; charset=utf-8",
         "swagger-ui-bundle.js": "text/javascript; charset=utf-8"}
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
          "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")


# --- in the browser ---

class Browser:
    """A headless Chromium with a profile of its own, and what it did."""

    def __init__(self):
        self.home = tempfile.mkdtemp(prefix="errand-chromium-")
        options = webdriver.ChromeOptions()
        for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage",
                     "no-first-run", "disable-background-networking", "disable-component-update",
                     "window-size=1280,1600", f"user-data-dir={self.home}"):
            options.add_argument("--" + flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(
            options=options,
            service=Service("/usr/bin/chromedriver"))
        self.driver.set_page_load_timeout(60)
        self.driver.get("about:blank")  # not the start page, which asks for much of chrome://

    def close(self):
        self.driver.quit()
        shutil.rmtree(self.home, ignore_errors=True)

    def open(self, url):
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(url)

    def wait(self, condition, what):
        return WebDriverWait(self.driver, 60, 0.05).until(lambda _: condition(), what)

    def find(self, css, within=None):
        """The element, once it is there and to be seen."""
        def visible():
            found = (within or self.driver).find_elements(By.CSS_SELECTOR, css)
            return found[0] if found and found[0].is_displayed() else None
        return self.wait(visible, css)

    def click(self, css, within=None):
        element = self.find(css, within)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()
        return element

    def requests(self):
        """URLs of all requests since open, whoever made them in the page."""
        events = (json.loads(e["message"])["message"] for e in self.driver.get_log("performance"))
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def check(self, origin):
        """Nobody complained, and nothing was asked of anybody else."""
        said = self.driver.get_log("browser")
        assert [e for e in said if e["level"] == "SEVERE" or "Content Security Policy" in e["message"]] == []
        asked = self.requests()
        assert asked
        assert [u for u in asked if not u.startswith((origin + "/", "data:", "chrome://"))] == []
        return asked


@pytest.fixture(scope="module")
def browser():
    b = Browser()
    yield b
    b.close()


@pytest.fixture
def ui():
    need(os.path.exists(os.path.join(UI, "swagger-ui-bundle.js")), "Swagger UI")
    return UI


def block(browser, verb, path):
    """The operation of the page, opened, its "Try it out" pressed."""
    b = browser.find(f".opblock-{verb}:has([data-path='{path}'])")
    browser.click(".opblock-summary-control", b)
    browser.click(".try-out__btn", b)
    return b


def execute(browser, b):
    """Status and text of the answer as the page shows them."""
    answer = ".live-responses-table .response "
    browser.click(".execute", b)
    status = browser.find(answer + ".response-col_status", b).text
    return status.split()[0], browser.find(answer + ".response-col_description", b).text


def fill(element, text):
    """Typed over what is there, again until the page has taken just that: Swagger UI may
    put its example back into a field that is empty for a moment."""
    def typed():
        element.send_keys(Keys.CONTROL, "a")
        element.send_keys(text)
        return element.get_attribute("value") == text
    wait_until(typed, 20, "the text is in its field")


def test_try_it_out(make_pair, browser, ui):
    p = make_pair(gateway_args=("--docs", ui), any_host=False)
    origin = f"http://127.0.0.1:{p.port}"
    browser.open(origin + "/docs")
    get = block(browser, "get", "/items/{item_id}")
    assert browser.driver.current_url.startswith(origin + "/docs/")
    paths = {e.get_attribute("data-path") for e in
             browser.driver.find_elements(By.CSS_SELECTOR, ".opblock [data-path]")}
    assert {"/encode", "/items/{item_id}", "/search", "/v1/tasks", "/v1/tasks/{id}/events"} <= paths

    fill(browser.find("tr[data-param-name='item_id'] input", get), "7")
    status, text = execute(browser, get)
    assert status == "200"
    assert '"item_id": 7' in text and "示例商品" in text

    fill(browser.find("tr[data-param-name='item_id'] input", get), "13")
    wait_until(lambda: '"item_id": 13' in execute(browser, get)[1], 30, "the second answer")

    with open(p.path("none.mp4"), "wb") as f:
        f.write(b"no film")
    post = block(browser, "post", "/encode")
    fill(browser.find("textarea.body-param__text", post),
         json.dumps({"input_path": p.path("none.mp4"), "output_path": p.path("out.mp4")}))
    status, text = execute(browser, post)
    assert status == "202"
    assert '"method": "article.v1.Article/Encode"' in text and "location: /v1/tasks/" in text

    asked = browser.check(origin)
    assert origin + "/items/7" in asked and origin + "/encode" in asked
    assert origin + "/openapi.json" in asked


def test_built_in_page(make_pair, browser, tmp_path):
    p = make_pair(gateway_args=("--docs", str(tmp_path)), any_host=False)
    origin = f"http://127.0.0.1:{p.port}"
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open(origin + "/docs")
        text = browser.find("body").text
        assert "GET /items/{item_id}\n" in text
        assert "Waits a second for a simulated query, holding no thread." in text
        assert "Encode(article.v1.EncodeRequest) → article.v1.EncodeReply task\n" in text
        verb = browser.find("article .verb.post")
        assert verb.value_of_css_property("background-color") == "rgba(29, 122, 70, 1)"  # the style sheet is used
        asked = browser.check(origin)
        assert {u.removeprefix(origin) for u in asked if u.startswith(origin)} >= {"/docs", "/docs/", "/docs/page.css"}
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert browser.driver.find_elements(By.TAG_NAME, "script") == []


# --- by hand ---

@pytest.fixture
def files(tmp_path):
    """A directory with every file of Swagger UI, with content of our own."""
    for name in FILES:
        (tmp_path / name).write_bytes(f"{name} ".encode() * 500)
    (tmp_path / "secret.txt").write_text("a secret")
    return tmp_path


def check_policy(r):
    assert r.headers["Content-Security-Policy"] == POLICY
    assert r.headers["X-Content-Type-Options"] == "nosniff"
    assert r.headers["X-Frame-Options"] == "DENY"
    assert r.headers["Referrer-Policy"] == "same-origin"
    assert r.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert r.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert r.headers["Cache-Control"] == "no-cache"


def test_files(make_pair, files):
    p = make_pair(gateway_args=("--docs", str(files), "--threads", "4"))
    # the first readers come at once, on several threads
    everything = in_threads(12, lambda i: [(n, p.get("/docs/" + n)) for n in FILES])
    for name, r in [pair for one in everything for pair in one]:
        assert (r.status, r.headers["Content-Type"]) == (200, FILES[name])
        assert r.body == (files / name).read_bytes()
        assert "Content-Encoding" not in r.headers and r.headers["Vary"] == "Accept-Encoding"
        check_policy(r)
    assert p.get("/docs/").body == p.get("/docs/?x=1").body == p.get("/docs/index.html").body
    r = p.get("/docs")
    assert (r.status, r.headers["Location"], r.body) == (308, "docs/", b"")

    plain = p.get("/docs/docs.js")
    r = p.request("HEAD", "/docs/docs.js")
    assert (r.status, r.body) == (200, b"")
    for name in set(plain.headers) - {"Date", "x-request-id", "X-Request-Id"}:
        assert r.headers[name] == plain.headers[name], name
    packed = p.get("/docs/docs.js", headers={"Accept-Encoding": "br, gzip"})
    assert packed.headers["Content-Encoding"] == "gzip" and len(packed.body) < len(plain.body)
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers["ETag"] != plain.headers["ETag"]
    for one, accepts in ((plain, "identity"), (packed, "gzip")):
        for known in (one.headers["ETag"], f'"x", W/{one.headers["ETag"]}', "*"):
            r = p.get("/docs/docs.js", headers={"If-None-Match": known, "Accept-Encoding": accepts})
            assert (r.status, r.body, r.headers["ETag"]) == (304, b"", one.headers["ETag"]), known
            assert r.headers["Vary"] == "Accept-Encoding" and "Content-Encoding" not in r.headers
            check_policy(r)
    assert p.get("/docs/docs.js", headers={"If-None-Match": '"else"'}).status == 200
    # they are kept: what happens to the directory no longer matters
    for name in FILES:
        (files / name).unlink()
    assert p.get("/docs/docs.js").body == plain.body


def test_readers_that_do_not_read(make_pair, files):
    """They all wait for the one copy of the file."""
    content = os.urandom(1 << 20) * 8
    (files / "swagger-ui-bundle.js").write_bytes(content)
    p = make_pair(gateway_args=("--docs", str(files)))
    assert p.get("/docs/swagger-ui-bundle.js").body == content
    before, slow = rss_kb(p.gateway.pid), []
    try:
        for _ in range(60):
            slow.append(socket.create_connection(("127.0.0.1", p.port), timeout=20))
            slow[-1].sendall(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        for s in slow:
            assert s.recv(12) == b"HTTP/1.1 200"
        assert rss_kb(p.gateway.pid) - before < 150 << 10
        got = b"".join(iter(lambda: slow[7].recv(1 << 16), b""))
        assert got.endswith(b"\r\n\r\n" + content)
    finally:
        for s in slow:
            s.close()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/docs", "/docs/", "/docs/docs.js", "/docs/none"])
def test_is_only_read(pair, method, path):
    r = pair.request(method, path, body=b"{}" if method in ("POST", "PUT", "PATCH") else None)
    assert (r.status, r.headers["Allow"]) == (405, "GET, HEAD")


OUTSIDE = [
    "/docs/../../etc/passwd", "/docs/../etc/passwd", "/docs/..", "/docs/.", "/docs/./docs.js",
    "/docs/%2e%2e/secret.txt", "/docs/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/docs/..%2f..%2fetc/passwd",
    "/docs/..;/secret.txt", "/docs/..%5c..%5cetc%5cpasswd", "/docs/..\\..\\etc\\passwd",
    "/docs/%252e%252e/etc/passwd", "/docs/..%c0%af..%c0%afetc/passwd", "/docs/%c0%ae%c0%ae/etc/passwd",
    "/docs//etc/passwd", "/docs///etc/passwd", "/docs//docs.js", "/docs//", "//docs/docs.js",
    "/docs/secret.txt", "/docs/docs.js/", "/docs/docs.js/..", "/docs/docs.js%00", "/docs/docs.js%00.png",
    "/docs/%00", "/docs/docs.js;x", "/docs/docs%2ejs", "/docs/DOCS.JS", "/docs/.swagger-ui-lock",
    "/docs/swagger-ui-bundle.js.map", "/docs/page.css", "/docs;/docs.js", "/docs/" + "a" * 5000, "/docs/*",
]


def test_nothing_else(make_pair, files):
    (files / ".swagger-ui-lock").write_text("a secret")
    p = make_pair(gateway_args=("--docs", str(files)))
    for path in OUTSIDE:
        got = p.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert re.match(rb"HTTP/1\.1 40[04] ", got), (path, got[:200])
        assert b"root:" not in got and b"secret" not in got.partition(b"\r\n\r\n")[2].replace(
            b"/docs/secret.txt", b"").replace(b"/secret.txt", b""), (path, got)
    got = p.raw(b"GET /docs/docs.js\x00 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 400 "), got[:200]


def test_other_hosts_and_origins(make_pair, files):
    p = make_pair(gateway_args=("--docs", str(files)), any_host=False)
    assert p.get("/docs/", headers={"Host": "evil.example"}).status == 421
    assert p.get("/docs/", headers={"Host": f"localhost:{p.port}"}).status == 200
    r = p.get("/docs/", headers={"Origin": "http://evil.example"})
    assert r.status == 200 and "Access-Control-Allow-Origin" not in r.headers
    check_policy(r)


def test_off(make_pair):
    p = make_pair(gateway_args=("--docs", "off"))
    for path in ("/docs", "/docs/", "/docs/index.html", "/docs/page.css"):
        r = p.get(path)
        assert r.status == 404 and r.json()["detail"] == "this gateway serves no documentation (--docs off)"


def spoilt(how):
    """(what is done to one file, what the log says of it)"""
    def link(f):
        f.rename(f.with_name("real"))
        f.symlink_to("real")

    def device(f):
        f.unlink()
        os.mkfifo(f)

    def big(f):
        os.truncate(f, (16 << 20) + 1)
    return {"link": (link, "not a file"), "fifo": (device, "not a file"), "big": (big, "not a file"),
            "gone": (os.unlink, "No such file or directory")}[how]


@pytest.mark.parametrize("how", ["link", "fifo", "big", "gone"])
def test_a_file_that_is_none(make_pair, files, how):
    """The built-in page instead, and the log says why."""
    spoil, why = spoilt(how)
    spoil(files / "swagger-ui.css")
    p = make_pair(gateway_args=("--docs", str(files)))
    with open(p.path("gateway.log"), encoding="utf-8") as f:
        assert f'why="swagger-ui.css: {why}"' in f.read()
    assert p.get("/docs/swagger-ui.css").status == p.get("/docs/docs.js").status == 404
    assert b"/items/{item_id}" in p.get("/docs/").body


def test_page_by_hand(make_pair, tmp_path):
    p = make_pair(gateway_args=("--docs", str(tmp_path / "none")))
    with open(p.path("gateway.log"), encoding="utf-8") as f:
        assert 'why="No such file or directory"' in f.read()
    r = p.get("/docs/")
    assert (r.status, r.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    check_policy(r)
    for part in (b"<script", b" style=", b" on", b"javascript:"):
        assert part not in re.sub(rb">[^<]*<", b"><", r.body), part
    assert p.get("/docs/", headers={"If-None-Match": r.headers["ETag"]}).status == 304
    assert p.request("HEAD", "/docs/").headers["Content-Length"] == str(len(r.body))
    assert p.get("/docs/page.css").headers["Content-Type"] == "text/css; charset=utf-8"
    assert p.get("/docs/index.html").status == 404
    p.service.stop()
    wait_until(lambda: p.get("/readyz").status == 503, what="the service is gone")
    assert p.get("/docs/").body == r.body  # the schema is still known
    p.start_service()
