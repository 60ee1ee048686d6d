"""The report says what the catalog says, shows hostile text as text, and asks nothing of the network."""

import json
import re
import shutil
import subprocess
import sys
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import matplotlib
import pytest

from flows.report import write_report
from flows.report.headline import Evidence, evidence_of, headline
from flows.report.inline_svg import inline_svg
from flows.report.page import report_file
from flows.report.plots import PAGE
from flows.report.queries import RUNS, ask
from flows.report.scatter_plot import TRADE_OFF, Box, Placer, scatter
from flows.report.series import Styles, bits, duration, rate, share, short
from nr_core.settings import BaseSpec
from storage.catalog import refresh_catalog
from storage.errors import InputError
from storage.query import query
from storage.records import write_records
from storage.workspace import Workspace

HOSTILE = "<script>alert(1)</script>"
BASE = (2.930, 1.520, 1.810)  # bits per byte on the sets n, o1, o2
LEARNED = {"neutral_residues": (0.368, 0.069), "lora": (0.373, 0.288), "finetune": (0.627, 0.637)}
SETS = {"n": ("french", "fra", "web"), "o1": ("english", "eng", "web"), "o2": ("abstracts", "eng", "abstracts")}


class Page(HTMLParser):
    """Elements, attributes and visible text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.statements: list[str] = []
        self.text = ""
        self._in_code = False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "code" and "plain" not in (dict(attrs).get("class") or ""):
            self._in_code = True
            self.statements.append("")

    def handle_endtag(self, tag):
        if tag == "code":
            self._in_code = False

    def handle_data(self, data):
        self.text += data
        if self._in_code:
            self.statements[-1] += data

    def count(self, tag: str, css_class: str) -> int:
        return sum(name == tag and css_class in (attrs.get("class") or "").split() for name, attrs in self.tags)


def record_corpora(workspace: Workspace, name: str = "french") -> None:
    for key, (set_name, language, domain) in SETS.items():
        row = {"version": f"c-{key}", "name": name if key == "n" else set_name, "language": language}
        write_records(workspace, "corpora", key, [{**row, "text_domain": domain}])
        write_records(workspace, "corpus_units", key, [{"version": f"c-{key}", "unit_id": "u", "documents_key": "d"}])
        unit = {"unit_id": "u", "documents_key": "d", "source": "crawl", "kind": "warc", "status": "done"}
        write_records(workspace, "work_units", "u", [{**unit, "path": f"/crawl/{name}.warc.gz"}])
        pinned = {"eval_id": key, "name": row["name"], "language": language, "text_domain": domain}
        write_records(workspace, "eval_sets", key, [{**pinned, "corpus_version": f"c-{key}"}])
        funnel = {"scope": "corpus", "scope_id": f"c-{key}", "unit_id": "u", "language": language}
        write_records(workspace, "funnel", f"corpus-{key}", [
            {**funnel, "stage": "verdict", "reason": "short", "documents": 1234},
            {**funnel, "stage": "split", "reason": "kept", "documents": 4321},
        ])  # fmt: skip
    read = {"scope": "documents", "scope_id": "d", "stage": "gate", "reason": name, "documents": 77}
    kept_out = {**read, "stage": "opt_out", "reason": "robots_txt", "documents": 3, "unit_id": "u", "language": "hrv"}
    write_records(workspace, "funnel", "documents", [{**read, "unit_id": "u", "language": "und"}, kept_out])


def record_base(workspace: Workspace, base: str = "base") -> None:
    write_records(workspace, "models", base, [{"model_id": base, "source": "pretrained here", "parameters": 452_000}])
    write_records(workspace, "evaluations", base, _figures(base, 0, BASE))
    task = {"eval_id": "t", "name": "quiz", "language": "fra", "text_domain": "quiz"}
    write_records(workspace, "eval_sets", "t", [task])
    record_items(workspace, base, 0, 20, BASE)


def record_items(workspace: Workspace, model: str, step: int, right: int, bits: tuple[float, ...]) -> None:
    """40 questions of a task, so many of them right, and 40 documents of each text."""
    key = {"model_id": model, "step": step, "settings_hash": "s"}
    ones = [1.0] * 40
    task = {**key, "eval_id": "t", "metric": "acc", "numerators": [float(i < right) for i in range(40)]}
    texts = [
        {**key, "eval_id": name, "metric": "bits_per_byte", "numerators": [value + i / 500 for i in range(-20, 20)]}
        for name, value in zip(SETS, bits, strict=True)
    ]
    write_records(workspace, "evaluation_items", model, [{**row, "denominators": ones} for row in [task, *texts]])
    acc = {**key, "eval_id": "t", "metric": "acc", "value": right / 40, "n": 40, "stderr": 0.07}
    kl = {**key, "metric": "kl_to_base", "n": 40, "stderr": 0.01}
    beside = [{**kl, "eval_id": "o2", "value": 0.05}, {**kl, "eval_id": "n", "value": 0.7}]
    write_records(workspace, "evaluations", f"more-{model}", [acc, *(beside if step else [])])


def record_run(workspace: Workspace, method: str, seed: int, learning: float, forgetting: float, **fields) -> None:
    run_id = f"{fields.get('name') or method}-{seed}".replace("/", "")
    run = {"run_id": run_id, "base_model_id": "base", "model_id": f"m-{run_id}", "method": method, "seed": seed,
           "name": None, "status": "done", "error": None, "learning_rate": 3e-3, "seconds": 61.0,
           "extra_parameters": 60_123}  # fmt: skip
    write_records(workspace, "runs", run_id, [{**run, **fields}])
    write_records(workspace, "run_inputs", run_id, [
        {"run_id": run_id, "corpus_version": "c-n", "role": "new", "language": "fra", "share": 0.9},
        {"run_id": run_id, "corpus_version": "c-o1", "role": "original", "language": "eng", "share": 0.1},
    ])  # fmt: skip
    values = (BASE[0] - learning, BASE[1], BASE[2] + forgetting)
    write_records(workspace, "evaluations", run_id, _figures(f"m-{run_id}", 10, values))
    write_records(workspace, "training_steps", run_id, [
        {"run_id": run_id, "step": step, "tokens": step * 2048, "lm_loss": 4.0 - step / 10} for step in range(10)
    ])  # fmt: skip
    record_items(workspace, f"m-{run_id}", 10, 26, values)
    if method == "neutral_residues":
        write_records(workspace, "gate_activity", run_id, [
            {"model_id": f"m-{run_id}", "eval_id": key, "layer": layer, "open_rate": open_rate, "residue_size": 0.1}
            for key, open_rate in (("n", 0.91), ("o1", 0.23), ("o2", 0.14)) for layer in range(2)
        ])  # fmt: skip


def _figures(model, step, values):
    return [
        {"model_id": model, "step": step, "eval_id": key, "settings_hash": "s", "metric": "bits_per_byte",
         "value": value, "n": 40, "stderr": 0.01} for key, value in zip(SETS, values, strict=True)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A workspace to look at; `workspace` is a copy to change."""
    workspace = Workspace(tmp_path_factory.mktemp("recorded") / "workspace")
    record_corpora(workspace)
    record_base(workspace)
    for method, (learning, forgetting) in LEARNED.items():
        for seed in (0, 1):
            record_run(workspace, method, seed, learning + 0.01 * seed, forgetting)
    refresh_catalog(workspace)
    return workspace


