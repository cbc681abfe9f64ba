"""Basic authentication against bcrypt hashes, so that a guesser costs little and keeps nobody else waiting."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

_MOST_KNOWN = 128
_MOST_WAITING = 8
_BCRYPT_BYTES = 72  # bcrypt never looked further; its library is strict about it now
#: Compared with where the user does not exist, so that the time of the answer does not tell. Of no password at all.
_NOBODY = "$2b$10$" + "." * 22 + "/" * 31


class BusyError(Exception):
    """Too many unknown passwords are being looked at."""


class Passwords:
    """Whether a request carries one of the users' passwords.

    bcrypt takes a tenth of a second by design. It runs in one thread, so it takes one processor at most, and a
    password that was right is remembered (as a keyed digest), so that a scrape never waits behind a guesser.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "jobtelemetry-bcrypt")
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._waiting = 0

    async def right(self, users: Mapping[str, str], authorization: str) -> bool:
        """Whether the header ``Authorization`` has a user and the password of that user.

        Raises:
            BusyError: It cannot be found out now.
        """
        credentials = _basic(authorization)
        if credentials is None:
            return False
        user, password = credentials
        hashed = users.get(user)
        # The lengths keep one user's name from running into another's password.
        parts = (user.encode(), (hashed or "").encode(), password)
        said = hmac.new(self._key, b"".join(b"%d:%s" % (len(part), part) for part in parts), hashlib.sha256).digest()
        if said in self._known:
            self._known.move_to_end(said)
            return True
        if self._waiting >= _MOST_WAITING:
            raise BusyError
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            fits = await loop.run_in_executor(self._thread, _fits, password, hashed or _NOBODY)
        finally:
            self._waiting -= 1
        if fits and hashed:
            self._known[said] = None
            while len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        return fits and hashed is not None

    def close(self) -> None:
        """Nothing more will be asked."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _basic(authorization: str) -> tuple[str, bytes] | None:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, ValueError):
        return None


def _fits(password: bytes, hashed: str) -> bool:
    import bcrypt

    try:
        return bcrypt.checkpw(password[:_BCRYPT_BYTES], hashed.encode())
    except ValueError:
        return False
