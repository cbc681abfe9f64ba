"""Questions that a metric cannot answer, asked of the execution log: the engine of the command line.

``log`` reads the stream, ``entries`` says what one entry is, ``selection`` which are asked for and ``names`` what the
words of a user mean. ``stats``, ``top``, ``story`` and ``compare`` each answer one question. All but ``log``, ``names``
and ``story`` is pure.
"""
