-- What people query. Role is not stored: it is a set's language held against the run's inputs.

CREATE OR REPLACE VIEW run_evaluations AS
SELECT r.run_id, r.name, r.method, r.seed, r.learning_rate, r.base_model_id, r.model_id, s.eval_id, s.name AS eval_set, s.language,
       s.text_domain, e.metric, e.settings_hash, b.value AS base_value, e.value, e.stderr,
       (SELECT max(i.role) FROM run_inputs i WHERE i.run_id = r.run_id AND i.language = s.language) AS role,
       EXISTS (FROM run_inputs i JOIN corpora c ON c.version = i.corpus_version
               WHERE i.run_id = r.run_id AND c.language = s.language AND c.text_domain = s.text_domain) AS in_replay
FROM runs r
JOIN evaluations e ON e.model_id = r.model_id
JOIN evaluations b ON b.model_id = r.base_model_id AND b.step = 0 AND b.eval_id = e.eval_id
                  AND b.metric = e.metric AND b.settings_hash = e.settings_hash
JOIN eval_sets s ON s.eval_id = e.eval_id
WHERE NOT EXISTS (FROM run_eval_sets n WHERE n.run_id = r.run_id)
   OR EXISTS (FROM run_eval_sets n WHERE n.run_id = r.run_id AND n.eval_id = e.eval_id);
COMMENT ON VIEW run_evaluations IS 'Each run''s figure beside its base''s on the same set and settings, with the set''s role for that run (NULL where the run has no input in that language).';
COMMENT ON COLUMN run_evaluations.in_replay IS 'one of the run''s inputs has this language and text domain';

CREATE OR REPLACE VIEW learning_vs_forgetting AS
WITH figures AS (
    SELECT run_id, settings_hash,
           avg(base_value - value) FILTER (role = 'new') AS learning,
           avg(value - base_value) FILTER (role = 'original' AND NOT in_replay) AS forgetting,
           avg(value - base_value) FILTER (role = 'original' AND in_replay) AS forgetting_in_replay
    FROM run_evaluations WHERE metric = 'bits_per_byte' GROUP BY ALL)
SELECT r.run_id, coalesce(r.name, r.method) AS name, r.method,
       (SELECT string_agg(DISTINCT language, ' ' ORDER BY language) FROM run_inputs i
        WHERE i.run_id = r.run_id AND i.role = 'new') AS language,
       f.learning, f.forgetting, f.forgetting_in_replay, r.seed, r.learning_rate, r.extra_parameters, r.share_non_embedding,
       r.tokens, r.seconds, r.base_model_id, f.settings_hash
FROM figures f JOIN runs r USING (run_id)
ORDER BY r.base_model_id, language, forgetting;
COMMENT ON VIEW learning_vs_forgetting IS 'The table people quote, in bits per byte. Learning: how much the run gained on held-out text of the new language (more is better). Forgetting: how much it lost on held-out original-language text of a domain that its replay does not contain (less is better).';
COMMENT ON COLUMN learning_vs_forgetting.settings_hash IS 'of the evaluation: figures of different settings are not to be compared';
COMMENT ON COLUMN learning_vs_forgetting.forgetting_in_replay IS 'the same on held-out text of the replay''s own domain';

CREATE OR REPLACE VIEW pareto_front AS
SELECT a.* FROM learning_vs_forgetting a
WHERE a.learning IS NOT NULL AND a.forgetting IS NOT NULL AND NOT EXISTS (
    FROM learning_vs_forgetting b
    WHERE b.base_model_id = a.base_model_id AND b.language = a.language AND b.settings_hash = a.settings_hash
      AND b.learning >= a.learning AND b.forgetting <= a.forgetting
      AND (b.learning > a.learning OR b.forgetting < a.forgetting))
ORDER BY a.forgetting;
COMMENT ON VIEW pareto_front IS 'Runs that no other run of the same base and language beats in both learning and forgetting.';

CREATE OR REPLACE VIEW leaderboard AS
SELECT base_model_id, language, settings_hash, name, method, learning_rate, count(*) AS seeds,
       avg(learning) AS learning, stddev_samp(learning) AS learning_sd,
       avg(forgetting) AS forgetting, stddev_samp(forgetting) AS forgetting_sd,
       avg(share_non_embedding) AS share_non_embedding, avg(seconds) AS seconds
FROM learning_vs_forgetting GROUP BY ALL ORDER BY base_model_id, language, forgetting;
COMMENT ON VIEW leaderboard IS 'learning_vs_forgetting, mean over seeds.';

CREATE OR REPLACE VIEW corpus_funnel AS
SELECT c.name AS corpus, c.version, f.stage, f.reason, sum(f.documents)::BIGINT AS documents, sum(f.characters)::BIGINT AS characters
FROM funnel f JOIN corpora c ON c.version = f.scope_id WHERE f.scope = 'corpus' GROUP BY ALL
ORDER BY corpus, version, documents DESC;
COMMENT ON VIEW corpus_funnel IS 'Why documents are in or out of each corpus version.';

CREATE OR REPLACE VIEW gate_activity_by_role AS
SELECT e.run_id, e.name, e.method, e.role, e.eval_set, g.layer, g.open_rate, g.residue_size
FROM gate_activity g
JOIN (SELECT DISTINCT run_id, name, method, model_id, eval_id, role, eval_set FROM run_evaluations) e USING (model_id, eval_id)
ORDER BY ALL;
COMMENT ON VIEW gate_activity_by_role IS 'Gate open rate and residue size of each run by layer and role.';

CREATE OR REPLACE VIEW lineage AS
SELECT i.run_id, i.role, i.corpus_version, c.name AS corpus, u.unit_id, w.documents_key, w.source, w.path
FROM run_inputs i
JOIN corpora c ON c.version = i.corpus_version
JOIN corpus_units u ON u.version = c.version
JOIN work_units w USING (unit_id);
COMMENT ON VIEW lineage IS 'From a run down to the files that its corpora were made of.';

CREATE OR REPLACE VIEW latest_refresh AS
SELECT name, version, language, text_domain, documents, characters, held_out_documents, created
FROM corpora QUALIFY row_number() OVER (PARTITION BY name ORDER BY created DESC) = 1 ORDER BY name;
COMMENT ON VIEW latest_refresh IS 'The newest version of each corpus.';

CREATE OR REPLACE MACRO documents(workspace) AS TABLE
FROM read_parquet(workspace || '/documents/*/*.parquet', union_by_name = true);
COMMENT ON MACRO TABLE documents IS 'Every page that was read, with its scores and the reason why it left: FROM documents(''path of the workspace'').';

CREATE OR REPLACE MACRO duplicates(workspace) AS TABLE
FROM read_parquet(workspace || '/corpora/*/*/duplicates.parquet', union_by_name = true);
COMMENT ON MACRO TABLE duplicates IS 'Which document went because it was a copy of which: FROM duplicates(''path of the workspace'').';
