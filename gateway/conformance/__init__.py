"""What must hold of anybody's Connecting Party server, and how that is found out over the wire alone."""
