"""Rules that keep rows out of every answer: what they say, what they match, how they are kept."""