@pytest.fixture
def workspace(recorded, tmp_path):
    return Workspace(shutil.copytree(recorded.root, tmp_path / "workspace"))


@pytest.fixture(scope="module")
def report(recorded):
    return read(recorded)


def read(workspace: Workspace, **options) -> tuple[str, Page]:
    page = write_report(workspace, **{"title": "A study", **options}).read_text(encoding="utf-8")
    return page, Page(page)


def test_every_figure_of_the_table_stands_on_the_page_and_in_the_plot(recorded, report):
    page, parsed = report
    rows = query(recorded, "FROM learning_vs_forgetting").as_dicts()
    assert len(rows) == 6
    for row in rows:
        figures = f'<td class="figure">{bits(row["learning"])}</td><td class="figure">{bits(row["forgetting"])}</td>'
        assert figures in page
        seen = f"{row['name']}, seed {row['seed']}: learning {bits(row['learning'])}, "
        seen += f"forgetting {bits(row['forgetting'])}"
        assert page.count(f"<title>{seen}</title>") == 2, "one mark in the wide and one in the narrow picture"
    assert parsed.count("g", "base") == 4, "in both sizes of both plots"
    assert parsed.count("g", "front") == 2
    for row in query(recorded, "SELECT corpus, documents FROM corpus_funnel").rows:
        assert f"Corpus {row[0]}" in parsed.text and f"{row[1]:,}".replace(",", "\u202f") in parsed.text
    for text in ("91\u202f%", "23\u202f%", "14\u202f%", "60.1\u202fk", "1\u202fmin 1\u202fs", "452\u202fk parameters"):
        assert text in parsed.text


