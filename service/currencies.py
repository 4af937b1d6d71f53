"""Which currencies there are."""

from iso4217 import Currency

CURRENCIES = frozenset(currency.code for currency in Currency)
"""The alpha codes of ISO 4217, from the list that the `iso4217` package keeps current."""
