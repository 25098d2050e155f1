"""/docs: in a real Chromium, and by hand."""

import json
import os
import shutil
import tempfile

import pytest
from conftest import ARTICLE, BUILD, need, wait_until
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
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
    element.clear()
    element.send_keys(text)


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
