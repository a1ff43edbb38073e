"""How far the batch size can be raised: targets, laws in the batch size, and the regimes after You et al.."""

from __future__ import annotations
