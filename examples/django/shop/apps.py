"""Where Django starts, jobtelemetry does: for ``runserver``, gunicorn and ``manage.py rqworker`` alike."""

from django.apps import AppConfig

import jobtelemetry


class ShopConfig(AppConfig):
    """The shop."""

    name = "shop"

    def ready(self) -> None:
        """Instrument every process that loads the applications."""
        jobtelemetry.instrument()
