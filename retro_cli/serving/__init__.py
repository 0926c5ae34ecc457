"""A database behind HTTP, with a page for people, and behind the Model Context Protocol."""
