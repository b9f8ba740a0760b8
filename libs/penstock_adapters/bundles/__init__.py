"""Agents' folders on this machine."""

from penstock_adapters.bundles.folders import FolderBundles, discover, read_bundle

__all__ = ["FolderBundles", "discover", "read_bundle"]