def test_the_headline_is_the_means_over_seeds_against_the_method_nearest_in_learning(report):
    _, parsed = report
    assert (
        "neutral_residues learned 0.373 bits per byte of French and forgot 0.069 of English; "
        "lora learned 0.378 and forgot 0.288." in parsed.text
    )
    assert "It cost 1\u202fmin 1\u202fs of training a run." in parsed.text
    assert "finetune learned the most (0.632) and neutral_residues forgot the least (0.069)" in parsed.text


@pytest.fixture
def in_replay(workspace):
    """A workspace where the replay holds every text domain that forgetting was measured on."""
    pinned = {"eval_id": "o2", "name": "abstracts", "language": "eng", "text_domain": "web", "corpus_version": "c-o2"}
    write_records(workspace, "eval_sets", "o2", [pinned])
    refresh_catalog(workspace)
    return workspace


def test_where_forgetting_was_measured_on_the_replays_own_domain_alone_that_is_said_and_drawn(in_replay):
    workspace = in_replay
    assert query(workspace, "SELECT DISTINCT forgetting FROM learning_vs_forgetting").rows == [(None,)]

    page, parsed = read(workspace)

    assert "neutral_residues learned 0.373 bits per byte of French and forgot 0.034 of English" in parsed.text
    assert "measured on text of the replay’s own domain, which is kept best" in parsed.text
    assert page.count("<title>neutral_residues, seed 0: learning 0.368, forgetting 0.034</title>") == 2
    assert "forgetting in the replay’s domain (bits per byte)" in page
    assert "load_run" in parsed.text
    assert "neutral_residues forgot less than lora, the nearest to it in learning, and learned less" in parsed.text
    assert "No interval is known" not in parsed.text


def test_forgetting_in_the_replays_domain_is_more_or_less_only_where_its_documents_say_so(in_replay):
    runs = ask(in_replay, RUNS, "base").rows
    key = {"step": 10, "settings_hash": "s", "eval_id": "o2", "metric": "bits_per_byte", "denominators": [1.0] * 40}
    for run in runs:
        if run["method"] == "lora":  # now one document better, now one worse: on the whole as before
            noisy = [BASE[2] + 0.288 + 0.8 * (-1) ** i for i in range(40)]
            row = {**key, "model_id": f"m-{run['run_id']}", "numerators": noisy}
            write_records(in_replay, "evaluation_items", f"noisy-{run['run_id']}", [row])
    refresh_catalog(in_replay)

    _, parsed = read(in_replay)

    assert "than lora, the nearest to it in learning, and forgot as much (95 % interval of the diff" in parsed.text
    assert "neutral_residues forgot the least (0.034), and lora as much." in " ".join(parsed.text.split())


def test_figures_without_an_interval_are_said_to_bear_none(in_replay):
    for file in in_replay.records("evaluation_items").glob("*.parquet"):
        file.unlink()
    refresh_catalog(in_replay)
    _, parsed = read(in_replay)
    assert "No interval is known of forgetting, which takes the figures of two documents or more" in parsed.text


