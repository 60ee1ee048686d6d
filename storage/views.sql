-- What people query. Role is not stored: it is a set's language held against the run's inputs.

CREATE OR REPLACE VIEW last_evaluations AS
WITH paired AS (
    SELECT r.run_id, r.model_id, e.eval_id, e.settings_hash, count(DISTINCT e.eval_id) OVER (PARTITION BY r.run_id, e.settings_hash) AS sets,
           EXISTS (FROM evaluations b WHERE b.model_id = r.base_model_id AND b.eval_id = e.eval_id AND b.settings_hash = e.settings_hash) AS has_base
    FROM runs r JOIN (SELECT DISTINCT model_id, eval_id, settings_hash FROM evaluations) e ON e.model_id = r.model_id)
SELECT p.run_id, p.model_id, p.eval_id, p.settings_hash
FROM paired p LEFT JOIN run_eval_sets n USING (run_id, eval_id)
WHERE n.run_id IS NOT NULL OR NOT EXISTS (FROM run_eval_sets o WHERE o.run_id = p.run_id)
-- Records of before run_eval_sets kept the settings do not say which were the last: those that most sets have.
QUALIFY row_number() OVER (PARTITION BY p.run_id, p.eval_id ORDER BY p.has_base DESC,
                           p.settings_hash IS NOT DISTINCT FROM n.settings_hash DESC, p.sets DESC, p.settings_hash) = 1;
COMMENT ON VIEW last_evaluations IS 'Which figures of a run the other views show: on the sets of its last evaluation, by the settings of that. Older ones stay in evaluations.';
COMMENT ON COLUMN last_evaluations.run_id IS 'runs.run_id';
COMMENT ON COLUMN last_evaluations.model_id IS 'runs.model_id';
COMMENT ON COLUMN last_evaluations.eval_id IS 'eval_sets.eval_id';
COMMENT ON COLUMN last_evaluations.settings_hash IS 'evaluation_settings.settings_hash';

CREATE OR REPLACE VIEW run_evaluations AS
SELECT r.run_id, r.name, r.method, r.seed, r.learning_rate, r.base_model_id, r.model_id, s.eval_id, s.name AS eval_set, s.language,
       s.text_domain, e.metric, e.settings_hash, b.value AS base_value, e.value, e.stderr,
       (SELECT max(i.role) FROM run_inputs i WHERE i.run_id = r.run_id AND i.language = s.language) AS role,
       EXISTS (FROM run_inputs i JOIN corpora c ON c.version = i.corpus_version
               WHERE i.run_id = r.run_id AND c.language = s.language AND c.text_domain = s.text_domain) AS in_replay
FROM runs r
JOIN last_evaluations l ON l.run_id = r.run_id
JOIN evaluations e ON e.model_id = r.model_id AND e.eval_id = l.eval_id AND e.settings_hash = l.settings_hash
JOIN evaluations b ON b.model_id = r.base_model_id AND b.step = 0 AND b.eval_id = e.eval_id
                  AND b.metric = e.metric AND b.settings_hash = e.settings_hash
JOIN eval_sets s ON s.eval_id = e.eval_id;
COMMENT ON VIEW run_evaluations IS 'Each run''s figure beside its base''s on the same set and settings, once: by the settings of its last evaluation, with the set''s role for that run (NULL where the run has no input in that language).';
COMMENT ON COLUMN run_evaluations.run_id IS 'runs.run_id';
COMMENT ON COLUMN run_evaluations.name IS 'runs.name';
COMMENT ON COLUMN run_evaluations.method IS 'runs.method';
COMMENT ON COLUMN run_evaluations.seed IS 'runs.seed';
COMMENT ON COLUMN run_evaluations.learning_rate IS 'peak learning rate of the run';
COMMENT ON COLUMN run_evaluations.base_model_id IS 'runs.base_model_id';
COMMENT ON COLUMN run_evaluations.model_id IS 'runs.model_id';
COMMENT ON COLUMN run_evaluations.eval_id IS 'eval_sets.eval_id';
COMMENT ON COLUMN run_evaluations.eval_set IS 'name of the evaluation set';
COMMENT ON COLUMN run_evaluations.language IS 'ISO 639-3, of the set';
COMMENT ON COLUMN run_evaluations.text_domain IS 'of the set';
COMMENT ON COLUMN run_evaluations.metric IS 'as in evaluations: bits_per_byte, nats_per_token, perplexity, acc, acc_norm, acc_bytes, auc, nats_per_word';
COMMENT ON COLUMN run_evaluations.settings_hash IS 'of the evaluation, the same for base and run';
COMMENT ON COLUMN run_evaluations.base_value IS 'the base''s figure, in the unit of metric; less is better of bits, nats and perplexity, more of acc and auc';
COMMENT ON COLUMN run_evaluations.value IS 'the run''s figure, in the unit of metric; less is better of bits, nats and perplexity, more of acc and auc';
COMMENT ON COLUMN run_evaluations.stderr IS 'standard error of value over documents or items, in its unit; NULL if fewer than two were measured';
COMMENT ON COLUMN run_evaluations.role IS 'of the set''s language in the run: new or original; NULL where the run has no input in that language';
COMMENT ON COLUMN run_evaluations.in_replay IS 'one of the run''s inputs has this language and text domain';

CREATE OR REPLACE VIEW paired_differences AS
WITH items AS (
    SELECT r.run_id, i.eval_id, i.settings_hash, i.metric, unnest(i.numerators) AS a, unnest(i.denominators) AS b,
           unnest(o.numerators) AS base_a, unnest(o.denominators) AS base_b
    FROM runs r
    JOIN evaluation_items i ON i.model_id = r.model_id
    JOIN evaluation_items o ON o.model_id = r.base_model_id AND o.step = 0 AND o.eval_id = i.eval_id
                           AND o.metric = i.metric AND o.settings_hash = i.settings_hash
    WHERE len(i.numerators) = len(o.numerators)),
influences AS (
    -- To first order, what each item adds to the difference of the two ratios of sums.
    SELECT run_id, eval_id, settings_hash, metric,
           (a - b * (sum(a) OVER w) / nullif(sum(b) OVER w, 0)) / nullif(sum(b) OVER w, 0)
           - (base_a - base_b * (sum(base_a) OVER w) / nullif(sum(base_b) OVER w, 0)) / nullif(sum(base_b) OVER w, 0) AS influence
    FROM items WINDOW w AS (PARTITION BY run_id, eval_id, settings_hash, metric)),
spreads AS (
    SELECT run_id, eval_id, settings_hash, metric, count(*) AS n,
           sqrt(count(*) / nullif(count(*) - 1, 0) * sum(influence * influence)) AS stderr
    FROM influences GROUP BY ALL)
SELECT e.name, e.seed, e.eval_set, e.run_id, e.method, e.base_model_id, e.language, e.text_domain, e.in_replay, e.eval_id,
       e.settings_hash, e.metric IN ('acc', 'acc_norm', 'acc_bytes', 'auc') AS more_is_better, e.role, e.base_value, e.value,
       s.stderr, s.n, e.metric, e.value - e.base_value AS difference,
       e.value - e.base_value - 1.96 * s.stderr AS low, e.value - e.base_value + 1.96 * s.stderr AS high
