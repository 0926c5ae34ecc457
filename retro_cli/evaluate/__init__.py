"""How well a model predicts held-out text, and how much of that the neighbours do."""
