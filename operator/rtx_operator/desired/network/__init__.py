"""Which pods may connect to which."""
