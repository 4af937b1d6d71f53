"""The two outside parties of a sale, the consumer's app and the payment gateway, as clients of somebody's server."""
