"""Language models that read what a retriever finds: one file a reader, one interface."""