@pytest.mark.parametrize(
    ("own", "other", "words"),
    [
        ((0.3, 0.3), (0.4, 0.2), "lora is ahead of neutral_residues on both counts."),
        ((0.4, 0.2), (0.3, 0.3), "neutral_residues is ahead of lora, the nearest to it in learning, on both counts"),
        ((0.4, 0.3), (0.3, 0.2), "neutral_residues learned more than lora, the nearest to it in learning, and"),
        ((-0.1, -0.2), (0.3, 0.2), "lost 0.100 bits per byte of fra and forgot nothing of eng (it gained 0.200)"),
        ((0.0001, 0.00001), (0.3, 0.2), "neutral_residues learned nothing of fra and forgot nothing measurable of eng"),
        ((None, 0.1), (0.3, 0.2), "No run of neutral_residues has been measured yet."),
        ((float("nan"), 0.1), (None, 0.1), "Nothing can be said about fra yet"),
        (
            (0.2, None),
            (0.3, None),
            "neutral_residues learned 0.200 bits per byte of fra. What was forgotten has not been",
        ),
        ((None, None), (0.3, None), "lora learned 0.300 bits per byte of fra."),
        ((0.299, 0.1), (0.3, 0.2), "and learned less: 99.7\u202f% of its learning"),
    ],
)
def test_the_headline_is_honest(own, other, words):
    rows = [
        {"name": method, "method": method, "learning_rate": 1e-3, "learning": learning, "forgetting": forgetting}
        for method, (learning, forgetting) in (("neutral_residues", own), ("lora", other))
    ]
    said = headline(rows, Styles(rows), "fra", "eng")
    assert words in f"{said.words} {said.more}"


@pytest.mark.parametrize(
    ("learned", "forgot", "words"),
    [
        ((0.02, 0.03), (-0.1, 0.01), "learned as much as lora, the nearest to it in learning (95 % interval of the "
         "difference \N{MINUS SIGN}0.039 to +0.079), and forgot less: 50\u202f% of its forgetting."),
        ((0.02, 0.001), (-0.1, 0.09), "learned more than lora, the nearest to it in learning, and forgot as much"),
        ((0.02, 0.03), (-0.1, 0.09), "learned and forgot as much as lora, the nearest to it in learning (95 % "),
        ((0.02, 0.001), (-0.1, 0.01), "is ahead of lora, the nearest to it in learning, on both counts: "),
    ],
)  # fmt: skip
def test_more_and_less_are_said_of_differences_that_are_more_than_chance(learned, forgot, words):
    rows = [
        {"language": "fra", "name": method, "method": method, "learning_rate": 1e-3, "seed": 0, "run_id": method,
         "learning": learning, "forgetting": forgetting, "learning_stderr": 0.01, "forgetting_stderr": 0.01}
        for method, learning, forgetting in (("neutral_residues", 0.52, 0.1), ("lora", 0.5, 0.2))
    ]  # fmt: skip
    evidence = Evidence(rows, lambda a, b: {"learning": learned, "forgetting": forgot})
    said = headline(rows, Styles(rows), "French", "English", evidence)
    assert words in said.more
    tied = learned[1] * 1.96 > abs(learned[0])
    assert ("neutral_residues learned the most (0.520), and lora as much" in said.more) == tied


def test_a_figure_whose_interval_holds_0_is_nothing_measurable():
    row = {"language": "fra", "name": "lora", "method": "lora", "learning_rate": 1e-3, "seed": 0, "run_id": "l",
           "learning": 0.02, "forgetting": -0.03, "learning_stderr": 0.02, "forgetting_stderr": 0.02}  # fmt: skip
    said = headline([row], Styles([row]), "French", "English", Evidence([row]))
    assert said.words == "lora learned nothing measurable of French and forgot nothing measurable of English."


def test_the_interval_of_a_difference_is_that_of_the_pair_and_of_the_seeds(workspace):
    runs = ask(workspace, RUNS, "base").rows
    evidence = evidence_of(workspace, runs)
    a, b = (next(row for row in runs if row["method"] == method) for method in ("lora", "finetune"))
    found = evidence.difference(a, b, "learning")
    pair = "FROM compare_runs('m-lora-0', 'm-finetune-0') WHERE language = 'fra' AND metric = 'bits_per_byte'"
    ((low, high),) = query(workspace, f"SELECT low, high {pair}").rows
    assert found.half == pytest.approx((high - low) / 2, abs=0.02) and found.sign == 1


