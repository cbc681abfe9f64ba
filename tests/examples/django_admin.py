"""Django-RQ's admin pages over jobs of an instrumented worker: ``python django_admin.py REDIS_URL``."""

from __future__ import annotations

import sys

import django
from django.conf import settings
from django.urls import path

settings.configure(
    SECRET_KEY="test",
    ALLOWED_HOSTS=["testserver"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=[
        *(f"django.contrib.{app}" for app in ("admin", "auth", "contenttypes", "sessions", "messages", "staticfiles")),
        "django_rq",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    STATIC_URL="static/",
    USE_TZ=True,
    RQ_QUEUES={"default": {"URL": sys.argv[1]}},
)
django.setup()

import django_rq  # noqa: E402
from django.contrib import admin  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402

import jobtelemetry  # noqa: E402

urlpatterns = [path("admin/", admin.site.urls)]

jobtelemetry.instrument()
call_command("migrate", verbosity=0)
browser = Client()
browser.force_login(User.objects.create_superuser("admin"))
queue = django_rq.get_queue("default")
jobs = [queue.enqueue(f"support.tested_jobs.{name}") for name in ("complete", "cancel", "fail")]
django_rq.get_worker("default").work(burst=True, logging_level="CRITICAL")
home = browser.get("/admin/django_rq/dashboard/", follow=True)
print("home", home.status_code)
for job in jobs:
    page = browser.get(f"{home.request['PATH_INFO']}queues/0/{job.id}/")
    status = job.get_status().value
    print(job.func_name.rpartition(".")[2], page.status_code, status, status in page.content.decode().lower())
