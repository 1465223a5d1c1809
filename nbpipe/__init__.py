"""nbpipe: from a folder of documents to a classifier that can be explained, in three notebooks."""

__version__ = "0.1.0"
