"""The access token that the app asks for."""

from gateway.conformance.answers import confirmed
from gateway.conformance.documents import member_of
from gateway.conformance.faults import Fault, NotTested
from gateway.conformance.requirements import FIELD, Subject
from gateway.conformance.trade import Trade

SUBJECT = Subject("auth", "Access tokens", FIELD)


@SUBJECT.must("request-access-token", "GET /auth/request-access-token gives session.accessToken of 32-128 characters.")
async def request_access_token(trade: Trade) -> str:
    """Ask for one."""
    if trade.terms.access_tokens:
        raise NotTested("--access-token says that the server gives none out")
    exchange = await trade.request_access_token()
    token = member_of(confirmed(exchange, "HTTP 200 with session.accessToken"), "session.accessToken")
    if not (isinstance(token, str) and 32 <= len(token) <= 128):
        raise Fault("session.accessToken as a string of 32-128 characters", exchange.told(), exchange)
    return token


@SUBJECT.must("fresh", "Every access token that is given out is another one.")
async def fresh(trade: Trade) -> None:
    """Ask for two."""
    one, other = await request_access_token(trade), await request_access_token(trade)
    if one == other:
        raise Fault("another access token at the second request", "the same one", await trade.request_access_token())
