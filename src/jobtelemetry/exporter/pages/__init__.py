"""The pages for people: rendered on the server, without script or outside assets. Pure.

``frame`` is what all have around them, ``tables`` and ``charts`` what they are made of; ``overview`` is the page at
``/``, ``listing`` the whole of one table, ``worker``, ``failures`` and ``job`` what a click on a number leads to.
"""
