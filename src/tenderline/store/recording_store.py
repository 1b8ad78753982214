"""Where recordings lie for good: any object store, one for plain ones and one for sensitive ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import obstore
from obstore.store import ObjectStore, from_url

from tenderline.config import Settings
from tenderline.core.errors import ConfigurationError

PLAIN_FOLDER = "recordings"
SENSITIVE_FOLDER = "recordings-sensitive"
SPOOL_FOLDER = "recordings-open"
PIECE_BYTES = 1 << 20


class RecordingStore:
    """Two stores, and the folder where recordings are written while the call lasts."""

    def __init__(self, settings: Settings) -> None:
        self.spool = settings.data_dir / SPOOL_FOLDER
        voice = settings.voice
        self._plain = _open(voice.recordings_url, settings.data_dir / PLAIN_FOLDER)
        self._sensitive = _open(voice.sensitive_recordings_url, settings.data_dir / SENSITIVE_FOLDER)

    def _of(self, sensitive: bool) -> ObjectStore:
        return self._sensitive if sensitive else self._plain

    async def keep(self, file: Path, path: str, *, sensitive: bool) -> None:
        """Moves a finished file there."""
        await obstore.put_async(self._of(sensitive), path, file)
        await asyncio.to_thread(file.unlink)

    async def read(self, path: str, *, sensitive: bool) -> bytes:
        """The whole file."""
        found = await obstore.get_async(self._of(sensitive), path)
        return bytes(await found.bytes_async())

    async def pieces(self, path: str, *, sensitive: bool) -> AsyncIterator[bytes]:
        """The file piece by piece, for whoever must not hold it whole."""
        found = await obstore.get_async(self._of(sensitive), path)
        async for piece in found.stream(min_chunk_size=PIECE_BYTES):
            yield bytes(piece)

    async def names(self, *, sensitive: bool) -> AsyncIterator[str]:
        """The paths of all files there."""
        async for listed in obstore.list(self._of(sensitive)):
            for one in listed:
                yield one["path"]

    async def delete(self, path: str, *, sensitive: bool) -> None:
        """Removes the file; one that is gone already is no error."""
        try:
            await obstore.delete_async(self._of(sensitive), path)
        except FileNotFoundError:
            return


def _open(url: str | None, folder: Path) -> ObjectStore:
    if url is None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        url = folder.absolute().as_uri()
    if urlsplit(url).scheme not in ("file", "s3", "gs", "az"):
        raise ConfigurationError(f"{url!r} is no place for recordings; write file:///…, s3://…, gs://… or az://….")
    try:
        return from_url(url)
    except (ValueError, OSError) as error:
        raise ConfigurationError(f"Recordings cannot go to {url!r}: {error}") from error
