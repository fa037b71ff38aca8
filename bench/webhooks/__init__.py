"""Does anybody wait for an endpoint of somebody else, and what does a webhook cost?  `python -m bench.webhooks`

    python -m bench.webhooks beside     300 healthy endpoints alone, and beside 60 that hang and 60 that fail
    python -m bench.webhooks many       1,000 endpoints, 100 events a second, some dripping and some failing
    python -m bench.webhooks over       three times what one dispatcher can do: everything arrives, nothing twice
    python -m bench.webhooks log        a page of the log with 1,000,000 deliveries in it, beside one with 1,000
    python -m bench.webhooks backlog    410, lost access, pausing and deleting with 1,000,000 deliveries pending

The real process on the first core, PostgreSQL, RabbitMQ, publisher and endpoints on the others. Each event is for one
endpoint, and each endpoint is at a loopback address of its own. Prints Markdown.
"""
