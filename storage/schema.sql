-- Tables of the catalog. Every row comes from a record file in the workspace (records/<table>/*.parquet):
-- the catalog can be thrown away and rebuilt. Key columns are NOT NULL: a NULL in a key doubles rows on upsert.

CREATE TABLE IF NOT EXISTS work_units (
    unit_id VARCHAR NOT NULL, documents_key VARCHAR NOT NULL, source VARCHAR, kind VARCHAR, path VARCHAR,
    status VARCHAR, attempts INTEGER, error VARCHAR,
    records BIGINT, documents BIGINT, bytes BIGINT, seconds DOUBLE,
    PRIMARY KEY (unit_id, documents_key));
COMMENT ON TABLE work_units IS 'One WARC or text file, or one batch of byte ranges, read with one set of document settings: what came of it, and its error if it failed.';
COMMENT ON COLUMN work_units.status IS 'done or failed; a failed unit is tried again by the next run';
COMMENT ON COLUMN work_units.path IS 'file, address, or for a batch of byte ranges snapshot/selection/number';
COMMENT ON COLUMN work_units.bytes IS 'size of the file, or of the records of a batch';

CREATE TABLE IF NOT EXISTS fetch_failures (
    unit_id VARCHAR NOT NULL, documents_key VARCHAR NOT NULL, path VARCHAR NOT NULL, byte_offset BIGINT NOT NULL,
    error VARCHAR,
    PRIMARY KEY (unit_id, documents_key, path, byte_offset));
COMMENT ON TABLE fetch_failures IS 'Where inside a work unit fetching or reading failed: the records from this compressed offset on are lost; of a batch of byte ranges, the one record.';

CREATE TABLE IF NOT EXISTS funnel (
    scope VARCHAR NOT NULL, scope_id VARCHAR NOT NULL, unit_id VARCHAR NOT NULL, language VARCHAR NOT NULL,
    stage VARCHAR NOT NULL, reason VARCHAR NOT NULL, documents BIGINT, characters BIGINT,
    PRIMARY KEY (scope, scope_id, unit_id, language, stage, reason));
COMMENT ON TABLE funnel IS 'How many documents left at which stage and why; reason kept where they stayed.';
COMMENT ON COLUMN funnel.scope IS 'documents: scope_id is the key of the document settings; corpus: scope_id is the corpus version';
COMMENT ON COLUMN funnel.language IS 'ISO 639-3, or und where the document left before its language was known';

CREATE TABLE IF NOT EXISTS corpora (
    version VARCHAR NOT NULL PRIMARY KEY, name VARCHAR, language VARCHAR, text_domain VARCHAR, parent_version VARCHAR,
    documents BIGINT, characters BIGINT, held_out_documents BIGINT, settings VARCHAR, created TIMESTAMPTZ);
COMMENT ON TABLE corpora IS 'Published versions of corpora; documents and characters count both the train and the held-out side.';

CREATE TABLE IF NOT EXISTS corpus_units (
    version VARCHAR NOT NULL, unit_id VARCHAR NOT NULL, PRIMARY KEY (version, unit_id));
COMMENT ON TABLE corpus_units IS 'Which work units a corpus version was made of.';

CREATE TABLE IF NOT EXISTS models (
    model_id VARCHAR NOT NULL PRIMARY KEY, source VARCHAR, weights_hash VARCHAR, parent_model_id VARCHAR,
    parameters BIGINT, created TIMESTAMPTZ);
COMMENT ON TABLE models IS 'Bases and the models that runs made of them. parent_model_id is NULL for a base.';
COMMENT ON COLUMN models.source IS 'hub id, folder or file given by the user; pretrained here; or run';

CREATE TABLE IF NOT EXISTS runs (
    run_id VARCHAR NOT NULL PRIMARY KEY, name VARCHAR, base_model_id VARCHAR, model_id VARCHAR, method VARCHAR,
    settings VARCHAR, seed BIGINT, status VARCHAR, error VARCHAR,
    learning_rate DOUBLE, extra_parameters BIGINT, share_non_embedding DOUBLE, share_total DOUBLE,
    tokens BIGINT, seconds DOUBLE, peak_memory BIGINT, created TIMESTAMPTZ);
COMMENT ON TABLE runs IS 'One training: a method on a base with inputs, settings and a seed (run_id is the hash of these).';
COMMENT ON COLUMN runs.settings IS 'method and training settings as JSON';
COMMENT ON COLUMN runs.share_non_embedding IS 'extra parameters over the base''s parameters without embeddings';
COMMENT ON COLUMN runs.peak_memory IS 'bytes';

CREATE TABLE IF NOT EXISTS run_inputs (
    run_id VARCHAR NOT NULL, corpus_version VARCHAR NOT NULL, role VARCHAR NOT NULL, language VARCHAR, share DOUBLE,
    PRIMARY KEY (run_id, corpus_version, role));
COMMENT ON TABLE run_inputs IS 'What a run was trained on. role is new (the language to learn) or original (the one to keep).';
COMMENT ON COLUMN run_inputs.share IS 'share of all training sequences; 0 is recorded too';

CREATE TABLE IF NOT EXISTS eval_sets (
    eval_id VARCHAR NOT NULL PRIMARY KEY, name VARCHAR, language VARCHAR, text_domain VARCHAR, corpus_version VARCHAR,
    content_hash VARCHAR);
COMMENT ON TABLE eval_sets IS 'Held-out text, pinned by its content hash, so that a refresh does not move the yardstick.';

CREATE TABLE IF NOT EXISTS evaluations (
    model_id VARCHAR NOT NULL, step BIGINT NOT NULL, eval_id VARCHAR NOT NULL, settings_hash VARCHAR NOT NULL,
    metric VARCHAR NOT NULL, value DOUBLE, n BIGINT, stderr DOUBLE,
    PRIMARY KEY (model_id, step, eval_id, settings_hash, metric));
COMMENT ON TABLE evaluations IS 'Figures of any model on any evaluation set. step is 0 for a base.';
COMMENT ON COLUMN evaluations.metric IS 'bits_per_byte or nats_per_token';
COMMENT ON COLUMN evaluations.n IS 'documents measured';

CREATE TABLE IF NOT EXISTS training_steps (
    run_id VARCHAR NOT NULL, step BIGINT NOT NULL, tokens BIGINT, lm_loss DOUBLE, local_loss DOUBLE, alpha DOUBLE,
    learning_rate DOUBLE, tokens_per_second DOUBLE, gradient_norm DOUBLE,
    open_rate_new DOUBLE, open_rate_original DOUBLE,
    PRIMARY KEY (run_id, step));
COMMENT ON TABLE training_steps IS 'The course of a training, also of a base pretrained here (run_id is then its model_id).';
COMMENT ON COLUMN training_steps.lm_loss IS 'nats per token';

CREATE TABLE IF NOT EXISTS gate_activity (
    model_id VARCHAR NOT NULL, eval_id VARCHAR NOT NULL, layer INTEGER NOT NULL, open_rate DOUBLE, residue_size DOUBLE,
    PRIMARY KEY (model_id, eval_id, layer));
COMMENT ON TABLE gate_activity IS 'How often a layer''s gate is open on a set, and the mean size of its residue (L1 norm over width).';