FROM run_evaluations e JOIN spreads s USING (run_id, eval_id, settings_hash, metric)
ORDER BY e.name, e.seed, e.eval_set, e.metric;
COMMENT ON VIEW paired_differences IS 'Run minus base on the same items or documents, set by set, with the 95 % interval of the difference: narrower than the two errors suggest, since both models saw the same. An interval that holds 0 shows no difference.';
COMMENT ON COLUMN paired_differences.run_id IS 'runs.run_id';
COMMENT ON COLUMN paired_differences.name IS 'runs.name';
COMMENT ON COLUMN paired_differences.method IS 'runs.method';
COMMENT ON COLUMN paired_differences.seed IS 'runs.seed';
COMMENT ON COLUMN paired_differences.base_model_id IS 'runs.base_model_id';
COMMENT ON COLUMN paired_differences.eval_set IS 'name of the held-out corpus, text or task';
COMMENT ON COLUMN paired_differences.language IS 'ISO 639-3, of the set';
COMMENT ON COLUMN paired_differences.text_domain IS 'of the set';
COMMENT ON COLUMN paired_differences.role IS 'of the set''s language in the run: new (it shows learning) or original (it shows forgetting); NULL where the run has no input in that language';
COMMENT ON COLUMN paired_differences.in_replay IS 'one of the run''s inputs has this language and text domain';
COMMENT ON COLUMN paired_differences.metric IS 'as in evaluations; not perplexity';
COMMENT ON COLUMN paired_differences.more_is_better IS 'true of acc, acc_norm, acc_bytes and auc; false of bits and nats';
COMMENT ON COLUMN paired_differences.base_value IS 'the base''s figure';
COMMENT ON COLUMN paired_differences.value IS 'the run''s figure';
COMMENT ON COLUMN paired_differences.difference IS 'value - base_value, in the unit of metric';
COMMENT ON COLUMN paired_differences.stderr IS 'standard error of difference over items; NULL for fewer than two';
COMMENT ON COLUMN paired_differences.low IS 'lower end of the 95 % interval (normal approximation)';
COMMENT ON COLUMN paired_differences.high IS 'upper end of the 95 % interval';
COMMENT ON COLUMN paired_differences.n IS 'items or documents';
COMMENT ON COLUMN paired_differences.eval_id IS 'eval_sets.eval_id';
COMMENT ON COLUMN paired_differences.settings_hash IS 'evaluation_settings.settings_hash';

CREATE OR REPLACE VIEW learning_vs_forgetting AS
WITH figures AS (
    SELECT run_id, settings_hash,
           avg(base_value - value) FILTER (role = 'new') AS learning,
           avg(value - base_value) FILTER (role = 'original' AND NOT in_replay) AS forgetting,
           avg(value - base_value) FILTER (role = 'original' AND in_replay) AS forgetting_in_replay
    FROM run_evaluations WHERE metric = 'bits_per_byte' GROUP BY ALL),
errors AS (  -- of a mean over independent sets, where that of each is known
    SELECT run_id, settings_hash,
           max(error) FILTER (kind = 'new') AS learning_stderr,
           max(error) FILTER (kind = 'original') AS forgetting_stderr,
           max(error) FILTER (kind = 'replay') AS forgetting_in_replay_stderr
    FROM (SELECT e.run_id, e.settings_hash, CASE WHEN e.role = 'original' AND e.in_replay THEN 'replay' ELSE e.role END AS kind,
                 CASE WHEN count(*) = count(p.stderr) THEN sqrt(sum(p.stderr * p.stderr)) / count(*) END AS error
          FROM run_evaluations e LEFT JOIN paired_differences p USING (run_id, eval_id, settings_hash, metric)
          WHERE metric = 'bits_per_byte' GROUP BY ALL)
    GROUP BY ALL)
SELECT coalesce(r.name, r.method) AS name, r.seed, r.run_id, r.method, r.learning_rate, r.extra_parameters, r.share_non_embedding,
       r.tokens, r.seconds, r.base_model_id, f.settings_hash, e.learning_stderr, e.forgetting_stderr, e.forgetting_in_replay_stderr, f.forgetting_in_replay,
       (SELECT string_agg(DISTINCT language, ' ' ORDER BY language) FROM run_inputs i
        WHERE i.run_id = r.run_id AND i.role = 'new') AS language, f.learning, f.forgetting
FROM figures f JOIN runs r USING (run_id) LEFT JOIN errors e USING (run_id, settings_hash)
-- Texts of one evaluation have one hash; where records of several stand for different sets, those that say most.
QUALIFY row_number() OVER (PARTITION BY r.run_id ORDER BY f.forgetting IS NULL, f.learning IS NULL, f.settings_hash) = 1
ORDER BY r.base_model_id, language, forgetting;
COMMENT ON VIEW learning_vs_forgetting IS 'The table people quote, in bits per byte, one row a run: by the settings of its last evaluation. Learning: how much the run gained on held-out text of the new language (more is better). Forgetting: how much it lost on held-out original-language text of a domain that its replay does not contain (less is better). The best run for Hungarian, a bit learned counting as much as a bit forgotten: FROM learning_vs_forgetting WHERE language = ''hun'' ORDER BY learning - forgetting DESC. The files behind it: lineage, by run_id.';
COMMENT ON COLUMN learning_vs_forgetting.run_id IS 'runs.run_id';
COMMENT ON COLUMN learning_vs_forgetting.name IS 'runs.name, or the method where there is none';
COMMENT ON COLUMN learning_vs_forgetting.method IS 'runs.method';
COMMENT ON COLUMN learning_vs_forgetting.language IS 'ISO 639-3 of the language to learn (hun: Hungarian, fra: French); several stand in order, with spaces between';
COMMENT ON COLUMN learning_vs_forgetting.learning IS 'base minus run on sets of the new language, in bits per byte, mean over sets; NULL where none was measured';
COMMENT ON COLUMN learning_vs_forgetting.forgetting IS 'run minus base on original-language sets outside the replay''s domain, in bits per byte, mean over sets; NULL where none was measured';
COMMENT ON COLUMN learning_vs_forgetting.forgetting_in_replay IS 'the same on held-out text of the replay''s own domain; NULL where none was measured';
COMMENT ON COLUMN learning_vs_forgetting.seed IS 'runs.seed';
COMMENT ON COLUMN learning_vs_forgetting.learning_rate IS 'peak learning rate';
COMMENT ON COLUMN learning_vs_forgetting.extra_parameters IS 'parameters added to the base''s; 0 for finetune';
COMMENT ON COLUMN learning_vs_forgetting.share_non_embedding IS 'extra parameters over the base''s parameters without embeddings';
COMMENT ON COLUMN learning_vs_forgetting.tokens IS 'tokens trained on';
COMMENT ON COLUMN learning_vs_forgetting.seconds IS 'wall time of the training steps';
COMMENT ON COLUMN learning_vs_forgetting.base_model_id IS 'runs.base_model_id';
COMMENT ON COLUMN learning_vs_forgetting.settings_hash IS 'of the run''s last evaluation: runs of different ones are not to be compared; evaluate them again by one config';
COMMENT ON COLUMN learning_vs_forgetting.learning_stderr IS 'standard error of learning over the documents of its sets, paired with the base; NULL in records of before items were kept';
COMMENT ON COLUMN learning_vs_forgetting.forgetting_stderr IS 'the same of forgetting';
COMMENT ON COLUMN learning_vs_forgetting.forgetting_in_replay_stderr IS 'the same of forgetting_in_replay';

CREATE OR REPLACE VIEW pareto_front AS
SELECT a.* FROM learning_vs_forgetting a
WHERE a.learning IS NOT NULL AND a.forgetting IS NOT NULL AND NOT EXISTS (
    FROM learning_vs_forgetting b
    WHERE b.base_model_id = a.base_model_id AND b.language = a.language AND b.settings_hash = a.settings_hash
      AND b.learning >= a.learning AND b.forgetting <= a.forgetting
      AND (b.learning > a.learning OR b.forgetting < a.forgetting))
