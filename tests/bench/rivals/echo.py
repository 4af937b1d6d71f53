"""The least that an HTTP server in Python does: Starlette answers with the body that it was sent.

Run by the benchmark: `python -m tests.bench.rivals.echo`.
"""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.bench.rivals.serving import serve


async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type="application/json")


app = Starlette(
    routes=[
        Route("/sale/initiate-sale", echo, methods=["POST"]),
        Route("/sale/{invoice_id}/check", echo, methods=["POST"]),
    ]
)

if __name__ == "__main__":
    serve(app)
