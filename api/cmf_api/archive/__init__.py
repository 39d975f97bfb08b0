"""The archive of a server: everything that it accepted, as it was received, in the order in which it accepted it."""

from cmf_api.archive.frames import ChunkFrame, Frame, StatementsFrame, pack_lines
from cmf_api.archive.writing import Archive, NoArchive, Recorder, open_archive

__all__ = [
    "Archive",
    "ChunkFrame",
    "Frame",
    "NoArchive",
    "Recorder",
    "StatementsFrame",
    "open_archive",
    "pack_lines",
]
