"""The jobs. A coroutine is a job like any other: RQ runs it to its end."""

from jobtelemetry import Cancel


async def resize(picture: str) -> str:
    """Make a thumbnail of a picture that has none yet."""
    if picture.startswith("thumb_"):
        raise Cancel("is_a_thumbnail", detail=picture)
    return f"thumb_{picture}"
