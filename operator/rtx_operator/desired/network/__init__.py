"""The network: which pods may connect to which."""
