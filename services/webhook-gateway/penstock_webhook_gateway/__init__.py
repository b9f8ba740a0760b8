"""The webhook gateway: HTTP from outside, and the read model that answers it."""
