"""The server: the central graph over REST. How a pushed record travels: `routes/journals` → `bodies` (read,
unpack, within limits) → `cmf.core.chunks` (what it says) → `writer` (one at a time, many in a transaction) → the store.
"""
