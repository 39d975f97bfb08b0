"""Files of ML Metadata, such as cmflib writes, brought in whole."""

from cmf.ingest.mlmd.file import MlmdFile
from cmf.ingest.mlmd.importing import Imported, bring_in

__all__ = ["Imported", "MlmdFile", "bring_in"]
