"""The page on which the consumer confirms a payment, as a bank shows it for 3-D Secure: plain HTML without a script."""

from html import escape
from http import HTTPStatus

from starlette.responses import HTMLResponse

from gateway.parties.consumer_app import Decision
from gateway.sandbox.sales import Sale

DECISION = "decision"
"""Name of the buttons."""

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --edge: #8886; }}
body {{ font: 1.0625rem/1.5 system-ui, sans-serif; max-width: 26rem; margin: 0 auto; padding: 1.5rem 1rem; }}
h1 {{ font-size: 1.375rem; }}
dl {{ display: grid; grid-template-columns: auto 1fr; gap: .25rem 1rem; padding: 1rem; border: 1px solid var(--edge);
     border-radius: .5rem; }}
dd {{ margin: 0; overflow-wrap: anywhere; }}
form {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; }}
button {{ font: inherit; padding: .75rem; border: 1px solid var(--edge); border-radius: .5rem; cursor: pointer; }}
button[value=approve] {{ background: #0b5cad; color: #fff; }}
button:focus-visible {{ outline: 3px solid #f59e0b; outline-offset: 2px; }}
small {{ opacity: .8; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{content}
</main>
<p><small>Sandbox: no bank, no money.</small></p>
</body>
</html>
"""
_QUESTION = """<dl>
<dt>Amount</dt><dd>{amount}</dd>
<dt>Card</dt><dd>{brand} ending in {last_four}</dd>
<dt>Order</dt><dd>{order_id}</dd>
</dl>
<form method="post">
<button name="{decision}" value="{approve}">Approve</button>
<button name="{decision}" value="{decline}">Decline</button>
</form>"""


def question(sale: Sale) -> HTMLResponse:
    """Return the page that asks the consumer to confirm.

    Args:
        sale: that waits for it.
    """
    amount = f"{sale.amount_centis // 100}.{sale.amount_centis % 100:02d} {sale.currency}"
    parts = {"amount": amount, "brand": sale.card.brand, "last_four": sale.card.last_four, "order_id": sale.order_id}
    escaped = {name: escape(value) for name, value in parts.items()}
    content = _QUESTION.format(**escaped, decision=DECISION, approve=Decision.APPROVE, decline=Decision.DECLINE)
    return _page("Confirm this payment", content)


def thanks(*, approved: bool) -> HTMLResponse:
    """Return the page after the consumer's answer.

    Args:
        approved: what it was.
    """
    title = "Payment approved" if approved else "Payment declined"
    return _page(title, "<p>Go back to the app: it asks for the status by itself.</p>")


def nothing_to_confirm() -> HTMLResponse:
    """Return the page where no sale waits for the consumer, or not any more."""
    content = "<p>This payment was confirmed before, took too long, or is not known. Start it again in the app.</p>"
    return _page("Nothing to confirm", content, HTTPStatus.NOT_FOUND)


def _page(title: str, content: str, status: int = HTTPStatus.OK) -> HTMLResponse:
    return HTMLResponse(_PAGE.format(title=title, content=content), status, _HEADERS)
