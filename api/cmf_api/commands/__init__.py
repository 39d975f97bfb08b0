"""The commands of a server's machine, below `cmf server` and beside it."""
