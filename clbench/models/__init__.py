"""Backbones, heads, losses, and the angle diagnostic.

from clbench.models import ModelOptions              # without torch, for listings
from clbench.models.network import build_model       # options -> Network
"""

from clbench.models.options import ModelOptions

__all__ = ["ModelOptions"]
