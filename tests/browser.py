"""A real browser for tests: Chromium without a window, in a profile of its own that goes away again.

It needs Debian's packages chromium and chromium-driver, or others that bring the programs of these names.
"""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

_SECONDS = 60.0
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # it refuses to run as root with one, and containers have no other user
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
)


def programs() -> tuple[str, str] | None:
    """Returns the browser and its driver; None where one is not installed."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    return None if browser is None or driver is None else (browser, driver)


class Browser:
    """A browser that shows one page at a time."""

    def __init__(self) -> None:
        found = programs()
        assert found is not None, "ask programs() first"
        self._profile = tempfile.mkdtemp(prefix="neurosearch-browser-")
        options = Options()
        options.binary_location = found[0]
        for argument in (*_ARGUMENTS, f"--user-data-dir={self._profile}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        # The driver's path is given, so that selenium does not look for one elsewhere.
        self.driver = webdriver.Chrome(options=options, service=Service(found[1]))

    def close(self) -> None:
        """Ends the browser and removes its profile."""
        self.driver.quit()
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, path: Path, *, width: int = 1280, dark: bool = False) -> None:
        """Opens a file in a window of this width, on a device of this mode."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.prefer("dark" if dark else "light")
        self.errors()  # those of the page before
        self.driver.get(path.resolve().as_uri())

    def prefer(self, mode: str, media: str = "") -> None:
        """Changes the mode of the device, and what the page is shown on (print, say); nothing: what it is."""
        features = [{"name": "prefers-color-scheme", "value": mode}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})

    def run(self, script: str, *arguments: Any) -> Any:
        """Runs a script in the page; returns what it returns."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition: str) -> None:
        """Waits until an expression is true in the page."""
        end = time.monotonic() + _SECONDS
        while not self.run(f"return Boolean({condition})"):
            assert time.monotonic() < end, f"never true: {condition}"
            time.sleep(0.05)

    def wait_for_figures(self) -> None:
        """Waits until every figure of a report is drawn."""
        self.wait("document.querySelectorAll('.plot').length === document.querySelectorAll('.plot[data-drawn]').length")

    def errors(self) -> list[str]:
        """Returns what the page's console said since the last look, but for mere talk."""
        entries = self.driver.get_log("browser")
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]
