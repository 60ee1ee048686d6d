"""Artifacts of a flow run in Prefect's UI: funnel, trade-off and summary, versioned by key."""

from collections.abc import Mapping
from pathlib import Path

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.services.report_server import address_of
from storage.query import query
from storage.workspace import Workspace

FUNNEL = """SELECT corpus, stage, reason, documents, characters FROM corpus_funnel
WHERE version IN (SELECT unnest(?)) ORDER BY corpus, documents DESC"""
REFRESH = """SELECT c.name, c.version, c.documents, d.documents_gained, d.documents_lost, c.characters
FROM corpora c LEFT JOIN corpus_changes d USING (version) WHERE c.version IN (SELECT unnest(?)) ORDER BY c.name"""
TRADE_OFF = """SELECT name, seed, learning, forgetting, forgetting_in_replay, extra_parameters, seconds
FROM learning_vs_forgetting WHERE base_model_id = ? ORDER BY forgetting"""


def show_funnel(workspace: Workspace, versions: Mapping[str, str]) -> None:
    rows = query(workspace, FUNNEL, [list(versions.values())]).as_dicts()
    create_table_artifact(key="funnel", table=rows, description="Why documents are in or out of each corpus.")


def show_refresh(workspace: Workspace, versions: Mapping[str, str]) -> None:
    rows = query(workspace, REFRESH, [list(versions.values())]).as_dicts()
    table = [f"| {' | '.join(str(value) for value in row.values())} |" for row in rows]
    head = "| corpus | version | documents | came | left | characters |\n|---|---|---|---|---|---|"
    [(failed,)] = query(workspace, "SELECT count(*) FROM work_units WHERE status = 'failed'").rows
    says = f"{failed} work units have failed: `work_units.error` says why."
    create_markdown_artifact(key="refresh", markdown="\n".join([head, *table, "", says]))


def show_trade_off(workspace: Workspace, base_model_id: str) -> None:
    rows = query(workspace, TRADE_OFF, [base_model_id]).as_dicts()
    create_table_artifact(
        key="trade-off", table=rows, description="Bits per byte: learned of the new language, forgotten of the old."
    )


def show_summary(workspace: Workspace, base_model_id: str, report: Path) -> None:
    rows = query(workspace, TRADE_OFF, [base_model_id]).as_dicts()
    lines = [
        f"| {row['name']} | {row['seed']} | {_bits(row['learning'])} | {_bits(row['forgetting'])} |" for row in rows
    ]
    table = "\n".join(["| run | seed | learning | forgetting |", "|---|---|---|---|", *lines])
    address = address_of(report)
    name = f"[Report]({address})" if address else "Report"
    create_markdown_artifact(key="summary", markdown=f"{name}: `{report}`\n\n{table}\n")


def _bits(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"
