"""A version of a corpus is built: filter, deduplication, decontamination, split, shards, data card.

version          the steps in order; build: makes or finds a version and puts it into use
lineage          what is taken over from earlier versions; filter: rules over scores, as SQL
decontaminate    against evaluation sets; split: train and held out; text_steps: repair, personal data, bar lines
shards           the files of a version; rehydrate: copies repeated; read_documents: rows for them
summary          what is told of a version; data_card: for people
shared_versions  versions in a bucket
"""
