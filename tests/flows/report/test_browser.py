"""The report in a real browser: nothing breaks, nothing is fetched, the plots hold their points, keys suffice."""

import pytest

from flows.report import write_report
from storage.catalog import refresh_catalog
from storage.workspace import Workspace
from tests.flows.report.test_report import BASE, HOSTILE, LEARNED, record_base, record_corpora, record_run

pytest.importorskip("websockets", reason="needs websockets, which comes with Prefect")
from tests.flows.report.browser import CHROMIUM, Browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
RUNS = 6
LETTER = (703, 943)  # CSS pixels within the margins of a printed page, the smaller of the usual two


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("page") / "workspace")
    record_corpora(workspace, name=HOSTILE)
    record_base(workspace)
    for method, (learning, forgetting) in LEARNED.items():
        for seed in (0, 1):
            record_run(workspace, method, seed, learning + 0.01 * seed, forgetting, name=f"{method} {HOSTILE}")
    refresh_catalog(workspace)
    return write_report(workspace, title=HOSTILE, config_yaml=f"name: {HOSTILE}\n")


@pytest.fixture
def browser(page):
    with Browser() as opened:
        opened.open(page)
        yield opened


def test_no_console_line_and_no_request(browser, page):
    browser.ask("document.querySelector('button.copy').click()")
    assert browser.complaints() == []
    assert browser.requests() == [page.as_uri()]


def test_plots_have_their_points_where_they_can_be_seen(browser):
    """Learning against forgetting, and KL on the new language against forgetting."""
    seen = browser.ask(
        "[...document.querySelectorAll('figure.plot svg.wide')].map(plot => [...plot.querySelectorAll('.point .mark')]"
        ".map(mark => mark.getBoundingClientRect())"
        ".filter(box => box.width > 4 && box.left >= 0 && box.right <= innerWidth).length)"
    )
    assert seen == [RUNS, RUNS]
    assert browser.ask("document.querySelectorAll('.task svg.wide .point').length") == RUNS
    assert browser.ask("document.querySelectorAll('svg.wide .front').length") == 1
    assert browser.ask("getComputedStyle(document.querySelector('svg.narrow')).display") == "none"
    assert BASE  # the base's mark stands at the origin of each
    assert browser.ask("document.querySelectorAll('svg.wide .base').length") == 2


SHOWN = """(() => { const seen = (one) => getComputedStyle(one).display !== "none" && one.getBoundingClientRect().width;
 return ["svg.wide .point", "tr[data-of]", "svg.wide .label", "svg.wide .error"].map(kind =>
 [...document.querySelectorAll("[data-part] " + kind)].filter(seen).length) })()"""


def test_boxes_take_methods_and_seeds_out_of_pictures_and_tables(browser):
    names = browser.ask("[...document.querySelectorAll('form.filter label')].map(one => one.innerText.trim())")
    assert names == [*sorted(LEARNED), "0", "1"]
    points, rows, labels, errors = browser.ask(SHOWN)
    assert (points, rows) == (2 * RUNS, 2 * RUNS)
    tick = "document.querySelectorAll('form.filter input')[{}].click()"
    browser.ask(tick.format(names.index("lora")))
    without = browser.ask(SHOWN)
    assert without[:3] == [points - 4, rows - 4, labels - 2] and without[3] < errors
    front = "getComputedStyle(document.querySelector('svg.wide .front')).display"
    assert browser.ask(front) == "none"  # of all runs, of which some are gone
    browser.ask(tick.format(names.index("1")))
    assert browser.ask(SHOWN)[:3] == [points - 8, rows - 8, labels - 2]
    for name in ("lora", "1"):
        browser.ask(tick.format(names.index(name)))
    assert browser.ask(SHOWN) == [points, rows, labels, errors]
    assert browser.ask(front) != "none"
    assert browser.complaints() == []


def test_a_title_that_is_a_script_shows_as_text(browser):
    assert browser.ask("document.title") == HOSTILE
    assert browser.ask("document.body.innerText").count(HOSTILE) > 5
    assert browser.ask("document.scripts.length") == 1


def test_every_point_is_reached_by_the_tab_key_and_then_shows_its_figures(browser):
    shown = set()
    for _ in range(60):
        browser.press_tab()
        text = browser.ask(
            "(() => { const at = document.activeElement; const tip = at && at.querySelector('.tip');"
            " return tip && getComputedStyle(tip).display !== 'none' ? tip.textContent : null })()"
        )
        if text:
            shown.add(text)
    assert sum("learning" in text for text in shown) == RUNS
    assert sum("difference" in text for text in shown) == RUNS


def test_every_picture_has_a_name_for_whoever_does_not_see_it(browser):
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    pictures = [node for node in tree if node.get("role", {}).get("value") in ("image", "img") and not node["ignored"]]
    assert pictures and all(node.get("name", {}).get("value") for node in pictures)
    hidden = "[...document.querySelectorAll('svg')].every(s => s.getAttribute('aria-label') || s.ariaHidden === 'true')"
    assert browser.ask(hidden)


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_light_and_dark(page, width, scheme):
    with Browser(width, 800) as browser:
        browser.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500
        )
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        browser.open(page)
        assert browser.ask("document.documentElement.scrollWidth") <= width
        channels = browser.ask("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert (sum(channels) > 600) == (scheme == "light")


def test_the_first_printed_page_has_the_plot(page):
    with Browser(LETTER[0], 900) as browser:
        browser.call("Emulation.setEmulatedMedia", media="print")
        browser.open(page)
        bottom = browser.ask("document.querySelector('figure.plot').getBoundingClientRect().bottom + scrollY")
        assert 300 < bottom < LETTER[1]
        stand = "[...document.querySelectorAll('h2')].filter(one => one.offsetHeight)"
        assert browser.ask(f"{stand}.every(one => one.nextElementSibling.offsetHeight)"), "a heading with nothing below"


def test_in_print_nothing_is_cut_off_and_buttons_are_gone(browser):
    browser.call("Emulation.setEmulatedMedia", media="print")
    for gone in ("button.copy", "form.filter"):
        assert browser.ask(f"getComputedStyle(document.querySelector('{gone}')).display") == "none"
    assert browser.ask("getComputedStyle(document.querySelector('svg.wide')).display") == "block"
