"""The scheduler: owner of the catalog and of all runs."""
