"""The report in a real browser: Chromium, through Playwright."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from made_runs import Folder

from horovod_lb.analysis import Results, collect
from horovod_lb.analysis.figures.lines import band
from horovod_lb.analysis.report import Live, prepare

playwright = pytest.importorskip(
    "playwright.sync_api", reason="the Python package playwright is not installed"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"
)

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield found
        found.close()


def test_points_with_curves_are_shown_before_those_not_begun(browser: Any, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "runs" / "made")
    for power in range(15):
        folder.run(f"r{power}", {"recipe.batch_size": 2**power}, 0, [0.5, 0.6] if power > 12 else [])
    results = collect(str(folder.path), [])
    path = prepare(results, tmp_path / "out", with_figures=False).write()
    with opened(browser, path) as page:
        assert len([trace for trace in drawn(page) if trace["y"]]) >= 2
        boxes = page.locator("#curves-plot .choices > li > label input")
        on = [index for index in range(15) if boxes.nth(index).is_checked()]
        assert on == [*range(10), 13, 14]


@contextmanager
def opened(browser: Any, path: Path, ready: bool = True, **context: Any) -> Iterator[Any]:
    """A page on the file `path`; at its end there was no message, no error, no dialog and no request."""
    page = browser.new_context(**context).new_page()
    page.set_default_timeout(120_000)  # the machine may be busy
    seen: list[str] = []
    page.on("console", lambda message: seen.append(message.text))
    page.on("pageerror", lambda error: seen.append(str(error)))
    page.on("dialog", lambda dialog: seen.append(dialog.message))
    page.on("request", lambda request: seen.append(request.url))
    page.goto(path.as_uri())
    if ready:
        page.wait_for_selector("html[data-ready=yes]", state="attached")
    yield page
    outside = [
        one for one in seen if not one.startswith((path.as_uri(), "data:", f"blob:{path.as_uri()[:7]}"))
    ]
    assert [one for one in outside if not one.startswith("blob:null")] == []
    page.context.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Path]:
    """The report of a study of three batch sizes and seeds, and of a diverged run with a hostile name."""
    folder = Folder(tmp_path_factory.mktemp("report") / "runs" / "made")
    for batch, base in ((256, 0.9), (1024, 0.8), (64, 0.5)):
        for seed in range(3):
            found = [base - 0.3, base - 0.1 + 0.01 * seed, base + 0.02 * seed]
            run = folder.run(f"r{batch}-{seed}", {"recipe.batch_size": batch}, seed, found)
            (run / "segments" / "1" / "log").write_text(f"the log of {run.name}\n{EVIL}\n")
    gone = {"state": "diverged", "losses": [2.0, 1.0, "nan"], "exit": {"reason": f"loss is nan {EVIL}"}}
    run = folder.run("evil", {"recipe.batch_size": 1024}, 3, [0.4, 0.3, 0.1], **gone)
    spec = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**spec, "run_id": EVIL}))
    results = collect(folder.path)
    return results, prepare(results, folder.path.parent / "out").write()


def test_it_opens_sorts_and_filters(browser: Any, made: tuple[Results, Path]) -> None:
    with opened(browser, made[1]) as page:
        assert page.evaluate("window.Plotly.version") is not None
        cells = "#runs-grid tbody tr td:nth-child({})"
        heads = page.locator("#runs-grid thead th").all_inner_texts()
        batch = heads.index("recipe.batch_size") + 1
        head = page.locator(f"#runs-grid thead th:nth-child({batch})")

        def values(place: int) -> list[str]:
            return page.locator(cells.format(place)).all_inner_texts()

        # By the keyboard: 64 comes before 256 and 1024, as numbers do and texts do not.
        head.locator("button").focus()
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == "ascending"
        assert list(dict.fromkeys(values(batch))) == ["64", "256", "1024"]
        page.keyboard.press("Space")
        assert head.get_attribute("aria-sort") == "descending"
        assert list(dict.fromkeys(values(batch))) == ["1024", "256", "64"]
        best = heads.index("final_val_accuracy") + 1
        page.locator(f"#runs-grid thead th:nth-child({best}) button").click()
        found = values(best)
        assert found[:-1] == sorted(found[:-1], key=float) and found[-1] == ""  # empty cells are last
        page.locator(f"#runs-grid thead th:nth-child({best}) button").click()
        assert values(best)[-1] == "" and values(best)[0] == "0.94"
        tools = page.locator("#runs .tools")
        tools.locator("select", has_text="state").select_option("diverged")
        assert values(1) == [EVIL]
        tools.locator("select", has_text="state").select_option(index=0)
        tools.locator("input[type=search]").fill("r256 COMPLETED")
        assert sorted(values(1)) == ["r256-0", "r256-1", "r256-2"]
        assert tools.locator("[role=status]").inner_text() == "3 of 10 rows"
        with page.expect_download() as saved:
            tools.locator("button", has_text="CSV").click()
        lines = Path(saved.value.path()).read_text().splitlines()
        assert len(lines) == 4 and lines[0].startswith("run_id,seed,recipe.batch_size,state")
        # A table that stands in the page sorts as well, by the first number of a cell.
        one = page.locator("#accuracy .grid")
        one.locator("thead button").last.click()
        assert one.locator("tbody tr td:first-child").all_inner_texts() == ["64", "1024", "256"]


def drawn(page: Any) -> list[dict[str, Any]]:
    """What the curves' plot shows."""
    found: list[dict[str, Any]] = page.evaluate(
        """() => document.querySelector("#curves-plot .plot").data.map((trace) => ({
          x: [...trace.x], y: [...trace.y], text: trace.text, mode: trace.mode, fill: trace.fill ?? ""}))"""
    )
    return found


