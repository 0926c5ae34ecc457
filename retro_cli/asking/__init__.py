"""A question into an answer with citations: prompts, readers of passages, servers, quotes."""
