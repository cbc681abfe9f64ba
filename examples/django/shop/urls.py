"""``/orders/7`` enqueues a job, ``/metrics`` is for Prometheus."""

import django_rq
from django.http import HttpRequest, HttpResponse
from django.urls import path
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

import jobtelemetry
from shop.jobs import send_receipt

registry = CollectorRegistry()
registry.register(jobtelemetry.Collector(django_rq.get_connection("default")))


def order(request: HttpRequest, number: int) -> HttpResponse:
    """Take an order; the receipt is sent later."""
    return HttpResponse(send_receipt.delay(number).id, status=202)


def metrics(request: HttpRequest) -> HttpResponse:
    """Show what Redis holds, in the format that the scraper asks for."""
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry), content_type=content_type)


urlpatterns = [path("orders/<int:number>", order), path("metrics", metrics)]
