-- Tables of the catalog. Every row comes from a record file in the workspace (records/<table>/*.parquet):
-- the catalog can be thrown away and rebuilt. Key columns are NOT NULL: a NULL in a key doubles rows on upsert.

CREATE TABLE IF NOT EXISTS work_units (
    unit_id VARCHAR NOT NULL, documents_key VARCHAR NOT NULL, source VARCHAR, kind VARCHAR, path VARCHAR,
    status VARCHAR, attempts INTEGER, error VARCHAR,
    records BIGINT, documents BIGINT, bytes BIGINT, seconds DOUBLE,
    PRIMARY KEY (unit_id, documents_key));
COMMENT ON TABLE work_units IS 'One WARC or text file, or one batch of byte ranges, read with one set of document settings: what came of it, and its error if it failed.';
COMMENT ON COLUMN work_units.unit_id IS 'hash of the file''s content and of how it is read; where the file lies does not bear on it';
COMMENT ON COLUMN work_units.documents_key IS 'hash of the document settings that the file was read with';
COMMENT ON COLUMN work_units.source IS 'name of the source in the config that listed the file';
COMMENT ON COLUMN work_units.kind IS 'warc (WET too), text (JSONL, Parquet, plain text) or ranges (a batch of byte ranges)';
COMMENT ON COLUMN work_units.path IS 'absolute path when it was last listed, address, or for a batch of byte ranges snapshot/selection/number';
COMMENT ON COLUMN work_units.status IS 'done or failed; a failed unit is tried again by the next run';
COMMENT ON COLUMN work_units.attempts IS 'attempts so far with these document settings; 1 if the first went through';
COMMENT ON COLUMN work_units.error IS 'why the last attempt failed; NULL if it is done';
COMMENT ON COLUMN work_units.records IS 'records of a WARC (companions such as requests too) or rows of a text file that the last attempt read';
COMMENT ON COLUMN work_units.documents IS 'rows of the unit''s documents file, whatever came of them later; 0 if failed';
COMMENT ON COLUMN work_units.bytes IS 'size of the file, compressed or not, or of the records of a batch';
COMMENT ON COLUMN work_units.seconds IS 'wall time of the last attempt, in seconds';

CREATE TABLE IF NOT EXISTS fetch_failures (
    unit_id VARCHAR NOT NULL, documents_key VARCHAR NOT NULL, path VARCHAR NOT NULL, byte_offset BIGINT NOT NULL,
    error VARCHAR,
    PRIMARY KEY (unit_id, documents_key, path, byte_offset));
COMMENT ON TABLE fetch_failures IS 'Where fetching or reading broke inside a work unit: what stands behind that in the file is lost; of a batch of byte ranges, the one record.';
COMMENT ON COLUMN fetch_failures.unit_id IS 'work_units.unit_id';
COMMENT ON COLUMN fetch_failures.documents_key IS 'work_units.documents_key';
COMMENT ON COLUMN fetch_failures.byte_offset IS 'bytes into the file: start of the last record that was reached (WARC, compressed), where reading stopped (JSONL), or 0 (Parquet)';
COMMENT ON COLUMN fetch_failures.path IS 'absolute path or address of the file';
COMMENT ON COLUMN fetch_failures.error IS 'what the reader said';

CREATE TABLE IF NOT EXISTS funnel (
    scope VARCHAR NOT NULL, scope_id VARCHAR NOT NULL, unit_id VARCHAR NOT NULL, language VARCHAR NOT NULL,
    stage VARCHAR NOT NULL, reason VARCHAR NOT NULL, documents BIGINT, characters BIGINT,
    PRIMARY KEY (scope, scope_id, unit_id, language, stage, reason));
COMMENT ON TABLE funnel IS 'How many documents left at which stage and why; reason kept where they stayed.';
COMMENT ON COLUMN funnel.scope IS 'documents: scope_id is the key of the document settings; corpus: scope_id is the corpus version';
COMMENT ON COLUMN funnel.scope_id IS 'documents_key or corpus version, as scope says';
COMMENT ON COLUMN funnel.unit_id IS 'work_units.unit_id; empty in scope corpus, since a corpus is filtered as a whole';
COMMENT ON COLUMN funnel.language IS 'ISO 639-3; of documents that left before their language was looked at the first of content_languages, which the crawler found, else und';
COMMENT ON COLUMN funnel.stage IS 'url, read, gate, opt_out, decode, parse, language, extract (scope documents); verdict, exact_dedup, minhash_dedup, line_dedup, decontamination, take_down, split, corpus (scope corpus)';
COMMENT ON COLUMN funnel.reason IS 'why they left at this stage; kept where they stayed to the end of the scope';
COMMENT ON COLUMN funnel.documents IS 'number of documents';
COMMENT ON COLUMN funnel.characters IS 'Unicode characters of their main content; 0 where they left before it was extracted';

CREATE TABLE IF NOT EXISTS corpora (
    version VARCHAR NOT NULL PRIMARY KEY, name VARCHAR, language VARCHAR, text_domain VARCHAR, parent_version VARCHAR,
    documents BIGINT, characters BIGINT, held_out_documents BIGINT, settings VARCHAR, created TIMESTAMPTZ);
COMMENT ON TABLE corpora IS 'Published versions of corpora; documents and characters count both the train and the held-out split.';
COMMENT ON COLUMN corpora.version IS 'hash of the corpus''s name, settings and inputs';
COMMENT ON COLUMN corpora.name IS 'name of the corpus in the config';
COMMENT ON COLUMN corpora.language IS 'ISO 639-3';
COMMENT ON COLUMN corpora.text_domain IS 'what the text is about, in the config''s words';
COMMENT ON COLUMN corpora.parent_version IS 'the version that was current before this one; NULL for the first';
COMMENT ON COLUMN corpora.documents IS 'documents in both splits';
COMMENT ON COLUMN corpora.characters IS 'Unicode characters of the texts in both splits, as published';
COMMENT ON COLUMN corpora.held_out_documents IS 'documents on the held-out split';
COMMENT ON COLUMN corpora.settings IS 'corpus settings as JSON';
COMMENT ON COLUMN corpora.created IS 'when the version was published';

CREATE TABLE IF NOT EXISTS corpus_changes (
    version VARCHAR NOT NULL PRIMARY KEY, parent_version VARCHAR, documents_gained BIGINT, characters_gained BIGINT,
    documents_lost BIGINT, characters_lost BIGINT, duplicates BIGINT);
COMMENT ON TABLE corpus_changes IS 'Each corpus version held against its parent, by doc_id; the first against nothing.';
COMMENT ON COLUMN corpus_changes.version IS 'corpora.version';
COMMENT ON COLUMN corpus_changes.parent_version IS 'the version that was current before; NULL for the first';
COMMENT ON COLUMN corpus_changes.documents_gained IS 'documents that the version has and its parent has not';
COMMENT ON COLUMN corpus_changes.characters_gained IS 'Unicode characters of their texts';
COMMENT ON COLUMN corpus_changes.documents_lost IS 'documents that the parent has and the version has not';
COMMENT ON COLUMN corpus_changes.characters_lost IS 'Unicode characters of their texts';
COMMENT ON COLUMN corpus_changes.duplicates IS 'documents filtered for this version that were copies of earlier ones, or of one another: duplicates() lists them';

CREATE TABLE IF NOT EXISTS corpus_moves (
    corpus VARCHAR NOT NULL, moved TIMESTAMPTZ NOT NULL, version VARCHAR, version_before VARCHAR, action VARCHAR,
    reason VARCHAR,
    PRIMARY KEY (corpus, moved));
COMMENT ON TABLE corpus_moves IS 'When which version of a corpus became the one in use, and by what.';
COMMENT ON COLUMN corpus_moves.corpus IS 'corpora.name';
COMMENT ON COLUMN corpus_moves.moved IS 'when';
COMMENT ON COLUMN corpus_moves.version IS 'the version in use from then on';
COMMENT ON COLUMN corpus_moves.version_before IS 'the version in use until then; NULL for the first';
COMMENT ON COLUMN corpus_moves.action IS 'refresh, rollback or forget';
COMMENT ON COLUMN corpus_moves.reason IS 'what the user gave as reason of a rollback or of forgetting a host; NULL for a refresh';

CREATE TABLE IF NOT EXISTS corpus_units (
    version VARCHAR NOT NULL, unit_id VARCHAR NOT NULL, documents_key VARCHAR, PRIMARY KEY (version, unit_id));
COMMENT ON TABLE corpus_units IS 'Which work units a corpus version was made of.';
COMMENT ON COLUMN corpus_units.version IS 'corpora.version';
COMMENT ON COLUMN corpus_units.unit_id IS 'work_units.unit_id';
COMMENT ON COLUMN corpus_units.documents_key IS 'document settings that the version took the unit by; NULL in records of before they were kept';

CREATE TABLE IF NOT EXISTS checks (
    version VARCHAR NOT NULL, name VARCHAR NOT NULL, value DOUBLE, bound DOUBLE, passed BOOLEAN,
    PRIMARY KEY (version, name));
COMMENT ON TABLE checks IS 'What each corpus version was found to be like before it was trained on, and whether that was good enough.';
COMMENT ON COLUMN checks.version IS 'corpora.version';
COMMENT ON COLUMN checks.name IS 'field of `checks` in the config: min_documents, min_language_share, max_duplicate_rate or max_contamination';
COMMENT ON COLUMN checks.value IS 'what was measured: a number of documents, or a share between 0 and 1';
COMMENT ON COLUMN checks.bound IS 'the config''s limit when it was last checked, in the unit of value';
COMMENT ON COLUMN checks.passed IS 'whether the value is within the limit; no flow trains on a corpus where it is not';

CREATE TABLE IF NOT EXISTS models (
    model_id VARCHAR NOT NULL PRIMARY KEY, source VARCHAR, weights_hash VARCHAR, parent_model_id VARCHAR,
    parameters BIGINT, created TIMESTAMPTZ);
COMMENT ON TABLE models IS 'Bases and the models that runs made of them. parent_model_id is NULL for a base.';
COMMENT ON COLUMN models.model_id IS 'hash that names the model in all tables; the run_id for a model that a run made';
COMMENT ON COLUMN models.source IS 'hub id, folder or file given by the user; pretrained here; or run';
COMMENT ON COLUMN models.weights_hash IS 'sha256 of the weights in hex, or id@commit for a model of the hub; NULL for a model that a run made';
COMMENT ON COLUMN models.parent_model_id IS 'the base that the run started from; NULL for a base';
COMMENT ON COLUMN models.parameters IS 'number of parameters, tied ones once; NULL unless the base was pretrained here';
COMMENT ON COLUMN models.created IS 'when it was published; for a base given by the user, when a flow last took it up';

CREATE TABLE IF NOT EXISTS runs (
    run_id VARCHAR NOT NULL PRIMARY KEY, name VARCHAR, base_model_id VARCHAR, model_id VARCHAR, method VARCHAR,
    settings VARCHAR, seed BIGINT, status VARCHAR, error VARCHAR,
    learning_rate DOUBLE, extra_parameters BIGINT, share_non_embedding DOUBLE, share_total DOUBLE,
    tokens BIGINT, seconds DOUBLE, peak_memory BIGINT, precision VARCHAR, precision_reason VARCHAR, created TIMESTAMPTZ);
COMMENT ON TABLE runs IS 'One training: a method on a base with inputs, settings and a seed (run_id is the hash of these).';
COMMENT ON COLUMN runs.run_id IS 'hash of base, method, training settings, inputs and seed';
COMMENT ON COLUMN runs.name IS 'what tables and plots call the run: the method''s name in the config, else the method';
COMMENT ON COLUMN runs.base_model_id IS 'models.model_id of the base';
COMMENT ON COLUMN runs.model_id IS 'models.model_id of the outcome, equal to run_id';
COMMENT ON COLUMN runs.method IS 'finetune, lora, dora, adapter, neutral_residues, llama_pro, or interpolation between base and finetuned';
COMMENT ON COLUMN runs.settings IS 'method and training settings as JSON, and base.vocabulary where it is trimmed';
COMMENT ON COLUMN runs.seed IS 'seed of the weights'' initialisation and of the batches';
COMMENT ON COLUMN runs.status IS 'done or failed; a failed run is tried again by the next flow';
COMMENT ON COLUMN runs.error IS 'why the last attempt failed; NULL if it is done';
COMMENT ON COLUMN runs.learning_rate IS 'peak learning rate; NULL if it failed';
COMMENT ON COLUMN runs.extra_parameters IS 'parameters added to the base''s, 0 for finetune; NULL if it failed';
COMMENT ON COLUMN runs.share_non_embedding IS 'extra parameters over the base''s parameters without embeddings; NULL if it failed';
COMMENT ON COLUMN runs.share_total IS 'extra parameters over all of the base''s parameters; NULL if it failed';
COMMENT ON COLUMN runs.tokens IS 'tokens trained on, with those of the teacher that it was distilled from; NULL if it failed';
COMMENT ON COLUMN runs.seconds IS 'wall time of the training steps, over all resumptions, and of the teacher''s that it was distilled from; NULL if it failed';
COMMENT ON COLUMN runs.peak_memory IS 'most memory used, in bytes: the GPU''s where there is one, else resident memory; NULL if it failed';
COMMENT ON COLUMN runs.precision IS 'of matrix products in training: fp32 or bf16; NULL if it failed, or for runs from before it was a choice';
COMMENT ON COLUMN runs.precision_reason IS 'why that precision: as set, or what was seen of the processor';
COMMENT ON COLUMN runs.created IS 'when the run was published, or when its last attempt failed';

CREATE TABLE IF NOT EXISTS run_inputs (
    run_id VARCHAR NOT NULL, corpus_version VARCHAR NOT NULL, role VARCHAR NOT NULL, language VARCHAR, share DOUBLE,
    PRIMARY KEY (run_id, corpus_version, role));
COMMENT ON TABLE run_inputs IS 'What a run was trained on. role is new (the language to learn) or original (the one to keep).';
COMMENT ON COLUMN run_inputs.run_id IS 'runs.run_id';
COMMENT ON COLUMN run_inputs.corpus_version IS 'corpora.version; base-... for text that the base wrote itself';
COMMENT ON COLUMN run_inputs.role IS 'new (the language to learn) or original (the one to keep)';
COMMENT ON COLUMN run_inputs.language IS 'ISO 639-3, of the text';
COMMENT ON COLUMN run_inputs.share IS 'share of all training sequences; 0 is recorded too';

CREATE TABLE IF NOT EXISTS eval_sets (
    eval_id VARCHAR NOT NULL PRIMARY KEY, name VARCHAR, language VARCHAR, text_domain VARCHAR, corpus_version VARCHAR,
    content_hash VARCHAR, chance DOUBLE, parallel_to VARCHAR);
COMMENT ON TABLE eval_sets IS 'Held-out text, further texts and tasks, pinned by content hash, so that a refresh does not move what is compared.';
COMMENT ON COLUMN eval_sets.eval_id IS 'hash of the name and the content hash';
COMMENT ON COLUMN eval_sets.name IS 'name of the corpus whose held-out split it is, of the text, or of the task';
COMMENT ON COLUMN eval_sets.language IS 'ISO 639-3';
COMMENT ON COLUMN eval_sets.text_domain IS 'what it is about, in the config''s or the task file''s words';
COMMENT ON COLUMN eval_sets.corpus_version IS 'corpora.version of the first version that had this held-out split; NULL for a text or a task';
COMMENT ON COLUMN eval_sets.content_hash IS 'hash in hex over the held-out documents (ids and texts), the text''s documents or the task''s items, in order';
COMMENT ON COLUMN eval_sets.chance IS 'accuracy or auc that guessing gives on a task; NULL for text, and where it is not known';
COMMENT ON COLUMN eval_sets.parallel_to IS 'eval_id of the text that says the same in another language, document by document; NULL where there is none';

CREATE TABLE IF NOT EXISTS run_eval_sets (
    run_id VARCHAR NOT NULL, eval_id VARCHAR NOT NULL, settings_hash VARCHAR, PRIMARY KEY (run_id, eval_id));
COMMENT ON TABLE run_eval_sets IS 'The sets that the config of a run''s last evaluation named; figures on others, or by other settings, stay out of the views.';
COMMENT ON COLUMN run_eval_sets.run_id IS 'runs.run_id';
COMMENT ON COLUMN run_eval_sets.eval_id IS 'eval_sets.eval_id';
COMMENT ON COLUMN run_eval_sets.settings_hash IS 'settings of that evaluation; NULL in records of before they were kept';

CREATE TABLE IF NOT EXISTS evaluations (
    model_id VARCHAR NOT NULL, step BIGINT NOT NULL, eval_id VARCHAR NOT NULL, settings_hash VARCHAR NOT NULL,
    metric VARCHAR NOT NULL, value DOUBLE, n BIGINT, stderr DOUBLE,
    PRIMARY KEY (model_id, step, eval_id, settings_hash, metric));
COMMENT ON TABLE evaluations IS 'Figures of any model on any evaluation set. step is 0 for a base.';
COMMENT ON COLUMN evaluations.model_id IS 'models.model_id';
COMMENT ON COLUMN evaluations.step IS 'training steps of the model; 0 for a base';
COMMENT ON COLUMN evaluations.eval_id IS 'eval_sets.eval_id';
COMMENT ON COLUMN evaluations.settings_hash IS 'hash of what bears on the figure, spelt out in evaluation_settings: only figures of one hash compare';
COMMENT ON COLUMN evaluations.metric IS 'on text bits_per_byte, nats_per_token, perplexity; of tasks acc, acc_norm (by characters), acc_bytes, auc, nats_per_word, perplexity; of a run beside its base kl_to_base, greedy_agreement';
COMMENT ON COLUMN evaluations.value IS 'the figure: bits per UTF-8 byte, nats per token of the model''s tokenizer or per word, exp of nats: less is better; of acc, acc_norm, acc_bytes and auc a share from 0 to 1: more is better; greedy_agreement is a share, kl_to_base in nats per token';
COMMENT ON COLUMN evaluations.n IS 'documents or items measured';
COMMENT ON COLUMN evaluations.stderr IS 'standard error of value over documents or items, in its unit, of tasks by bootstrap; NULL if fewer than two were measured';

CREATE TABLE IF NOT EXISTS evaluation_settings (
    settings_hash VARCHAR NOT NULL PRIMARY KEY, settings VARCHAR);
COMMENT ON TABLE evaluation_settings IS 'How figures were taken: windows, stride and opening token on text; kind, examples and truncation of tasks.';
COMMENT ON COLUMN evaluation_settings.settings_hash IS 'evaluations.settings_hash';
COMMENT ON COLUMN evaluation_settings.settings IS 'the settings as JSON';

CREATE TABLE IF NOT EXISTS evaluation_items (
    model_id VARCHAR NOT NULL, step BIGINT NOT NULL, eval_id VARCHAR NOT NULL, settings_hash VARCHAR NOT NULL,
    metric VARCHAR NOT NULL, parts VARCHAR[], numerators DOUBLE[], denominators DOUBLE[],
    PRIMARY KEY (model_id, step, eval_id, settings_hash, metric));
COMMENT ON TABLE evaluation_items IS 'What each item or document adds to a figure: value = sum of numerators / sum of denominators. Lists are in the set''s order, the same for every model, so that two models can be paired.';
COMMENT ON COLUMN evaluation_items.model_id IS 'models.model_id';
COMMENT ON COLUMN evaluation_items.step IS 'training steps of the model; 0 for a base';
COMMENT ON COLUMN evaluation_items.eval_id IS 'eval_sets.eval_id';
COMMENT ON COLUMN evaluation_items.settings_hash IS 'evaluation_settings.settings_hash';
COMMENT ON COLUMN evaluation_items.metric IS 'as in evaluations; not perplexity, which is no ratio of sums';
COMMENT ON COLUMN evaluation_items.parts IS 'part of the set that each item belongs to (a phenomenon of BLiMP, a subject of MMLU); NULL where it has none';
COMMENT ON COLUMN evaluation_items.numerators IS 'bits, nats, or 1 where the answer is right and 0 where not; of auc, DeLong''s pseudo-value';
COMMENT ON COLUMN evaluation_items.denominators IS 'UTF-8 bytes or tokens of a document; 1 for an item of a task';

CREATE TABLE IF NOT EXISTS training_steps (
    run_id VARCHAR NOT NULL, step BIGINT NOT NULL, tokens BIGINT, lm_loss DOUBLE, local_loss DOUBLE, alpha DOUBLE,
    kl_loss DOUBLE, learning_rate DOUBLE, tokens_per_second DOUBLE, mfu DOUBLE, gradient_norm DOUBLE,
    open_rate_new DOUBLE, open_rate_original DOUBLE,
    PRIMARY KEY (run_id, step));
COMMENT ON TABLE training_steps IS 'The course of a training, also of a base pretrained here (run_id is then its model_id).';
COMMENT ON COLUMN training_steps.run_id IS 'runs.run_id, or models.model_id of a base pretrained here';
COMMENT ON COLUMN training_steps.step IS 'training steps done, from 1; the first, the last and every log_every-th have a row';
COMMENT ON COLUMN training_steps.tokens IS 'tokens trained on so far';
COMMENT ON COLUMN training_steps.lm_loss IS 'mean cross-entropy of this step''s batch, in nats per token; where the run is distilled (distil_from), the KL divergence from its teacher over new-language tokens in its place';
COMMENT ON COLUMN training_steps.local_loss IS 'mean of ||residue||1 / hidden size over layers and original-language tokens, before the weight alpha; NULL where alpha is 0';
COMMENT ON COLUMN training_steps.alpha IS 'weight of the local loss in the training loss; 0 where there is none';
COMMENT ON COLUMN training_steps.kl_loss IS 'mean KL divergence to the base over original-language tokens, in nats, before the weight kl_to_base; NULL where there is no such term';
COMMENT ON COLUMN training_steps.learning_rate IS 'of this step';
COMMENT ON COLUMN training_steps.tokens_per_second IS 'tokens trained on per second since the row before, or since the process started';
COMMENT ON COLUMN training_steps.mfu IS 'share of the devices'' peak arithmetic that those tokens needed, frozen weights counted as such (nr_core/training/flops.py); NULL on a CPU and where the peak is not known';
COMMENT ON COLUMN training_steps.gradient_norm IS 'L2 norm of the gradient of all trainable parameters, before clipping';
COMMENT ON COLUMN training_steps.open_rate_new IS 'share of the batch''s new-language tokens whose gate is open (> 0), mean over layers; NULL without gates or such tokens';
COMMENT ON COLUMN training_steps.open_rate_original IS 'the same of its original-language tokens; NULL without gates or such tokens';

CREATE TABLE IF NOT EXISTS gate_activity (
    model_id VARCHAR NOT NULL, eval_id VARCHAR NOT NULL, layer INTEGER NOT NULL, open_rate DOUBLE, residue_size DOUBLE,
    PRIMARY KEY (model_id, eval_id, layer));
COMMENT ON TABLE gate_activity IS 'How often a layer''s gate is open on a set, and the mean size of its residue (L1 norm over hidden size).';
COMMENT ON COLUMN gate_activity.model_id IS 'models.model_id';
COMMENT ON COLUMN gate_activity.eval_id IS 'eval_sets.eval_id';
COMMENT ON COLUMN gate_activity.layer IS 'layer of the base, from 0; of gated rows, the embedding is -1 and the head one after the last layer';
COMMENT ON COLUMN gate_activity.open_rate IS 'share of the set''s scored tokens whose gate is open (> 0); NULL for adapters without a gate';
COMMENT ON COLUMN gate_activity.residue_size IS 'mean over the scored tokens of ||residue||1 / hidden size';
