"""Image files of every kind, and thousands of ways to spoil them, all from a seed."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image
from skimage import data

PHOTO = Image.fromarray(np.ascontiguousarray(data.astronaut()[:120, 100:260]))


def encoded(image, kind='JPEG', **options):
    """Return the bytes of a file that Pillow writes."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def skipped(step):
    """Return how many times a step, or a data set's, had to skip a file."""
    return sum(step.skips.by_reason.values())


def chunk(name, body, crc=None):
    """Return a chunk of a PNG."""
    return (
        struct.pack('>I', len(body)) + name + body + struct.pack('>I', zlib.crc32(name + body) if crc is None else crc)
    )


def png(width, height, rows, depth=8, colour=2, extra=b'', crc=None):
    """Return a PNG whose compressed rows may be anything."""
    header = struct.pack('>IIBBBBB', width, height, depth, colour, 0, 0, 0)
    start = b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + extra
    return start + chunk(b'IDAT', rows, crc) + chunk(b'IEND', b'')


def plain_png(width, height, depth=8, colour=0):
    """Return a PNG of zeros, a thousandth of its pixels in size."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    row = b'\0' * (1 + (width * channels * depth + 7) // 8)
    packer = zlib.compressobj(9)
    return png(width, height, b''.join([*(packer.compress(row) for _ in range(height)), packer.flush()]), depth, colour)


def oriented(orientation, mode='RGB'):
    """Return a JPEG that EXIF asks to turn."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(PHOTO.convert(mode), exif=exif)


def ycck():
    """Return a CMYK JPEG whose Adobe marker says YCCK."""
    content = bytearray(encoded(PHOTO.convert('CMYK')))
    content[content.index(b'Adobe') + 11] = 2
    return bytes(content)


def good_files():
    """Return name -> content of files that have to be decoded."""
    small = PHOTO.resize((40, 30))
    grey16 = Image.fromarray(np.asarray(PHOTO.convert('L')).astype(np.uint16) * 257)
    palette = PHOTO.convert('P')
    transparent = PHOTO.copy()
    transparent.putalpha(PHOTO.convert('L'))
    frames = dict(save_all=True, append_images=[small.rotate(90), small.rotate(180)])
    turned = Image.Exif()
    turned[0x0112] = 6
    files = {f'oriented{n}.jpg': oriented(n) for n in range(10)}
    files |= {f'oriented{n}-cmyk.jpg': oriented(n, 'CMYK') for n in (3, 6, 8)}
    files |= {
        'plain.jpg': encoded(PHOTO),
        'progressive.jpg': encoded(PHOTO, progressive=True),
        'grey.jpg': encoded(PHOTO.convert('L')),
        'cmyk.jpg': encoded(PHOTO.convert('CMYK')),
        'ycck.jpg': ycck(),
        'adobe-rgb.jpg': encoded(PHOTO, icc_profile=b'Adobe RGB (1998)' * 40),
        'trailing.jpg': encoded(PHOTO) + b'\0' * 500,
        'film-behind.jpg': encoded(PHOTO) + b'\xff\xda' * 600,
        'plain.png': encoded(PHOTO, 'PNG'),
        'alpha.png': encoded(transparent, 'PNG'),
        'la.png': encoded(PHOTO.convert('LA'), 'PNG'),
        'palette.png': encoded(palette, 'PNG', transparency=3),
        'palette-bytes.png': encoded(palette, 'PNG', transparency=bytes(range(200))),
        'bilevel.png': encoded(PHOTO.convert('1'), 'PNG'),
        'grey16.png': encoded(grey16, 'PNG'),
        'oriented-grey16.png': encoded(grey16, 'PNG', exif=turned),
        'interlaced-header.png': plain_png(20, 20, 16, 6),
        'i16.tif': encoded(grey16, 'TIFF'),
        'float.tif': encoded(PHOTO.convert('F'), 'TIFF'),
        'int32.tif': encoded(PHOTO.convert('I'), 'TIFF'),
        'lzw.tif': encoded(PHOTO, 'TIFF', compression='tiff_lzw'),
        'jpeg.tif': encoded(PHOTO, 'TIFF', compression='jpeg'),
        'lab.tif': encoded(PHOTO.convert('YCbCr'), 'TIFF'),
        'cmyk.tif': encoded(PHOTO.convert('CMYK'), 'TIFF'),
        'animated.gif': encoded(small, 'GIF', **frames),
        'plain.gif': encoded(palette, 'GIF'),
        'plain.webp': encoded(PHOTO, 'WEBP'),
        'lossless.webp': encoded(transparent, 'WEBP', lossless=True),
        'animated.webp': encoded(small, 'WEBP', **frames),
        'plain.bmp': encoded(PHOTO, 'BMP'),
        'plain.ppm': encoded(PHOTO, 'PPM'),
        'plain.jp2': encoded(PHOTO, 'JPEG2000'),
        'png-in.jpg': encoded(PHOTO, 'PNG'),
        'jpeg-in.png': encoded(PHOTO),
        'webp-in.gif': encoded(PHOTO, 'WEBP'),
        'huge-last-chunk.png': huge_chunk(b'IEND'),
        '1x1.png': plain_png(1, 1),
        '1x1.jpg': encoded(Image.new('RGB', (1, 1))),
        '1x3000.png': plain_png(1, 3000),
        '60000x1.png': plain_png(60000, 1),
        '65500x1.jpg': encoded(Image.new('RGB', (65500, 1))),
        '2x16000.webp': encoded(Image.new('RGB', (2, 16000)), 'WEBP'),
        '3000x2500.png': plain_png(3000, 2500),
    }
    return files