ORDER BY a.forgetting;
COMMENT ON VIEW pareto_front IS 'Runs that no other run of the same base and language beats in both learning and forgetting. A run whose learning or forgetting was not measured is on no front: what is not known may be beaten by any.';
COMMENT ON COLUMN pareto_front.run_id IS 'runs.run_id';
COMMENT ON COLUMN pareto_front.name IS 'runs.name, or the method where there is none';
COMMENT ON COLUMN pareto_front.method IS 'runs.method';
COMMENT ON COLUMN pareto_front.language IS 'ISO 639-3 of the language to learn; several stand in order, with spaces between';
COMMENT ON COLUMN pareto_front.learning IS 'bits per byte, as in learning_vs_forgetting; never NULL here';
COMMENT ON COLUMN pareto_front.forgetting IS 'bits per byte, as in learning_vs_forgetting; never NULL here';
COMMENT ON COLUMN pareto_front.forgetting_in_replay IS 'bits per byte, as in learning_vs_forgetting; NULL where none was measured';
COMMENT ON COLUMN pareto_front.seed IS 'runs.seed';
COMMENT ON COLUMN pareto_front.learning_rate IS 'peak learning rate';
COMMENT ON COLUMN pareto_front.extra_parameters IS 'parameters added to the base''s; 0 for finetune';
COMMENT ON COLUMN pareto_front.share_non_embedding IS 'extra parameters over the base''s parameters without embeddings';
COMMENT ON COLUMN pareto_front.tokens IS 'tokens trained on';
COMMENT ON COLUMN pareto_front.seconds IS 'wall time of the training steps';
COMMENT ON COLUMN pareto_front.base_model_id IS 'runs.base_model_id';
COMMENT ON COLUMN pareto_front.settings_hash IS 'of the evaluation: runs are held against those of the same settings only';
COMMENT ON COLUMN pareto_front.learning_stderr IS 'standard error of learning over documents; NULL in records of before items were kept';
COMMENT ON COLUMN pareto_front.forgetting_stderr IS 'the same of forgetting';
COMMENT ON COLUMN pareto_front.forgetting_in_replay_stderr IS 'the same of forgetting_in_replay';

CREATE OR REPLACE VIEW leaderboard AS
SELECT name, count(*) AS seeds, method, learning_rate, base_model_id, settings_hash, avg(share_non_embedding) AS share_non_embedding,
       avg(seconds) AS seconds, language, stddev_samp(learning) AS learning_sd, stddev_samp(forgetting) AS forgetting_sd,
       avg(learning) AS learning, avg(forgetting) AS forgetting
FROM learning_vs_forgetting GROUP BY ALL ORDER BY base_model_id, language, forgetting;
COMMENT ON VIEW leaderboard IS 'learning_vs_forgetting, mean over seeds.';
COMMENT ON COLUMN leaderboard.base_model_id IS 'runs.base_model_id';
COMMENT ON COLUMN leaderboard.language IS 'ISO 639-3 of the language to learn; several stand in order, with spaces between';
COMMENT ON COLUMN leaderboard.settings_hash IS 'of the run''s last evaluation: runs of different ones are not to be compared; evaluate them again by one config';
COMMENT ON COLUMN leaderboard.name IS 'name of the runs';
COMMENT ON COLUMN leaderboard.method IS 'runs.method';
COMMENT ON COLUMN leaderboard.learning_rate IS 'peak learning rate';
COMMENT ON COLUMN leaderboard.seeds IS 'number of runs (one a seed); those without a figure count here, not in its mean';
COMMENT ON COLUMN leaderboard.learning IS 'mean, in bits per byte; NULL where none was measured';
COMMENT ON COLUMN leaderboard.learning_sd IS 'sample standard deviation of learning over seeds, in bits per byte; NULL for fewer than two';
COMMENT ON COLUMN leaderboard.forgetting IS 'mean, in bits per byte; NULL where none was measured';
COMMENT ON COLUMN leaderboard.forgetting_sd IS 'sample standard deviation of forgetting over seeds, in bits per byte; NULL for fewer than two';
COMMENT ON COLUMN leaderboard.share_non_embedding IS 'mean of extra parameters over the base''s parameters without embeddings';
COMMENT ON COLUMN leaderboard.seconds IS 'mean wall time of the training steps';

CREATE OR REPLACE VIEW corpus_funnel AS
SELECT c.name AS corpus, c.version, f.stage, f.reason, sum(f.documents)::BIGINT AS documents, sum(f.characters)::BIGINT AS characters
FROM funnel f JOIN corpora c ON c.version = f.scope_id WHERE f.scope = 'corpus' GROUP BY ALL
ORDER BY corpus, version, documents DESC;
COMMENT ON VIEW corpus_funnel IS 'Why documents are in or out of each corpus version.';
COMMENT ON COLUMN corpus_funnel.corpus IS 'corpora.name';
COMMENT ON COLUMN corpus_funnel.version IS 'corpora.version';
COMMENT ON COLUMN corpus_funnel.stage IS 'verdict, exact_dedup, minhash_dedup, line_dedup, decontamination, take_down, split or corpus (stayed to the end)';
COMMENT ON COLUMN corpus_funnel.reason IS 'why they left at this stage; kept where they stayed';
COMMENT ON COLUMN corpus_funnel.documents IS 'number of documents';
COMMENT ON COLUMN corpus_funnel.characters IS 'Unicode characters of their text';

CREATE OR REPLACE VIEW language_yield AS
WITH pages AS (
    SELECT u.version, f.language,
           sum(f.documents) FILTER (f.stage NOT IN ('read', 'gate'))::BIGINT AS pages,
           coalesce(sum(f.documents) FILTER (f.stage = 'opt_out'), 0)::BIGINT AS opted_out,
           coalesce(sum(f.documents) FILTER (f.reason = 'kept'), 0)::BIGINT AS with_text
    FROM corpus_units u JOIN funnel f ON f.scope = 'documents' AND f.scope_id = u.documents_key AND f.unit_id = u.unit_id
    GROUP BY ALL),
in_corpus AS (
    SELECT scope_id AS version, language, sum(documents)::BIGINT AS documents, sum(characters)::BIGINT AS characters
    FROM funnel WHERE scope = 'corpus' AND stage = 'corpus' GROUP BY ALL)
SELECT c.name AS corpus, p.language, p.version, c.created, p.pages, p.opted_out,
       CASE WHEN p.language <> 'und' THEN p.opted_out / p.pages END AS opted_out_share,
       p.with_text, i.characters, i.documents / p.pages AS in_corpus_share, i.documents AS in_corpus
FROM pages p JOIN corpora c USING (version) LEFT JOIN in_corpus i ON i.version = p.version AND i.language = p.language
WHERE p.pages > 0 ORDER BY corpus, c.created, p.pages DESC, p.language;
COMMENT ON VIEW language_yield IS 'What each refresh of a corpus found of each language in the files that its version is made of, what site owners keep out of it, and what came into the corpus. Of the last refresh: FROM language_yield WHERE version IN (SELECT version FROM latest_refresh).';
COMMENT ON COLUMN language_yield.corpus IS 'corpora.name';
COMMENT ON COLUMN language_yield.version IS 'corpora.version';
COMMENT ON COLUMN language_yield.created IS 'when the version was published';
COMMENT ON COLUMN language_yield.language IS 'as in funnel: ISO 639-3, of pages that left before theirs was looked at (opted-out ones among them) as Common Crawl found it; und where that is not known';
COMMENT ON COLUMN language_yield.pages IS 'documents that are pages or texts: what left at stages read and gate (damage, redirects, errors, pictures) is not counted';
COMMENT ON COLUMN language_yield.opted_out IS 'of these, documents that their owners keep out (stage opt_out)';
COMMENT ON COLUMN language_yield.opted_out_share IS 'opted_out over pages, 0 to 1; NULL of pages whose language is not known: those that stayed have one';
COMMENT ON COLUMN language_yield.with_text IS 'documents that reached main content';
COMMENT ON COLUMN language_yield.in_corpus IS 'documents of the version in this language, in both splits; NULL for a language that the corpus does not take';
COMMENT ON COLUMN language_yield.in_corpus_share IS 'in_corpus over pages, 0 to 1';
COMMENT ON COLUMN language_yield.characters IS 'Unicode characters of in_corpus';

