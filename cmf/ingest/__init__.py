"""What other tools recorded, brought in: read from their files and said as statements with stamps of their own."""
