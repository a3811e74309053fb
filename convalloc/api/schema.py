"""OpenAPI of the envelope (drf-spectacular)."""

from drf_spectacular.openapi import AutoSchema


class EnvelopeSchema(AutoSchema):
    """AutoSchema."""
