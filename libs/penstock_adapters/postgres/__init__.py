"""PostgreSQL: the event store behind the library's recorder, the read model, and the auditor."""