def test_curves_are_means_of_points_and_single_runs_on_request(
    browser: Any, made: tuple[Results, Path]
) -> None:
    results, path = made
    with opened(browser, path) as page:
        traces = drawn(page)
        means = [trace for trace in traces if "mean" in str(trace["text"])]
        assert len(means) == len(results.points) == 3
        for mean, point in zip(means, results.points, strict=True):
            expected = band(point, "val_accuracy")
            assert expected is not None and mean["text"].endswith(f"n = {expected.runs}")
            assert mean["x"] == list(expected.epochs)
            assert mean["y"] == pytest.approx([100 * value for value in expected.mean], rel=1e-5)
        assert sum(trace["fill"] == "toself" for trace in traces) == 3
        # The diverged run is drawn up to where it diverged, and its name is text.
        thin = [trace for trace in traces if isinstance(trace["text"], list)]
        assert len(thin) == 1 and thin[0]["y"][:2] == pytest.approx([40, 30], rel=1e-5)
        assert thin[0]["text"][0] == "run &lt;script&gt;alert(1)&lt;/script&gt;, diverged"
        # A point is switched off, and one of its runs on.
        items = page.locator("#curves-plot .choices > li")
        items.nth(0).locator("input").first.uncheck()
        assert len([trace for trace in drawn(page) if "mean" in str(trace["text"])]) == 2
        items.nth(1).locator("summary").click()
        items.nth(1).locator("ul input").nth(2).check()
        page.wait_for_timeout(200)
        thin = [trace for trace in drawn(page) if isinstance(trace["text"], list)]
        assert len(thin) == 2 and thin[0]["text"][0] == "run r256-2, completed"
        assert thin[0]["y"][:3] == pytest.approx([60, 82, 94], rel=1e-5)
        page.locator("#curves-plot select").first.select_option("train_loss")
        page.locator("#curves-plot label", has_text="logarithmic").locator("input").check()
        page.wait_for_timeout(200)
        plot = 'document.querySelector("#curves-plot .plot").layout.yaxis'
        assert page.evaluate(f"[{plot}.type, {plot}.title.text]") == ["log", "training loss"]
        mean = next(trace for trace in drawn(page) if "mean" in str(trace["text"]))
        assert mean["y"] == pytest.approx([0.5] * 3)


