"""Text of what was found: trees, tables, progress. Pure."""