CREATE OR REPLACE VIEW gate_activity_by_role AS
SELECT e.run_id, e.name, e.method, e.role, e.eval_set, g.layer, g.open_rate, g.residue_size
FROM gate_activity g
JOIN (SELECT DISTINCT run_id, name, method, model_id, eval_id, role, eval_set FROM run_evaluations) e USING (model_id, eval_id)
ORDER BY ALL;
COMMENT ON VIEW gate_activity_by_role IS 'Gate open rate and residue size of each run by layer and role.';
COMMENT ON COLUMN gate_activity_by_role.run_id IS 'runs.run_id';
COMMENT ON COLUMN gate_activity_by_role.name IS 'runs.name';
COMMENT ON COLUMN gate_activity_by_role.method IS 'runs.method';
COMMENT ON COLUMN gate_activity_by_role.role IS 'of the set''s language in the run: new or original; NULL where the run has no input in that language';
COMMENT ON COLUMN gate_activity_by_role.eval_set IS 'name of the evaluation set';
COMMENT ON COLUMN gate_activity_by_role.layer IS 'layer of the base, from 0; of gated rows, the embedding is -1 and the head one after the last layer';
COMMENT ON COLUMN gate_activity_by_role.open_rate IS 'share of the set''s scored tokens whose gate is open (> 0); NULL for adapters without a gate';
COMMENT ON COLUMN gate_activity_by_role.residue_size IS 'mean over the scored tokens of ||residue||1 / hidden size';

CREATE OR REPLACE VIEW model_behaviour AS
SELECT r.run_id, coalesce(r.name, r.method) AS name, r.method, r.seed, s.name AS eval_set, s.language,
       (SELECT max(i.role) FROM run_inputs i WHERE i.run_id = r.run_id AND i.language = s.language) AS role,
       max(e.value) FILTER (e.metric = 'kl_to_base') AS kl_to_base, max(e.stderr) FILTER (e.metric = 'kl_to_base') AS kl_stderr,
       max(e.value) FILTER (e.metric = 'greedy_agreement') AS greedy_agreement,
       (SELECT avg(coalesce(g.open_rate, 1)) FROM gate_activity g WHERE g.model_id = r.model_id AND g.eval_id = s.eval_id) AS open_share,
       (SELECT avg(g.residue_size) FROM gate_activity g WHERE g.model_id = r.model_id AND g.eval_id = s.eval_id) AS residue_size,
       max(e.stderr) FILTER (e.metric = 'greedy_agreement') AS agreement_stderr,
       EXISTS (FROM run_inputs i JOIN corpora c ON c.version = i.corpus_version
               WHERE i.run_id = r.run_id AND c.language = s.language AND c.text_domain = s.text_domain) AS in_replay
FROM runs r JOIN last_evaluations l ON l.run_id = r.run_id
JOIN evaluations e ON e.model_id = l.model_id AND e.eval_id = l.eval_id AND e.settings_hash = l.settings_hash
JOIN eval_sets s ON s.eval_id = e.eval_id
WHERE e.metric IN ('kl_to_base', 'greedy_agreement')
GROUP BY r.run_id, r.name, r.method, r.seed, r.model_id, s.eval_id, s.name, s.language, s.text_domain
ORDER BY name, seed, role, eval_set;
COMMENT ON VIEW model_behaviour IS 'How far a run behaves like its base on a text: on the original language it should, on the new one it should not.';
COMMENT ON COLUMN model_behaviour.run_id IS 'runs.run_id';
COMMENT ON COLUMN model_behaviour.name IS 'runs.name, or the method where there is none';
COMMENT ON COLUMN model_behaviour.method IS 'runs.method';
COMMENT ON COLUMN model_behaviour.seed IS 'runs.seed';
COMMENT ON COLUMN model_behaviour.eval_set IS 'name of the text';
COMMENT ON COLUMN model_behaviour.language IS 'ISO 639-3';
COMMENT ON COLUMN model_behaviour.role IS 'of the language in the run: new or original; NULL where the run has no input in it';
COMMENT ON COLUMN model_behaviour.kl_to_base IS 'mean over tokens of KL(base || run), in nats; 0 where the run predicts as the base does';
COMMENT ON COLUMN model_behaviour.kl_stderr IS 'standard error of kl_to_base over documents';
COMMENT ON COLUMN model_behaviour.greedy_agreement IS 'share of the base''s greedy continuations (32 tokens after 32 of a document) that the run would choose too';
COMMENT ON COLUMN model_behaviour.open_share IS 'effective extra compute: share of tokens x layers whose gate is open, so that the adapter is needed; 1 without gates; NULL without adapters of this project';
COMMENT ON COLUMN model_behaviour.residue_size IS 'mean over tokens and layers of ||residue||1 / hidden size; NULL without such adapters';
COMMENT ON COLUMN model_behaviour.agreement_stderr IS 'standard error of greedy_agreement over documents';
COMMENT ON COLUMN model_behaviour.in_replay IS 'one of the run''s inputs has this language and text domain';

CREATE OR REPLACE VIEW kl_vs_forgetting AS
WITH behaviour AS (
    SELECT run_id, avg(kl_to_base) FILTER (role = 'new') AS kl_new,
           sqrt(sum(kl_stderr * kl_stderr) FILTER (role = 'new')) / nullif(count(kl_to_base) FILTER (role = 'new'), 0) AS kl_new_stderr,
           avg(kl_to_base) FILTER (role = 'original' AND NOT in_replay) AS kl_original,
           avg(greedy_agreement) FILTER (role = 'new') AS agreement_new,
           avg(greedy_agreement) FILTER (role = 'original' AND NOT in_replay) AS agreement_original
    FROM model_behaviour GROUP BY run_id)
SELECT l.name, l.seed, l.method, l.learning_rate, l.language, b.kl_new, b.kl_new_stderr, b.agreement_new, b.kl_original,
       b.agreement_original, l.learning, l.forgetting, l.forgetting_stderr, l.base_model_id, l.settings_hash, l.run_id
