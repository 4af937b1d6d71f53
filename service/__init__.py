"""The SaleService: sessions, signing, endpoints and their durable store behind typed RPCs. Knows nothing of HTTP."""
