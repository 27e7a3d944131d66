"""One module per command, with `run(arguments, kubectl, terminal)`. They read, call what is pure, and act."""
