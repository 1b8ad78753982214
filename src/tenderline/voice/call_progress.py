"""Stub."""


class CallProgress:
    """x"""

    def feed(self, frame: bytes, payload_type: int) -> str | None:
        """x"""
        return None
