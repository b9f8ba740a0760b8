"""Sandboxes on a Dagger engine."""

from penstock_adapters.dagger.adapter import DaggerSandbox
from penstock_adapters.dagger.images import Image, default_image
from penstock_adapters.dagger.surroundings import cli_program, engine_host
from penstock_adapters.dagger.waits import Waits

__all__ = ["DaggerSandbox", "Image", "Waits", "cli_program", "default_image", "engine_host"]
