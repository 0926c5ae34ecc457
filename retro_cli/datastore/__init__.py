"""A key for every token of the database, by a language model: what kNN-LM looks up."""
