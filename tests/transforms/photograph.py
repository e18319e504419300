"""One photograph in a file of every kind that is read."""

import numpy as np
from PIL import Image
from skimage import data

from tests.bad_files import encoded

PHOTO = np.ascontiguousarray(data.astronaut()[:160, 100:300])
SQUARE = Image.fromarray(PHOTO[:, :160])
GOOD = dict(
    jpeg=encoded(SQUARE),
    progressive=encoded(SQUARE, progressive=True),
    trailing_bytes=encoded(SQUARE) + b'camera notes',
    cmyk=encoded(SQUARE.convert('CMYK')),
    grey=encoded(SQUARE.convert('L')),
    grey_png=encoded(SQUARE.convert('L'), 'PNG'),
    bilevel=encoded(SQUARE.convert('1'), 'PNG'),
    palette=encoded(SQUARE.convert('P'), 'PNG'),
    gif=encoded(SQUARE.convert('P'), 'GIF'),
    alpha=encoded(SQUARE.convert('RGBA'), 'PNG'),
    grey_alpha=encoded(SQUARE.convert('LA'), 'PNG'),
    webp=encoded(SQUARE, 'WEBP'),
    bmp=encoded(SQUARE, 'BMP'),
    tiff=encoded(SQUARE, 'TIFF'),
    cmyk_tiff=encoded(SQUARE.convert('CMYK'), 'TIFF'),
)
