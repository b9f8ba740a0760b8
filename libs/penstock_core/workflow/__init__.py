"""The workflow language: validation, compiled plans, templates and conditions. All of it pure."""
