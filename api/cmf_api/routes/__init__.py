"""The routes, a file a subject. Each parses, makes one call, and responds."""
