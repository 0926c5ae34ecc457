"""One reader per format. Each is a function ``documents(work: Reading) -> Records``."""
