"""The bytes of a page's HTML and where its tags begin: found once, by array, for all that looks before extraction."""

from functools import cached_property

import numpy as np
import numpy.typing as npt

from pipelines.decode import UTF_8_MARK, Decoded


class Markup:
    """`html` is in UTF-8, so that a byte of a tag is never part of another character; `tags` are the places of `<`."""

    def __init__(self, html: bytes) -> None:
        self.html = html
        self.codes: npt.NDArray[np.uint8] = np.frombuffer(html, dtype=np.uint8)
        self.tags: npt.NDArray[np.intp] = (self.codes == ord("<")).nonzero()[0]

    @classmethod
    def of(cls, body: bytes, decoded: Decoded) -> "Markup":
        return cls(body.removeprefix(UTF_8_MARK) if decoded.is_whole else decoded.text.encode())

    @cached_property
    def first(self) -> npt.NDArray[np.uint8]:
        """The byte behind each `<`."""
        return self.after(self.tags, 1)

    def after(self, tags: npt.NDArray[np.intp], distance: int) -> npt.NDArray[np.uint8]:
        """The byte so far behind each of these `<`; the page's last byte where it ends before."""
        return self.codes.take(tags + distance, mode="clip")
