"""What a language model reads: its text in chunks of its own tokens, and their neighbours."""