FROM behaviour b JOIN learning_vs_forgetting l USING (run_id)
ORDER BY l.base_model_id, l.language, b.kl_new;
COMMENT ON VIEW kl_vs_forgetting IS 'Does KL to the base on the new language predict forgetting, as arXiv 2509.04259 (RL''s Razor) says of fine-tuning? One row a run: KL and agreement on the new language and on the original one, means over sets, beside forgetting. A method that gets away from the law has a high kl_new and little forgetting.';
COMMENT ON COLUMN kl_vs_forgetting.run_id IS 'runs.run_id';
COMMENT ON COLUMN kl_vs_forgetting.name IS 'runs.name, or the method where there is none';
COMMENT ON COLUMN kl_vs_forgetting.method IS 'runs.method';
COMMENT ON COLUMN kl_vs_forgetting.seed IS 'runs.seed';
COMMENT ON COLUMN kl_vs_forgetting.learning_rate IS 'peak learning rate';
COMMENT ON COLUMN kl_vs_forgetting.language IS 'ISO 639-3 of the language to learn; several stand in order, with spaces between';
COMMENT ON COLUMN kl_vs_forgetting.kl_new IS 'KL(base || run) on text of the new language, nats per token, mean over sets; NULL where none was measured';
COMMENT ON COLUMN kl_vs_forgetting.kl_new_stderr IS 'standard error of kl_new over documents; NULL for fewer than two';
COMMENT ON COLUMN kl_vs_forgetting.agreement_new IS 'share of the base''s greedy continuations that the run would choose too, on the new language, mean over sets';
COMMENT ON COLUMN kl_vs_forgetting.kl_original IS 'KL(base || run) on original-language text outside the replay''s domain, nats per token, mean over sets';
COMMENT ON COLUMN kl_vs_forgetting.agreement_original IS 'as agreement_new, on original-language text outside the replay''s domain';
COMMENT ON COLUMN kl_vs_forgetting.learning IS 'as in learning_vs_forgetting, bits per byte';
COMMENT ON COLUMN kl_vs_forgetting.forgetting IS 'as in learning_vs_forgetting, bits per byte';
COMMENT ON COLUMN kl_vs_forgetting.forgetting_stderr IS 'standard error of forgetting over documents';
COMMENT ON COLUMN kl_vs_forgetting.base_model_id IS 'runs.base_model_id';
COMMENT ON COLUMN kl_vs_forgetting.settings_hash IS 'of the run''s last evaluation: runs of different ones are not to be compared';

CREATE OR REPLACE VIEW lineage AS
SELECT i.run_id, i.role, i.corpus_version, c.name AS corpus, u.unit_id, w.documents_key, w.source, w.kind, w.path
FROM run_inputs i
JOIN corpora c ON c.version = i.corpus_version
JOIN corpus_units u ON u.version = c.version
JOIN work_units w ON w.unit_id = u.unit_id AND (u.documents_key IS NULL OR u.documents_key = w.documents_key)
-- Records of before documents_key was kept do not say which of several settings it was: one of them, always the same.
QUALIFY row_number() OVER (PARTITION BY i.run_id, i.role, i.corpus_version, u.unit_id ORDER BY w.status, w.documents_key) = 1;
COMMENT ON VIEW lineage IS 'From a run (and so from its rows in evaluations: model_id is the run_id) down to the files that its corpora were made of, one row a file. The WARC files behind what a run learned: SELECT path FROM lineage WHERE run_id = ''...'' AND role = ''new'' AND kind = ''warc''. Which records of them: documents(''path of the workspace'') by unit_id; byte ranges fetched from Common Crawl: byte_ranges(''path of the workspace'').';
COMMENT ON COLUMN lineage.run_id IS 'runs.run_id';
COMMENT ON COLUMN lineage.role IS 'of the corpus in the run: new or original';
COMMENT ON COLUMN lineage.corpus_version IS 'corpora.version';
COMMENT ON COLUMN lineage.corpus IS 'corpora.name';
COMMENT ON COLUMN lineage.unit_id IS 'work_units.unit_id';
COMMENT ON COLUMN lineage.documents_key IS 'hash of the document settings that the file was read with';
COMMENT ON COLUMN lineage.kind IS 'warc (WET too), text, or byte ranges of WARC files: work_units.kind';
COMMENT ON COLUMN lineage.source IS 'name of the source in the config that listed the file';
COMMENT ON COLUMN lineage.path IS 'absolute path of the file when it was last listed, its address, or for byte ranges snapshot/selection/number';

CREATE OR REPLACE VIEW task_parts AS
SELECT r.run_id, r.name, r.seed, s.name AS eval_set, s.language, i.metric, i.part, count(*) AS n,
       avg(i.base_a) AS base_value, avg(i.a) AS value, avg(i.a) - avg(i.base_a) AS difference
FROM runs r
JOIN (SELECT o.model_id AS base_model_id, i.model_id, i.eval_id, i.settings_hash, i.metric, unnest(i.parts) AS part,
             unnest(i.numerators) AS a, unnest(o.numerators) AS base_a
      FROM evaluation_items i JOIN evaluation_items o USING (eval_id, settings_hash, metric)
      WHERE i.parts IS NOT NULL AND o.step = 0) i ON i.model_id = r.model_id AND i.base_model_id = r.base_model_id
JOIN last_evaluations l ON l.run_id = r.run_id AND l.eval_id = i.eval_id AND l.settings_hash = i.settings_hash
JOIN eval_sets s ON s.eval_id = i.eval_id
GROUP BY ALL ORDER BY r.name, r.seed, eval_set, i.metric, i.part;
COMMENT ON VIEW task_parts IS 'A task''s figure part by part: a phenomenon of BLiMP, a construction of CLAMS, a subject of MMLU.';
COMMENT ON COLUMN task_parts.run_id IS 'runs.run_id';
COMMENT ON COLUMN task_parts.name IS 'runs.name';
COMMENT ON COLUMN task_parts.seed IS 'runs.seed';
COMMENT ON COLUMN task_parts.eval_set IS 'name of the task';
COMMENT ON COLUMN task_parts.language IS 'ISO 639-3';
COMMENT ON COLUMN task_parts.metric IS 'acc, acc_norm or acc_bytes';
COMMENT ON COLUMN task_parts.part IS 'of the task';
COMMENT ON COLUMN task_parts.n IS 'items';
COMMENT ON COLUMN task_parts.base_value IS 'the base''s figure on them, from 0 to 1';
COMMENT ON COLUMN task_parts.value IS 'the run''s figure on them';
COMMENT ON COLUMN task_parts.difference IS 'value - base_value; more is better';

CREATE OR REPLACE VIEW task_signal_limits AS
FROM (VALUES
    ('monotonicity', 0.5, 'FineTasks (huggingface.co/spaces/HuggingFaceFW/blogpost-fine-tasks): Spearman correlation of score and steps, 0.5 in the mean over runs; here over runs, by bits gained'),
    ('signal_to_noise', 20, 'FineTasks: mean score over its standard deviation between seeds'),
    ('above_chance', 3, 'the criterion is FineTasks'' (best score against random guessing); 3 standard errors is this project''s bar'),
    ('ordering', 0.5, 'the criterion is FineTasks'' (Kendall''s tau, theirs between steps, here between seeds), which sets no bar; 0.5, three pairs in four, is this project''s')
) limits(criterion, least, source);
COMMENT ON VIEW task_signal_limits IS 'What task_signal asks of a task, and where each threshold is from.';
COMMENT ON COLUMN task_signal_limits.criterion IS 'a column of task_signal';
COMMENT ON COLUMN task_signal_limits.least IS 'the least that passes';
COMMENT ON COLUMN task_signal_limits.source IS 'where criterion and threshold are from';

CREATE OR REPLACE VIEW task_signal AS
WITH scores AS (
    SELECT *, coalesce(name, method) || coalesce(' ' || learning_rate, '') AS setting
    FROM run_evaluations WHERE metric IN ('acc', 'acc_norm', 'acc_bytes', 'auc')),
gained AS (
    SELECT run_id, language, avg(base_value - value) AS bits FROM run_evaluations WHERE metric = 'bits_per_byte' GROUP BY ALL),
points AS (  -- how good at the language, and how good at the task: each run, and the base at 0
    SELECT base_model_id, eval_id, settings_hash, metric, bits, value FROM scores JOIN gained USING (run_id, language)
    UNION ALL SELECT base_model_id, eval_id, settings_hash, metric, 0, any_value(base_value) FROM scores GROUP BY ALL),
ranked AS (  -- equal ones share their mean rank
    SELECT base_model_id, eval_id, settings_hash, metric,
           rank() OVER (k ORDER BY bits) + (count(*) OVER (PARTITION BY base_model_id, eval_id, settings_hash, metric, bits)) / 2 AS x,
           rank() OVER (k ORDER BY value) + (count(*) OVER (PARTITION BY base_model_id, eval_id, settings_hash, metric, value)) / 2 AS y
    FROM points WINDOW k AS (PARTITION BY base_model_id, eval_id, settings_hash, metric)),
