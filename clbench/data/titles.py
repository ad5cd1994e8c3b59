"""What the data sets are called, with their sources. Needs nothing of what reads them: listing them stays quick."""

TITLES = {
    "coco": "COCO (Lin et al., ECCV 2014, arXiv 1405.0312)",
    "voc": "PASCAL VOC 2007 (Everingham et al., IJCV 2010)",
    "nuswide": "NUS-WIDE (Chua et al., CIVR 2009)",
    "digits": "made scenes of handwritten digits, nothing to download",
    "table": "your own images with labels in a CSV or Parquet file (scenario table)",
}
"""Name of a family of images, as in `ScenarioBuilder.dataset`, -> its title."""
