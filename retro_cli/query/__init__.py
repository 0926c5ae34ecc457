"""Query -> nearest chunks, their continuations and their sources."""
