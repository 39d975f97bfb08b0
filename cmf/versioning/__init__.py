"""What a run is made of: the code (git), the content (DVC's hashes)."""
