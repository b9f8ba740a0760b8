"""The catalog: workflows, agents, tokens, and the matching of triggers to runs."""
