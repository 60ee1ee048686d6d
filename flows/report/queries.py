"""The SQL of the report, one statement a picture. `$base` is filled with a quoted literal before it is run, so that
what stands on the page is what was run, and can be pasted into `nr sql`."""

from dataclasses import dataclass
from string import Template
from typing import Any

from storage.query import query
from storage.workspace import Workspace

BASES = """SELECT base_model_id, max(created) AS newest
FROM runs
GROUP BY ALL
ORDER BY newest DESC NULLS LAST, base_model_id"""

MODEL = """SELECT model_id, source, parameters
FROM models
WHERE model_id = $base"""

SETTINGS = """SELECT language, name, method, learning_rate, seeds, learning, learning_sd, forgetting, forgetting_sd,
       share_non_embedding, seconds
FROM leaderboard
WHERE base_model_id = $base
ORDER BY language, forgetting, name, learning_rate"""

RUNS = """SELECT language, name, method, learning_rate, seed, learning, learning_stderr, forgetting, forgetting_stderr,
       forgetting_in_replay, forgetting_in_replay_stderr, run_id
FROM learning_vs_forgetting
WHERE base_model_id = $base
ORDER BY language, forgetting, run_id"""

FRONT = """SELECT language, name, learning_rate, seed, learning, forgetting, run_id
FROM pareto_front
WHERE base_model_id = $base
ORDER BY language, forgetting"""

STUDIES = """SELECT l.base_model_id, coalesce(m.source, l.base_model_id, '') AS base, l.language, l.name, l.method,
       l.learning_rate, l.seed, l.learning, l.learning_stderr, l.forgetting, l.forgetting_stderr,
       l.forgetting_in_replay, l.forgetting_in_replay_stderr,
       coalesce(strftime(r.created AT TIME ZONE 'UTC', '%Y-%m-%d'), '') AS day, l.run_id
FROM learning_vs_forgetting l
JOIN runs r USING (run_id)
LEFT JOIN models m ON m.model_id = l.base_model_id
ORDER BY l.base_model_id, l.language, l.forgetting, l.run_id"""

SETS = """SELECT DISTINCT eval_set, language, text_domain, role, in_replay, base_value
FROM run_evaluations
WHERE base_model_id = $base AND metric = 'bits_per_byte'
ORDER BY role, in_replay, eval_set, base_value"""

TASKS = """SELECT p.run_id, p.name, p.method, r.learning_rate, p.seed, p.eval_set, p.language, p.role, p.metric,
       p.base_value, p.value, p.difference, p.low, p.high, p.n, p.eval_id, p.settings_hash
FROM paired_differences p
JOIN runs r USING (run_id)
WHERE p.base_model_id = $base AND p.metric IN ('acc', 'acc_norm', 'auc')
ORDER BY p.eval_set, p.metric, p.name, p.seed"""

BEHAVIOUR = """SELECT b.run_id, b.name, b.method, r.learning_rate, b.seed, b.eval_set, b.language, b.role, b.kl_to_base,
       b.greedy_agreement, b.open_share
FROM model_behaviour b
JOIN runs r USING (run_id)
WHERE r.base_model_id = $base
ORDER BY b.role DESC, b.eval_set, b.kl_to_base"""

KL = """SELECT language, name, method, learning_rate, seed, kl_new, kl_new_stderr, agreement_new, kl_original,
       agreement_original, forgetting, forgetting_stderr, run_id
FROM kl_vs_forgetting
WHERE base_model_id = $base
ORDER BY language, kl_new, run_id"""

LINEAGE = """SELECT l.role, l.corpus, l.corpus_version, l.source, l.kind, l.path, count(DISTINCT l.run_id) AS runs
FROM lineage l
JOIN runs r USING (run_id)
WHERE r.base_model_id = $base
GROUP BY ALL
ORDER BY l.role, l.corpus, l.path"""

LOSS = """WITH pieces AS (
    SELECT run_id, step, tokens, lm_loss, ntile(120) OVER (PARTITION BY run_id ORDER BY step) AS piece
    FROM training_steps
    WHERE run_id IN (SELECT run_id FROM runs WHERE base_model_id = $base))
SELECT run_id, max(step) AS step, max(tokens) AS tokens, avg(lm_loss) AS lm_loss
FROM pieces
WHERE lm_loss IS NOT NULL
GROUP BY run_id, piece
ORDER BY run_id, step"""

GATES = """SELECT g.run_id, g.role, g.eval_set, g.layer, g.open_rate, g.residue_size
FROM gate_activity_by_role g
JOIN runs r USING (run_id)
WHERE r.base_model_id = $base AND g.open_rate IS NOT NULL
ORDER BY g.run_id, g.role, g.eval_set, g.layer"""

COST = """SELECT run_id, coalesce(name, method) AS name, method, learning_rate, seed, status, error,
       extra_parameters, share_non_embedding, tokens, seconds, peak_memory
FROM runs
WHERE base_model_id = $base
ORDER BY name, learning_rate, seed, run_id"""

# Corpora that the runs of a base were trained or measured on.
CORPORA_OF_BASE = """SELECT i.corpus_version
      FROM run_inputs i JOIN runs r USING (run_id)
      WHERE r.base_model_id = $base
      UNION
      SELECT s.corpus_version
      FROM eval_sets s JOIN evaluations e USING (eval_id)
      WHERE e.model_id = $base AND s.corpus_version IS NOT NULL"""
LATEST_CORPORA = "SELECT version FROM latest_refresh"

READING = """SELECT scope_id AS settings, stage, reason, sum(documents)::BIGINT AS documents
FROM funnel
WHERE scope = 'documents' AND unit_id IN (
   SELECT unit_id FROM corpus_units WHERE version IN (
      $corpora))
GROUP BY scope_id, stage, reason
ORDER BY settings, reason = 'kept', documents DESC, stage, reason"""

FUNNEL = """SELECT corpus, version, stage, reason, documents
FROM corpus_funnel
WHERE version IN (
      $corpora)
ORDER BY corpus, version, reason = 'kept', documents DESC, stage, reason"""

# Of each corpus its own language, where most pages are, and where site owners keep most out; by refresh.
YIELD = """SELECT corpus, version, created, language, pages, opted_out, opted_out_share, with_text, in_corpus
FROM language_yield
WHERE version IN (
      $corpora)
QUALIFY in_corpus IS NOT NULL
   OR row_number() OVER (PARTITION BY version ORDER BY pages DESC, language) <= 6
   OR (opted_out > 0 AND row_number() OVER (PARTITION BY version ORDER BY opted_out DESC, language) <= 3)
ORDER BY corpus, created, pages DESC, language"""


@dataclass(frozen=True)
class Answer:
    """The statement as it was run, and its rows."""

    sql: str
    rows: list[dict[str, Any]]


def ask(workspace: Workspace, statement: str, base: str | None = None) -> Answer:
    """Run a statement of this file; without a base, `$corpora` are the newest version of each corpus.

    Raises:
        InputError: the workspace has no catalog yet.
    """
    corpora = LATEST_CORPORA if base is None else CORPORA_OF_BASE
    literal = "'" + (base or "").replace("'", "''") + "'"
    sql = Template(Template(statement).safe_substitute(corpora=corpora)).safe_substitute(base=literal)
    return Answer(sql, query(workspace, sql).as_dicts())