rising AS (
    SELECT base_model_id, eval_id, settings_hash, metric,
           CASE WHEN count(*) >= 3 AND stddev_pop(x) > 0 AND stddev_pop(y) > 0 THEN corr(x, y)
                WHEN count(*) >= 3 THEN 0 END AS monotonicity
    FROM ranked GROUP BY ALL),
seeds AS (
    SELECT base_model_id, eval_id, settings_hash, metric, setting, seed, avg(value) AS value FROM scores GROUP BY ALL),
spreads AS (
    SELECT base_model_id, eval_id, settings_hash, metric, setting, stddev_samp(value) AS sd FROM seeds GROUP BY ALL),
noises AS (
    SELECT base_model_id, eval_id, settings_hash, metric, avg(sd) AS noise, count(sd) AS repeated FROM spreads GROUP BY ALL),
pairs AS (  -- two settings under one seed
    SELECT a.base_model_id, a.eval_id, a.settings_hash, a.metric, a.seed, a.setting || chr(0) || b.setting AS pair,
           sign(a.value - b.value) AS ahead
    FROM seeds a JOIN seeds b USING (base_model_id, eval_id, settings_hash, metric, seed) WHERE a.setting < b.setting),
orders AS (
    SELECT base_model_id, eval_id, settings_hash, metric, avg(a.ahead * b.ahead) AS ordering
    FROM pairs a JOIN pairs b USING (base_model_id, eval_id, settings_hash, metric, pair) WHERE a.seed < b.seed GROUP BY ALL),
figures AS (
    SELECT s.base_model_id, s.eval_id, s.settings_hash, s.metric, s.eval_set, s.language, max(s.role) AS role,
           count(DISTINCT s.run_id) AS runs, avg(s.value) AS mean_value, greatest(max(s.value), max(s.base_value)) AS best_value,
           avg(s.stderr) AS stderr
    FROM scores s GROUP BY ALL),
criteria AS (
    SELECT f.*, e.chance, n.noise, n.repeated, r.monotonicity,
           CASE WHEN n.noise = 0 THEN 'inf'::DOUBLE ELSE f.mean_value / n.noise END AS signal_to_noise,
           (f.best_value - e.chance) / nullif(greatest(coalesce(n.noise, 0), f.stderr), 0) AS above_chance, o.ordering
    FROM figures f LEFT JOIN eval_sets e USING (eval_id)
    LEFT JOIN noises n USING (base_model_id, eval_id, settings_hash, metric)
    LEFT JOIN rising r USING (base_model_id, eval_id, settings_hash, metric)
    LEFT JOIN orders o USING (base_model_id, eval_id, settings_hash, metric)),
bars AS (
    SELECT max(least) FILTER (criterion = 'monotonicity') AS monotonicity,
           max(least) FILTER (criterion = 'signal_to_noise') AS signal_to_noise,
           max(least) FILTER (criterion = 'above_chance') AS above_chance, max(least) FILTER (criterion = 'ordering') AS ordering
    FROM task_signal_limits)
SELECT c.eval_set, c.metric, c.language, c.role, c.runs, c.repeated, c.chance, c.mean_value, c.best_value, c.noise, c.stderr,
       c.monotonicity, c.signal_to_noise, c.above_chance, c.ordering,
       c.monotonicity >= b.monotonicity AND c.signal_to_noise >= b.signal_to_noise
           AND c.above_chance >= b.above_chance AND c.ordering >= b.ordering AS has_signal,
       c.base_model_id, c.eval_id, c.settings_hash
FROM criteria c, bars b
ORDER BY c.base_model_id, has_signal DESC NULLS LAST, c.eval_set, c.metric;
COMMENT ON VIEW task_signal IS 'Which tasks tell something at this size: FineTasks'' four criteria on the runs of a base at hand, one row a task and metric. Thresholds: task_signal_limits. It takes at least two settings (name and learning rate) of two seeds each, and text in the task''s language among the evaluation sets.';
COMMENT ON COLUMN task_signal.eval_set IS 'name of the task';
COMMENT ON COLUMN task_signal.metric IS 'acc, acc_norm, acc_bytes or auc';
COMMENT ON COLUMN task_signal.language IS 'ISO 639-3';
COMMENT ON COLUMN task_signal.role IS 'of the language in the runs: new or original; NULL where they have no input in it';
COMMENT ON COLUMN task_signal.runs IS 'runs with a figure on it';
COMMENT ON COLUMN task_signal.repeated IS 'settings (name and learning rate) with at least two seeds';
COMMENT ON COLUMN task_signal.chance IS 'what guessing gives; NULL where that is not known (tasks of lm_eval, records of before it was kept: evaluate again)';
COMMENT ON COLUMN task_signal.mean_value IS 'mean over runs';
COMMENT ON COLUMN task_signal.best_value IS 'of the runs and the base';
COMMENT ON COLUMN task_signal.noise IS 'sample standard deviation between seeds of a setting, mean over settings; NULL where no setting has two';
COMMENT ON COLUMN task_signal.stderr IS 'standard error of a figure over items, mean over runs';
COMMENT ON COLUMN task_signal.monotonicity IS 'Spearman correlation, over the base and its runs, of the score and of the bits per byte gained on text of the task''s language (negative: lost): a task that tells something rises with them. 0 where the scores are all the same; NULL for fewer than two runs or without such text';
COMMENT ON COLUMN task_signal.signal_to_noise IS 'mean_value / noise; infinite where seeds agree exactly';
COMMENT ON COLUMN task_signal.above_chance IS '(best_value - chance) in units of the larger of noise and stderr';
COMMENT ON COLUMN task_signal.ordering IS 'Kendall''s tau-a between seeds of how the settings are ranked, from -1 to 1, mean over pairs of seeds; NULL for fewer than two settings of two seeds';
COMMENT ON COLUMN task_signal.has_signal IS 'all four reach their thresholds; false as soon as one is known to fall short, NULL where none is but one is not known';
COMMENT ON COLUMN task_signal.base_model_id IS 'runs.base_model_id';
COMMENT ON COLUMN task_signal.eval_id IS 'eval_sets.eval_id';
COMMENT ON COLUMN task_signal.settings_hash IS 'evaluation_settings.settings_hash';

CREATE OR REPLACE VIEW equal_content AS
WITH pairs AS (
    SELECT s.eval_id, s.name AS eval_set, s.language, o.eval_id AS parallel_id, o.name AS parallel_set, o.language AS parallel_language
    FROM eval_sets s JOIN eval_sets o ON o.eval_id = s.parallel_to),
items AS (
    SELECT p.*, i.model_id, i.step, i.settings_hash, unnest(i.numerators) AS a, unnest(o.numerators) AS b,
           unnest(i.denominators) AS a_bytes, unnest(o.denominators) AS b_bytes
    FROM pairs p JOIN evaluation_items i ON i.eval_id = p.eval_id AND i.metric = 'bits_per_byte'
    JOIN evaluation_items o ON o.eval_id = p.parallel_id AND o.metric = i.metric AND o.model_id = i.model_id
                           AND o.step = i.step AND o.settings_hash = i.settings_hash
    WHERE len(i.numerators) = len(o.numerators)),
influences AS (
    SELECT *, (a - b * (sum(a) OVER w) / nullif(sum(b) OVER w, 0)) / nullif(sum(b) OVER w, 0) AS influence
    FROM items WINDOW w AS (PARTITION BY eval_id, parallel_id, model_id, step, settings_hash))
