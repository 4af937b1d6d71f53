"""Whole sales as the consumer's app goes through them."""
