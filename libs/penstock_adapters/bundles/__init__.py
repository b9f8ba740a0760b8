"""Agents' folders on this machine."""

from penstock_adapters.bundles.folders import (
    FolderBundles,
    default_roots,
    discover,
    read_bundle,
    sdk_folder,
)

__all__ = ["FolderBundles", "default_roots", "discover", "read_bundle", "sdk_folder"]
