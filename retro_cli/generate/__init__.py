"""Text from a model that reads: one decoding loop, shared by every kind of reader."""
