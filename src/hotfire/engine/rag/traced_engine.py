"""The scripted engine, which tells of each generation as a span of whoever asked for it.

TRACES=http://... python -m hotfire.engine.rag.traced_engine --port 8000 ...
"""

from dataclasses import replace

from hotfire.engine import scripted
from hotfire.engine.rag.tracing import SERVER, Tracer, caller


def main() -> None:
    """Serve as the scripted engine does, by its options."""
    tracer, close = Tracer.of_environment("engine"), scripted.close_books

    def close_books(
        engine: scripted.Engine,
        call: scripted.Call,
        asked: scripted.Prompted,
        record: scripted.Truth,
    ) -> None:
        close(engine, call, asked, record)
        span = tracer.begin("generate", SERVER, caller(call.headers))
        tracer.end(replace(span, began_ns=record.arrival_ns), record.end_ns)

    scripted.close_books = close_books
    scripted.main()


if __name__ == "__main__":
    main()
