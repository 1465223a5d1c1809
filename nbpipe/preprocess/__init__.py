"""The preprocess wing: a folder of documents becomes shards of text. Never imports torch."""
