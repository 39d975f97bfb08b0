"""A DVC pipeline, brought in: `dvc.lock` says what ran on what content, `dvc.yaml` what else is known of the stages."""

from cmf.ingest.dvc.stages import Ingested, check_there, ingest

__all__ = ["Ingested", "check_there", "ingest"]
