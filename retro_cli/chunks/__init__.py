"""Document -> Chunk: tokenizer, splitter, the Parquet schema, and the stage that runs them."""