SELECT coalesce(any_value(r.name), any_value(r.method), 'base') AS name, any_value(r.seed) AS seed, i.eval_set, i.language,
       i.parallel_set, i.parallel_language, count(*) AS n, avg(a) AS bits, avg(b) AS parallel_bits, sum(a) / nullif(sum(b), 0) AS ratio,
       sqrt(count(*) / nullif(count(*) - 1, 0) * sum(influence * influence)) AS stderr,
       sum(a) / sum(b_bytes) AS bits_per_parallel_byte, sum(b) / sum(b_bytes) AS parallel_bits_per_byte, sum(a) / sum(a_bytes) AS bits_per_byte,
       i.model_id, i.step, i.eval_id, i.settings_hash
FROM influences i LEFT JOIN runs r ON r.model_id = i.model_id
WHERE r.run_id IS NULL OR EXISTS (FROM last_evaluations l WHERE l.run_id = r.run_id AND l.eval_id = i.eval_id AND l.settings_hash = i.settings_hash)
GROUP BY i.model_id, i.step, i.eval_id, i.parallel_id, i.settings_hash, i.eval_set, i.language, i.parallel_set, i.parallel_language
ORDER BY i.eval_set, ratio;
COMMENT ON VIEW equal_content IS 'Bits that a model needs for the same content in two languages (evaluation.texts with parallel_to), one row a model and pair. Bits per byte do not compare between languages, which take unlike many bytes for one content; bits for a sentence and its translation do.';
COMMENT ON COLUMN equal_content.name IS 'runs.name, or the method where there is none; base for a base';
COMMENT ON COLUMN equal_content.seed IS 'runs.seed';
COMMENT ON COLUMN equal_content.eval_set IS 'name of the text';
COMMENT ON COLUMN equal_content.language IS 'ISO 639-3, of the text';
COMMENT ON COLUMN equal_content.parallel_set IS 'name of the text that says the same';
COMMENT ON COLUMN equal_content.parallel_language IS 'ISO 639-3, of that';
COMMENT ON COLUMN equal_content.n IS 'pairs of documents (sentences)';
COMMENT ON COLUMN equal_content.bits IS 'bits for a document of the text, mean';
COMMENT ON COLUMN equal_content.parallel_bits IS 'bits for the same in the other language, mean';
COMMENT ON COLUMN equal_content.ratio IS 'bits / parallel_bits: 1 where the model knows the two languages equally well, more where it knows the other one better';
COMMENT ON COLUMN equal_content.stderr IS 'standard error of ratio over pairs; NULL for fewer than two';
COMMENT ON COLUMN equal_content.bits_per_parallel_byte IS 'equal-content bits per byte: the text''s bits over the bytes of the other one, so that both languages have one denominator';
COMMENT ON COLUMN equal_content.parallel_bits_per_byte IS 'of the other text, what bits_per_parallel_byte is held against';
COMMENT ON COLUMN equal_content.bits_per_byte IS 'of the text, over its own bytes';
COMMENT ON COLUMN equal_content.model_id IS 'models.model_id';
COMMENT ON COLUMN equal_content.step IS 'training steps of the model; 0 for a base';
COMMENT ON COLUMN equal_content.eval_id IS 'eval_sets.eval_id';
COMMENT ON COLUMN equal_content.settings_hash IS 'evaluation_settings.settings_hash';

CREATE OR REPLACE VIEW cost AS
WITH bases AS (
    SELECT r.base_model_id, coalesce(max(m.parameters), round(max(r.extra_parameters / nullif(r.share_total, 0)))::BIGINT) AS parameters
    FROM runs r LEFT JOIN models m ON m.model_id = r.base_model_id GROUP BY r.base_model_id)
SELECT r.run_id, coalesce(r.name, r.method) AS name, r.method, r.seed, r.learning_rate, r.tokens, r.seconds,
       r.tokens / nullif(r.seconds, 0) AS tokens_per_second, b.parameters AS base_parameters, r.extra_parameters,
       r.share_non_embedding, r.share_total,
       r.tokens::DOUBLE * (4.0 * (b.parameters + r.extra_parameters)
                   + 2.0 * CASE WHEN r.extra_parameters = 0 THEN b.parameters ELSE r.extra_parameters END) AS training_flops,
       2.0::DOUBLE * (b.parameters + r.extra_parameters) AS flops_per_token, r.peak_memory, r.base_model_id
FROM runs r LEFT JOIN bases b USING (base_model_id)
WHERE r.status IS DISTINCT FROM 'failed'
ORDER BY r.name, r.seed;
COMMENT ON VIEW cost IS 'What each run cost in training and costs in use. FLOPs are counted from parameters, two a parameter and token forward, as many back through the activations, and as many again for each trainable parameter; attention over the context is left out.';
COMMENT ON COLUMN cost.run_id IS 'runs.run_id';
COMMENT ON COLUMN cost.name IS 'runs.name, or the method where there is none';
COMMENT ON COLUMN cost.method IS 'runs.method';
COMMENT ON COLUMN cost.seed IS 'runs.seed';
COMMENT ON COLUMN cost.learning_rate IS 'peak learning rate';
COMMENT ON COLUMN cost.tokens IS 'tokens trained on';
COMMENT ON COLUMN cost.seconds IS 'wall time of the training steps, over all resumptions';
COMMENT ON COLUMN cost.tokens_per_second IS 'tokens / seconds';
COMMENT ON COLUMN cost.base_parameters IS 'parameters of the base; NULL where it was given and no run says what share of it was added';
COMMENT ON COLUMN cost.extra_parameters IS 'parameters added to the base''s; 0 for finetune';
COMMENT ON COLUMN cost.share_non_embedding IS 'extra parameters over the base''s parameters without embeddings';
COMMENT ON COLUMN cost.share_total IS 'extra parameters over all of the base''s';
COMMENT ON COLUMN cost.training_flops IS 'floating-point operations of the training; finetune trains all parameters; NULL where base_parameters is';
COMMENT ON COLUMN cost.flops_per_token IS 'of a forward pass with every gate open; what closed gates save stands in model_behaviour';
COMMENT ON COLUMN cost.peak_memory IS 'most memory used, in bytes';
COMMENT ON COLUMN cost.base_model_id IS 'runs.base_model_id';

CREATE OR REPLACE VIEW latest_refresh AS
WITH in_use AS (
    SELECT corpus AS name, version FROM corpus_moves QUALIFY row_number() OVER (PARTITION BY corpus ORDER BY moved DESC) = 1)
SELECT c.name, c.version, c.language, c.text_domain, c.documents, c.characters, c.held_out_documents, c.created
FROM corpora c LEFT JOIN in_use u USING (name)
QUALIFY row_number() OVER (PARTITION BY c.name ORDER BY c.version IS NOT DISTINCT FROM u.version DESC, c.created DESC) = 1
ORDER BY c.name;
COMMENT ON VIEW latest_refresh IS 'The version of each corpus that is in use: the newest, unless the corpus was rolled back.';
COMMENT ON COLUMN latest_refresh.name IS 'corpora.name';
COMMENT ON COLUMN latest_refresh.version IS 'corpora.version';
COMMENT ON COLUMN latest_refresh.language IS 'ISO 639-3';
COMMENT ON COLUMN latest_refresh.text_domain IS 'what the text is about, in the config''s words';
COMMENT ON COLUMN latest_refresh.documents IS 'documents in both splits';
COMMENT ON COLUMN latest_refresh.characters IS 'Unicode characters of the texts in both splits';
COMMENT ON COLUMN latest_refresh.held_out_documents IS 'documents on the held-out split';
COMMENT ON COLUMN latest_refresh.created IS 'when the version was published';