def patched(content, at, values):
    """Return the content with other bytes at a place."""
    return content[:at] + values + content[at + len(values) :]


def jpeg_promising(width, height, content=None):
    """Return a JPEG whose header says another size."""
    content = encoded(PHOTO) if content is None else content
    start = next(i for i in range(len(content)) if content[i] == 0xFF and content[i + 1] in (0xC0, 0xC2))
    return patched(content, start + 5, struct.pack('>HH', height, width))


def many_scans(count):
    """Return a progressive JPEG that refines the same pixels over and over."""
    content = encoded(PHOTO, progressive=True)
    last = content.rindex(b'\xff\xda')
    return content[:last] + content[last : last + 14] * count + content[last:]


def huge_chunk(before, content=None):
    """Return a PNG with a chunk that claims to be longer than the file: OpenCV reserves its 2 GB and fills them."""
    content = encoded(PHOTO, 'PNG') if content is None else content
    at = content.rindex(before) - 4
    return content[:at] + struct.pack('>I', 2**31 - 10) + b'\0\x99\xff3' + content[at:]


def with_true_checksums(content):
    """Return a PNG with the checksums that its spoilt chunks ought to have, so that they are looked at."""
    out, at = content[:8], 8
    while at + 12 <= len(content):
        length = min(int.from_bytes(content[at : at + 4], 'big'), len(content) - at - 12)
        out += chunk(content[at + 4 : at + 8], content[at + 8 : at + 8 + length])
        at += 12 + length
    return out