def test_a_runs_view_shows_its_text_as_text(browser: Any, made: tuple[Results, Path], tmp_path: Path) -> None:
    copied = tmp_path / "sent by mail.html"
    shutil.copyfile(made[1], copied)  # nothing but this file
    with opened(browser, copied) as page:
        page.locator("#runs-grid a", has_text=EVIL).click()
        view = page.locator("#run")
        view.locator("h1").wait_for()
        assert view.locator("h1").inner_text() == f"Run {EVIL}"
        assert page.locator("main").is_hidden()
        assert f"loss is nan {EVIL}" in view.inner_text()
        view.locator("a", has_text="r1024-0").click()
        page.wait_for_selector("#run h1:has-text('r1024-0')")
        assert f"the log of r1024-0\n{EVIL}" in view.locator("pre").first.inner_text()
        rows = view.locator(".grid tbody tr")
        assert rows.count() == 3 and rows.first.locator("td").first.inner_text() == "1"
        page.wait_for_selector("#run .plot .main-svg")
        page.go_back()
        page.go_back()
        assert page.locator("main").is_visible() and view.is_hidden()
        assert (
            page.evaluate("document.querySelectorAll('script[src], script:not([type]):not([id])').length")
            <= 2
        )
        with page.expect_download() as saved:
            page.locator("#figures button", has_text="PNG").first.click()
        assert Path(saved.value.path()).read_bytes().startswith(b"\x89PNG")


def test_nothing_that_is_not_its_own_script_runs(browser: Any, made: tuple[Results, Path]) -> None:
    page = browser.new_context().new_page()
    page.goto(made[1].as_uri())
    blocked = page.evaluate(
        """async () => {
          const blocked = [];
          addEventListener("securitypolicyviolation", (event) => blocked.push(event.effectiveDirective));
          const script = document.createElement("script");
          script.textContent = "window.ran = 1";
          document.head.append(script);
          const button = document.createElement("button");
          button.setAttribute("onclick", "window.ran = 2");
          document.body.append(button);
          button.click();
          const image = new Image();
          image.src = "http://127.0.0.1:9/x.png";
          await fetch("http://127.0.0.1:9/").catch(() => 0);
          await new Promise((resolve) => setTimeout(resolve, 100));
          return [...blocked, String(window.ran)];
        }"""
    )
    assert sorted(blocked) == ["connect-src", "img-src", "script-src-attr", "script-src-elem", "undefined"]
    page.context.close()


def test_it_fits_a_phone_and_a_dark_room(browser: Any, made: tuple[Results, Path]) -> None:
    phone = {"viewport": {"width": 390, "height": 800}, "color_scheme": "dark"}
    with opened(browser, made[1], **phone) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        color = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert color == "rgb(22, 24, 27)"
        assert page.evaluate('document.querySelector("#curves-plot .plot").layout.font.color') == "#e6e7e9"


def test_a_live_page_takes_up_a_newer_file_and_stays_as_it_was_set(
    browser: Any, made: tuple[Results, Path], tmp_path: Path
) -> None:
    report = prepare(made[0], tmp_path, with_figures=False)
    path = report.write(Live(2, "12:00:01"))
    with opened(browser, path) as page:
        assert "12:00:01" in page.locator("#live").inner_text()
        page.locator("#runs .tools input[type=search]").fill("r64")
        page.locator("#curves-plot .choices input").first.uncheck()
        report.write(Live(2, "12:00:02"))
        page.wait_for_selector("#live:has-text('12:00:02')")
        page.wait_for_selector("html[data-ready=yes]", state="attached")
        assert page.locator("#runs .tools input[type=search]").input_value() == "r64"
        assert page.locator("#runs-grid tbody tr").count() == 3
        assert not page.locator("#curves-plot .choices input").first.is_checked()
        report.write()  # all have ended
        page.wait_for_selector("#live:empty", state="attached")
