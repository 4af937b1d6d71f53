"""The worked signatures of the contract, as the conformance kit carries them."""

from gateway.conformance.signatures import VECTORS

__all__ = ["VECTORS"]
