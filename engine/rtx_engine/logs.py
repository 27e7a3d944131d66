"""Structured logs: one JSON object a line on stdout, for our own lines and for those of uvicorn and other libraries."""

import logging
import sys

import structlog
from structlog.tracebacks import ExceptionDictTransformer


def configure(level: str, *, colour: str) -> None:
    """Send everything at or above `level` to stdout as JSON; each line names the colour of its pod."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        # Without the frames' locals: they hold tokens and passwords, and telling them stops the pod for 10 ms.
        structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.EventRenamer("message"),
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    structlog.contextvars.bind_contextvars(colour=colour)
    # uvicorn tells at INFO that it started and stopped, which the server says itself, with the reason.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    # picows tells of each connection; the metrics count them.
    logging.getLogger("picows").setLevel(logging.WARNING)