def test_every_statement_shown_is_one_that_runs(recorded, report):
    _, parsed = report
    statements = [text for text in parsed.statements if text != "nr sql"]
    assert len(statements) == 14
    for statement in statements:
        assert query(recorded, statement).rows, statement


def test_hostile_names_show_as_text(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    record_corpora(workspace, name=HOSTILE)
    record_base(workspace)
    record_run(workspace, "lora", 0, 0.3, 0.2, name=HOSTILE, error=HOSTILE + "\x00\u202e")
    refresh_catalog(workspace)
    page, parsed = read(workspace, title=HOSTILE + "\ud800", config_yaml=f'name: "{HOSTILE}"\n')
    assert parsed.text.count(HOSTILE) > 5
    assert [tag for tag, _ in parsed.tags].count("script") == 1, "the page's own, which its policy names by hash"
    assert not [tag for tag, attributes in parsed.tags if any(a[:2] == "on" for a in attributes)]
    assert not re.search("[\x00\u202e\ud800]", page)


def test_nothing_is_loaded_from_anywhere(report):
    page, parsed = report
    for tag, attributes in parsed.tags:
        assert tag not in {"link", "iframe", "object", "img", "base"}
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
    assert not re.search(r"@import|url\(|https?:", page)
    assert "default-src 'none'" in page
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script is not None
    assert f"'sha256-{b64encode(sha256(script[1].encode()).digest()).decode()}'" in page


def test_every_picture_has_a_text_alternative_and_every_id_is_used_once(report):
    _, parsed = report
    for tag, attributes in parsed.tags:
        if tag == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_a_workspace_without_runs_says_so_and_shows_its_corpora(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    refresh_catalog(workspace)
    _, parsed = read(workspace)
    assert "No runs yet" in parsed.text and "No corpus has been built here" in parsed.text
    record_corpora(workspace)
    record_base(workspace)
    refresh_catalog(workspace)
    for base in (None, "base"):
        _, parsed = read(workspace, base_model_id=base)
        assert "No runs yet" in parsed.text and "Corpus french" in parsed.text


def test_runs_without_figures_gates_or_steps_get_sentences(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    run = {"run_id": "r", "base_model_id": "base", "method": None, "status": "failed", "error": "no disk"}
    write_records(workspace, "runs", "r", [run])
    refresh_catalog(workspace)
    _, parsed = read(workspace)
    for sentence in ("Trained, not measured yet", "nothing to plot", "no gates to", "No training steps", "no disk"):
        assert sentence in parsed.text


@pytest.mark.slow
def test_several_bases_are_told_apart_and_one_can_be_chosen(workspace):
    record_base(workspace, "it's other")
    record_run(workspace, "adapter", 0, 0.2, 0.1, base_model_id="it's other")
    refresh_catalog(workspace)
    _, parsed = read(workspace)
    assert parsed.count("article", "study") == 2
    _, parsed = read(workspace, base_model_id="it's other")
    assert parsed.count("article", "study") == 1 and "lora" not in parsed.text
    with pytest.raises(InputError, match="no base model 'nowhere'"):
        read(workspace, base_model_id="nowhere")


def test_a_workspace_without_a_catalog_is_a_sentence(tmp_path):
    with pytest.raises(InputError, match="has no catalog yet"):
        write_report(Workspace(tmp_path / "empty"), title="x")


def test_file_names_come_from_titles(tmp_path):
    workspace = Workspace(tmp_path)
    refresh_catalog(workspace)
    assert write_report(workspace, title="a-study") == report_file(workspace, "a-study")
    titles = [
        "../../A  study: α",
        "A study",
        "a study",
        "日本語",
        "中文",
        "",
        "report",
        "x" * 90,
    ]
    files = [report_file(workspace, title) for title in titles]
    names = {file.name.lower() for file in files}
    assert len(names) == len(titles) and "a-study.html" not in names
    assert {file.parent for file in files} == {workspace.reports}
    assert [file.name for file in workspace.reports.iterdir()] == ["a-study.html"]


def test_no_folder_of_the_machine_is_on_the_page(workspace):
    write_records(workspace, "models", "base", [{"model_id": "base", "source": "/home/some body/models/tiny"}])
    failed = {"run_id": "f", "base_model_id": "base", "method": "lora", "status": "failed", "seed": 0}
    write_records(workspace, "runs", "f", [{**failed, "error": "no such file: /home/somebody/base/config.json"}])
    refresh_catalog(workspace)
    config = "source: /srv/data/crawl/*.warc.gz\nbucket: file:///srv/shared/place\nurl: https://example.org/a/b/c.gz\n"
    page, parsed = read(workspace, config_yaml=config)
    assert not re.search(r"/home/|/srv/|/crawl/|some ?body", page) and str(workspace.root) not in page
    for kept in ("…/tiny", "…/config.json", "…/*.warc.gz", "https://example.org/a/b/c.gz", "…/french.warc.gz"):
        assert kept in parsed.text


def test_a_table_that_goes_on_beyond_the_edge_shows_it(report):
    """The shadow at its edge and the bar are the style's; every table but the fixed ones lies in such a frame."""
    page, parsed = report
    assert "scrollbar-width: thin" in page and "no-repeat scroll" in page
    tables = parsed.count("div", "scroll") + parsed.count("div", "heat") + parsed.count("table", "funnel")
    assert sum(tag == "table" for tag, _ in parsed.tags) == tables


def test_importing_the_report_needs_neither_prefect_nor_torch():
    code = "import sys, flows.report; sys.exit(bool({'prefect', 'torch'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_numbers_read_well():
    assert [bits(v) for v in (0.12345, -0.02, -0.0001, None)] == ["0.123", "\N{MINUS SIGN}0.020", "0.000", "—"]
    assert [short(v) for v in (0, 999, 1234, 999_999, 491_520, 1.5e9)] == [
        "0", "999", "1.23\u202fk", "1.00\u202fM", "492\u202fk", "1.50\u202fG"]  # fmt: skip
    assert [duration(v) for v in (1.24, 59.7, 120, 3660)] == [
        "1.2\u202fs", "1\u202fmin", "2\u202fmin", "1\u202fh 1\u202fmin"]  # fmt: skip
    assert [share(v) for v in (0, 0.0231, 0.9, None)] == ["0\u202f%", "2.3\u202f%", "90\u202f%", "—"]
    assert [rate(v) for v in (3e-3, 5e-5)] == ["0.003", "5e-5"]


@pytest.mark.parametrize("values", [[0.0], [0.0, 0.0], [1e-9, 2e-9], [-5.0, 3e6], [0.0, 0.7], [7.0]])
def test_a_plot_holds_its_marks_and_tells_ticks_apart_whatever_the_size_of_figures(values):
    own = {"name": "lora", "method": "lora", "learning_rate": None, "seed": 0}
    runs = [{**own, "learning": value, "forgetting": value / 3} for value in values]
    drawn = Page(inline_svg(scatter(runs, [], Styles(runs), TRADE_OFF, ("x", "y"), (350, 380), PAGE), "narrow", "x"))
    places = [re.fullmatch(r"translate\((\S+) (\S+)\)", a["transform"]) for _, a in drawn.tags if "transform" in a]
    assert len(places) == len(values) + 1, "the base's mark too"
    assert all(0 <= float(place[1]) <= 350 and 0 <= float(place[2]) <= 380 for place in places)
    ticks = [round(float(a["x"])) for tag, a in drawn.tags if tag == "text" and "middle" in a["style"]]
    assert len(set(ticks)) > 2


def test_names_of_runs_are_text_in_a_plot_and_no_mathematics():
    name = "$x_1$ _<b>'\"& \x0b 日本"
    runs = [{"name": name, "method": "lora", "learning_rate": None, "seed": 0, "learning": 0.2, "forgetting": 0.1}]
    styles = Styles(runs)
    figure = scatter(runs, [], styles, TRADE_OFF, ("x", "y"), (760, 460), PAGE)
    svg = str(inline_svg(figure, "wide", name, [TRADE_OFF.tip(runs[0], styles)]))
    assert Page(svg).text.count(name.replace("\x0b", "\N{REPLACEMENT CHARACTER}")) == 3, "label, title and tip"
    assert not re.search(r"url\(|https?:|<b>| id=|font-family", svg)


@pytest.mark.slow
def test_a_matplotlibrc_of_the_users_changes_no_picture(workspace):
    page, _ = read(workspace)
    with matplotlib.rc_context({"text.usetex": True, "font.size": 40, "lines.linewidth": 9}):
        assert read(workspace)[0].split("<footer>")[0] == page.split("<footer>")[0]


def test_labels_do_not_cover_one_another():
    placer = Placer(Box(0, 0, 400, 300), 13)
    boxes = [placer.place("neutral", [(200 + 4 * i, 150)]) for i in range(4)]
    assert all(a.overlap(b) == 0 for i, a in enumerate(boxes) for b in boxes[:i])


def test_a_label_that_finds_no_room_leaves_the_picture_least():
    placer = Placer(Box(0, 0, 100, 300), 10)
    box = placer.place("n" * 20, [(90, 150)])  # 112 wide
    assert box.x + box.width < 100 and box.x > -40, "to the left of its mark, though the right is tried first"


def test_names_that_begin_alike_show_their_ends_too():
    names = ["neutral residues with gated rows, one head", "neutral residues with gated rows, slow head", "lora"]
    runs = [
        {"name": name, "method": "lora", "learning_rate": None, "seed": 0, "learning": 0.1 * at, "forgetting": 0.1}
        for at, name in enumerate(names)
    ]
    svg = str(inline_svg(scatter(runs, [], Styles(runs), TRADE_OFF, ("x", "y"), (760, 460), PAGE), "wide", "all"))
    assert "neutral residues… rows, one head" in svg and "neutral residues…rows, slow head" in svg and "lora" in svg


def test_tasks_behaviour_lineage_and_how_to_load_stand_on_the_page(workspace):
    page, parsed = read(workspace, config_yaml="name: x\n")
    seen = "neutral_residues, seed 0: 0.500 to 0.650, difference +0.150 (95 % interval +0.0"
    assert f"<title>{seen}" in page and parsed.count("g", "bell") == 2 * 6
    assert parsed.count("g", "error") == 2 * (6 * 2 * 2 + 6), "crosses of both plots, and the tasks' intervals"
    assert "…/french.warc.gz" in parsed.text and "0.050" in parsed.text
    assert "load_run(base, run)" in parsed.text and parsed.count("button", "copy") == 2
    points = [attributes for tag, attributes in parsed.tags if tag == "g" and attributes.get("class") == "point"]
    assert len(points) == 2 * (6 * 2 + 6) and all(a["tabindex"] == "0" and a["aria-label"] for a in points)


def test_kl_on_the_new_language_stands_against_forgetting_beside_the_law_that_links_them(recorded, report):
    page, parsed = report
    seen = "<title>lora, seed 0: KL on the new language 0.700, forgetting 0.288</title>"
    assert page.count(seen) == 2, "one mark in the wide and one in the narrow picture"
    assert "Does KL on French predict forgetting?" in parsed.text and "arXiv 2509.04259" in parsed.text
    row = query(recorded, "FROM kl_vs_forgetting WHERE name = 'lora' AND seed = 0").as_dicts()[0]
    assert (row["kl_new"], row["kl_original"], row["kl_new_stderr"]) == (0.7, 0.05, 0.01)


@pytest.mark.parametrize("trusted", [True, False])
def test_a_base_that_ran_code_of_its_own_is_told(workspace, trusted):
    base = BaseSpec(model="someone/base", trust_remote_code=trusted).model_dump(mode="json")
    run = workspace.run("lora-0")
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"base": base}))
    _, parsed = read(workspace)
    assert ("The base ran Python code of its own: trust_remote_code was on." in parsed.text) == trusted


def test_figures_for_papers_are_png_and_svg(workspace):
    from flows.report.paper_plots import write_figures

    written = {path.name: path.read_bytes() for path in write_figures(workspace)}
    assert {name.removeprefix("base-") for name in written} == {
        f"{picture}.{kind}"
        for picture in ("trade-off", "kl-forgetting", "task-quiz", "loss")
        for kind in ("png", "svg")
    }
    assert written["base-trade-off.png"].startswith(b"\x89PNG") and b"neutral_residues" in written["base-trade-off.svg"]
