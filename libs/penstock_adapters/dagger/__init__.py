"""Sandboxes on a Dagger engine."""

from penstock_adapters.dagger.adapter import DaggerSandbox
from penstock_adapters.dagger.images import Image, default_image

__all__ = ["DaggerSandbox", "Image", "default_image"]