-- A terminal of 80 columns shows the first two and the last two: what identifies a page and how it fared, not its hashes.
CREATE OR REPLACE MACRO documents(workspace) AS TABLE
SELECT reason, title, * EXCLUDE (reason, title, characters, language, url), characters, language, url
FROM (FROM read_parquet(workspace || '/documents/*/*.parquet', union_by_name = true)
      UNION ALL BY NAME  -- columns that documents of before lack
      SELECT NULL::VARCHAR AS content_languages, NULL::VARCHAR AS content_digest, NULL::VARCHAR AS warc_filename,
             NULL::BIGINT AS warc_record_offset, NULL::BIGINT AS warc_record_length WHERE false);
COMMENT ON MACRO TABLE documents IS 'Every page that was read, with its scores and the reason why it left: SELECT url, title, language, reason FROM documents(''path of the workspace'') WHERE unit_id = ''...'' (a unit_id of lineage; name the columns, since text and signature are long). Reason kept is that of reading; why a corpus left a page out: left_corpus and corpus_funnel.';

CREATE OR REPLACE MACRO language_agreement(workspace) AS TABLE
SELECT split_part(content_languages, ',', 1) AS crawlers_language, language, count(*) AS documents,
       avg(language_score) AS language_score, any_value(url) AS one_of_them
FROM documents(workspace) WHERE content_languages IS NOT NULL AND language IS NOT NULL GROUP BY ALL ORDER BY documents DESC;
COMMENT ON MACRO TABLE language_agreement IS 'The main language that Common Crawl found in a page (content_languages, by CLD2 on all text) held against ours (on main content, of other_language on the whole page): FROM language_agreement(''path of the workspace'') WHERE crawlers_language <> language.';

CREATE OR REPLACE MACRO duplicates(workspace) AS TABLE
FROM read_parquet(workspace || '/corpora/*/*/duplicates.parquet', union_by_name = true);
COMMENT ON MACRO TABLE duplicates IS 'Which document went because it was a copy of which: FROM duplicates(''path of the workspace'').';

CREATE OR REPLACE MACRO contaminated(workspace) AS TABLE
FROM read_parquet(workspace || '/corpora/*/*/contaminated.parquet', union_by_name = true);
COMMENT ON MACRO TABLE contaminated IS 'Which document went because it shares an n-gram with an evaluation set, which set and which n-gram: FROM contaminated(''path of the workspace'').';

CREATE OR REPLACE MACRO clusters(workspace) AS TABLE
SELECT parse_path(filename)[-3] AS corpus, parse_path(filename)[-2] AS version, * EXCLUDE filename
FROM read_parquet(workspace || '/corpora/*/*/clusters.parquet', union_by_name = true, filename = true);
COMMENT ON MACRO TABLE clusters IS 'Sizes of the clusters of copies by corpus version, and the weight that re-hydration gives: FROM clusters(''path of the workspace'').';

CREATE OR REPLACE MACRO left_corpus(workspace) AS TABLE
SELECT parse_path(filename)[-3] AS corpus, parse_path(filename)[-2] AS version, * EXCLUDE filename
FROM read_parquet(workspace || '/corpora/*/*/left.parquet', union_by_name = true, filename = true);
COMMENT ON MACRO TABLE left_corpus IS 'Which document left which corpus version after the filter, at which stage and why; a version lists those of its new units: FROM left_corpus(''path of the workspace'').';

CREATE OR REPLACE MACRO compare_runs(run_a, run_b) AS TABLE
WITH shared AS (
    SELECT x.eval_id, x.settings_hash, x.metric, x.numerators AS a, x.denominators AS a_of, y.numerators AS b, y.denominators AS b_of,
           (SELECT count(*) FROM last_evaluations l WHERE l.model_id IN (run_a, run_b) AND l.eval_id = x.eval_id
            AND l.settings_hash = x.settings_hash) AS lasts
    FROM evaluation_items x JOIN evaluation_items y USING (eval_id, settings_hash, metric)
    WHERE x.model_id = run_a AND y.model_id = run_b AND len(x.numerators) = len(y.numerators)),
items AS (  -- once a set: by the settings that are the last of the most of the two
    SELECT eval_id, settings_hash, metric, unnest(a) AS a, unnest(a_of) AS a_of, unnest(b) AS b, unnest(b_of) AS b_of
    FROM (FROM shared QUALIFY row_number() OVER (PARTITION BY eval_id, metric ORDER BY lasts DESC, settings_hash) = 1)),
influences AS (
    SELECT eval_id, settings_hash, metric, (sum(a) OVER w) / nullif(sum(a_of) OVER w, 0) AS value_a,
           (sum(b) OVER w) / nullif(sum(b_of) OVER w, 0) AS value_b,
           (b - b_of * (sum(b) OVER w) / nullif(sum(b_of) OVER w, 0)) / nullif(sum(b_of) OVER w, 0)
           - (a - a_of * (sum(a) OVER w) / nullif(sum(a_of) OVER w, 0)) / nullif(sum(a_of) OVER w, 0) AS influence
    FROM items WINDOW w AS (PARTITION BY eval_id, settings_hash, metric)),
spreads AS (
    SELECT eval_id, metric, any_value(value_a) AS a, any_value(value_b) AS b, count(*) AS n,
           1.96 * sqrt(count(*) / nullif(count(*) - 1, 0) * sum(influence * influence)) AS half
    FROM influences GROUP BY eval_id, settings_hash, metric)
SELECT s.name AS eval_set, s.language, s.text_domain, p.metric, p.a, p.b, p.b - p.a AS difference,
       p.b - p.a - p.half AS low, p.b - p.a + p.half AS high, p.n, p.eval_id
FROM spreads p JOIN eval_sets s USING (eval_id) ORDER BY s.language, s.name, p.metric;
COMMENT ON MACRO TABLE compare_runs IS 'Two models (run or base) on the same items: b minus a with its 95 % interval: FROM compare_runs(''model_id'', ''model_id'').';

CREATE OR REPLACE MACRO byte_ranges(workspace) AS TABLE
SELECT u.unit_id, s.warc_filename AS path, s.warc_record_offset AS byte_offset, s.warc_record_length AS bytes
FROM (SELECT *, parse_dirpath(filename) AS folder
      FROM read_parquet(workspace || '/selections/*/units.parquet', filename = true)) u
JOIN (SELECT *, parse_dirpath(filename) AS folder
      FROM read_parquet(workspace || '/selections/*/selection.parquet', filename = true, file_row_number = true)) s
  ON s.folder = u.folder AND s.file_row_number >= u.first AND s.file_row_number < u.first + u.pages;
COMMENT ON MACRO TABLE byte_ranges IS 'The records that were fetched out of Common Crawl''s WARC files, by work unit: FROM byte_ranges(''path of the workspace''). path is below https://data.commoncrawl.org/.';

CREATE OR REPLACE VIEW guide AS
SELECT kind, name, comment FROM (
    SELECT 'view' AS kind, view_name AS name, comment FROM duckdb_views() WHERE NOT internal
    UNION ALL SELECT 'macro', function_name, comment FROM duckdb_functions()
              WHERE function_type = 'table_macro' AND NOT internal
    UNION ALL SELECT 'table', table_name, comment FROM duckdb_tables())
ORDER BY name = 'learning_vs_forgetting' DESC, kind = 'view' DESC, name;
COMMENT ON VIEW guide IS 'Start here: everything in this catalog and what it holds. Columns: SELECT column_name, comment FROM duckdb_columns() WHERE table_name = ...';
COMMENT ON COLUMN guide.kind IS 'view, table, or macro (called with arguments, as its comment shows)';
COMMENT ON COLUMN guide.name IS 'what to put after FROM';
COMMENT ON COLUMN guide.comment IS 'what it holds';
