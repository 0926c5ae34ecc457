"""Questions, judgements, runs and passages in the formats that the field exchanges them in."""
