"""The jobs, which know nothing of telemetry but how to say that a job is not needed."""

from opentelemetry import trace

from jobtelemetry import Cancel


def index(page: int) -> int:
    """Index a page; its own span is below the execution's."""
    if page == 0:
        raise Cancel("empty_page")
    with trace.get_tracer(__name__).start_as_current_span("tokenise"):
        return page * 2
