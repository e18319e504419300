"""The embedded detection set: drawn scenes with exact boxes and masks, made where they are needed."""

from detco_mm.datasets.embedded.dataset import make_embedded
from detco_mm.datasets.embedded.outlines import CLASS_NAMES
from detco_mm.datasets.embedded.scenes import SceneSpec

__all__ = ['CLASS_NAMES', 'SceneSpec', 'make_embedded']
