"""The executor: takes tasks from its pool's queue, runs them in a sandbox, reports results."""
