"""Caly answers the telephone for voice agents: Exotel in, stream instructions out, every call on record."""

__version__ = "0.1.0"
