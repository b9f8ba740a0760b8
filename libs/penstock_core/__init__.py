"""Pure decisions: no clock, no randomness, no environment, no await."""
