"""The HTTP side: authentication, limits, routes."""
