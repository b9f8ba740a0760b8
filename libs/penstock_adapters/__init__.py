"""Adapters: one package per vendor library or mechanism behind a port."""
