"""Settings of the steps of this package. They need only pydantic; paths and worker counts never bear on content."""

from pipelines.settings.corpora import CorpusSettings, DedupSettings, PiiSettings
from pipelines.settings.documents import DocumentSettings, ExtractionSettings, OptOutSettings, QualityModelSettings
from pipelines.settings.sources import (
    CommonCrawlIndexSource,
    CommonCrawlSource,
    FetchSettings,
    SampleCrawlSource,
    Source,
    TextSource,
    WarcSource,
)
from pipelines.settings.strict import Language

__all__ = [
    "CommonCrawlIndexSource",
    "CommonCrawlSource",
    "CorpusSettings",
    "DedupSettings",
    "DocumentSettings",
    "ExtractionSettings",
    "FetchSettings",
    "Language",
    "OptOutSettings",
    "PiiSettings",
    "QualityModelSettings",
    "SampleCrawlSource",
    "Source",
    "TextSource",
    "WarcSource",
]
