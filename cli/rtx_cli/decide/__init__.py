"""What engines' objects mean: an engine's view, how an operation ended, what a change would do, what is wrong. Pure."""
