"""Reviews the changed lines of a repository."""
