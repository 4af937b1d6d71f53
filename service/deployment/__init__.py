"""What the server is run with elsewhere: units, a recipe of a container, manifests, monitoring."""
