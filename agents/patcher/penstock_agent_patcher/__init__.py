"""Changes files of a git repository: a plan for a person to allow, then just that plan."""
