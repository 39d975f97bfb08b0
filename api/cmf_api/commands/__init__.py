"""The commands below `cmf server`: each works on what a server keeps, beside it or while it is at rest."""
