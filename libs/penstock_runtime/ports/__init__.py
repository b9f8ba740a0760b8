"""Ports: the protocols through which the runtime meets the outside world."""
