"""What other libraries log of a request."""

import logging
import sys

from aiohttp.http_exceptions import BadHttpMessage, LineTooLong

from libs.common.log import without_content


def record_of(error: Exception) -> logging.LogRecord:
    try:
        raise error
    except Exception:
        return logging.LogRecord("aiohttp.server", logging.ERROR, "", 0, "Error from %s", ("x",), sys.exc_info())


def test_a_request_that_is_no_http_is_logged_without_its_words() -> None:
    for error in (LineTooLong(b"Bearer SECRET", 8190), BadHttpMessage("Bearer SECRET")):
        record = record_of(error)
        assert without_content(record)
        assert "SECRET" not in logging.Formatter().format(record)
        assert type(error).__name__ in record.getMessage()
        assert record.levelno == logging.WARNING


def test_any_other_error_is_logged_as_it_is() -> None:
    record = record_of(ZeroDivisionError("here"))
    assert without_content(record)
    assert "here" in logging.Formatter().format(record)
