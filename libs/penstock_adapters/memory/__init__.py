"""Every port in memory: the same rules as the real adapters, nothing durable, no waiting."""
