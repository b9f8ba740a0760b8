"""Small builders of what tests need: definitions, plans, whole runs."""
