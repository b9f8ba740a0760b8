"""`penstock agent`: work on an agent's folder, without any service."""