def bad_files():
    """Return name -> content of files of which no image can be made."""
    jpeg, webp = encoded(PHOTO), encoded(PHOTO, 'WEBP')
    rows = zlib.compress(b'\0' * 30000)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8))
    two_idats = encoded(noise, 'PNG')  # Pillow cuts the pixels every 64 kB
    return {
        'empty.jpg': b'',
        'empty.png': b'',
        'text.jpg': b'Not found: the page that you asked for is not here.\n' * 20,
        'html.png': b'<!DOCTYPE html><html><body>403 Forbidden</body></html>',
        'zip.webp': b'PK\x03\x04' + bytes(300),
        'pdf.jpg': b'%PDF-1.7\n' + bytes(300),
        'noise.jpg': np.random.default_rng(0).bytes(3000),
        'zeros.png': bytes(5000),
        'start-alone.jpg': jpeg[:2],
        'signature-alone.png': b'\x89PNG\r\n\x1a\n',
        'riff-alone.webp': webp[:12],
        'no-size.gif': b'GIF89a' + bytes(20),
        'bomb.png': png(60000, 60000, rows),
        'bomb.jpg': jpeg_promising(60000, 60000),
        'bomb.gif': patched(encoded(PHOTO.convert('P'), 'GIF'), 6, struct.pack('<HH', 60000, 60000)),
        'bomb.bmp': patched(encoded(PHOTO, 'BMP'), 18, struct.pack('<ii', 60000, 60000)),
        'bomb.ppm': b'P6 60000 60000 255\n' + bytes(100),
        'bomb.tif': b'II*\0\x08\0\0\0\x04\0'
        + b''.join(struct.pack('<HHII', *tag) for tag in ((256, 4, 1, 60000), (257, 4, 1, 60000), (262, 3, 1, 1)))
        + struct.pack('<HHII', 273, 4, 1, 100)
        + bytes(100),
        'bomb.webp': b'RIFF' + struct.pack('<I', 30) + b'WEBPVP8X' + struct.pack('<I', 10) + bytes(4)
        + (59999).to_bytes(3, 'little') + (59999).to_bytes(3, 'little') + bytes(8),
        'bomb-20000x20000.png': plain_png(20000, 20000, 1),
        'bad-crc.png': png(100, 100, rows, crc=0),
        'few-rows.png': png(100, 100, zlib.compress(b'\0' * 3000)),
        'rows-that-are-no-zlib.png': png(100, 100, b'no zlib' * 50),
        'bomb-in-ztxt.png': png(100, 100, rows, extra=chunk(b'zTXt', b'a\0\0' + zlib.compress(bytes(2**26), 9))),
        'many-scans.jpg': many_scans(600),
        'huge-middle-chunk.png': huge_chunk(b'IDAT', two_idats),
        'huge-first-chunk.png': huge_chunk(b'IDAT'),
        'postscript.jpg': b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n',
        'no-pixels.png': png(0, 0, rows),
        'no-width.bmp': patched(encoded(PHOTO, 'BMP'), 18, struct.pack('<ii', 0, 100)),
    }  # fmt: skip


def spoilt(content, rng) -> bytes:
    """Return the content cut, with other bits, with a run of other bytes, or with a piece moved."""
    way, size = rng.integers(8), max(len(content), 2)
    # Half of the damage in the headers, where the decisions are.
    at = int(rng.integers(min(size, 200) if rng.random() < 0.5 else size))
    if way == 0:
        return content[:at]
    if way in (1, 2):
        values = bytearray(content)
        for place in {at, *rng.integers(0, size, int(rng.integers(0, 8))).tolist()}:
            if place < len(values):
                values[place] ^= 1 << int(rng.integers(8))
        return bytes(values)
    run = int(rng.integers(1, 64))
    if way == 3:
        return patched(content, at, rng.bytes(run))
    if way == 4:
        return patched(content, at, bytes([int(rng.choice([0, 0xFF, 0x7F, 0x80]))]) * min(run, 8))
    if way == 5:
        return content[:at] + content[at + run :]
    if way == 6:
        other = int(rng.integers(size))
        return content[:at] + content[other : other + run] + content[at:]
    return content[:at] + rng.bytes(run) + content[at:]


def mutants(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of spoilt files; the same for the same seed."""
    rng = np.random.default_rng(seed)
    whole = [(name, content) for name, content in good_files().items() if len(content) < 200_000]
    for number in range(count):
        name, content = whole[rng.integers(len(whole))]
        for _ in range(int(rng.integers(1, 4))):
            content = spoilt(content, rng)
        if content.startswith(b'\x89PNG') and rng.random() < 0.5:
            content = with_true_checksums(content)
        yield f'{number:05d}-{name}', content
