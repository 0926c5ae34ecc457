"""The lexical index: which chunks hold which words, for BM25 beside the vectors."""
