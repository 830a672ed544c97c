"""Tell whether a file is audio by its first bytes, whatever its name is.

It is a guess that costs one small read and opens no decoder: where it is wrong, the file is a row
that fails.
"""

from __future__ import annotations

import io

from uniaudio2.audio.containers.recognise import is_id3, recognise

LOOK_BYTES = 4096
# kinds of MP4 (ISO base media) that hold pictures alone
_BRANDS_OF_PICTURES = (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"mif1", b"crx ")


def holds_audio(head: bytes) -> bool:
    """Tell whether a file begins as one of a kind that holds audio, or video with audio.

    Args:
        head: the first `LOOK_BYTES` of the file, or fewer where it is shorter.
    """
    if is_id3(head):  # the audio may lie behind more of the tag than was read
        return True
    if head.startswith(b"\xff\xfe"):  # a text in UTF-16; of audio, MPEG layer I may begin so
        return False
    if head[4:8] == b"ftyp" and head[8:12] in _BRANDS_OF_PICTURES:
        return False
    return recognise(io.BytesIO(head)) is not None
