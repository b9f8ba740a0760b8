"""Git repositories, by the git program: its only home."""

from penstock_adapters.git.adapter import GitRepositories

__all__ = ["GitRepositories"]
