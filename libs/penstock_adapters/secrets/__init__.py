"""Secrets of agents, from the environment, a folder of files, or a file of variables."""

from penstock_adapters.secrets.env_file import EnvFileSecrets
from penstock_adapters.secrets.environment import EnvironmentSecrets
from penstock_adapters.secrets.folder import FolderSecrets
from penstock_adapters.secrets.several import FirstOf, Told

__all__ = ["EnvFileSecrets", "EnvironmentSecrets", "FirstOf", "FolderSecrets", "Told"]
