"""The rpcs of saved cards: message in, one call on the domain, message out."""

from typing import Any

import grpc
from connectingparty.sale.v1.card_service_pb2 import (
    DeleteCardRequest,
    DeleteCardResponse,
    GetCardRequest,
    GetCardResponse,
    ListCardsRequest,
    ListCardsResponse,
    PutCardRequest,
    PutCardResponse,
    SetCardEmailRequest,
    SetCardEmailResponse,
)
from connectingparty.sale.v1.card_service_pb2_grpc import CardServiceServicer

from service.cards import Cards
from service.rpc.messages import card_message, optional
from service.vault import CardData

Context = grpc.aio.ServicerContext[Any, Any]


class CardServicer(CardServiceServicer):
    """`connectingparty.sale.v1.CardService` over the domain's cards."""

    def __init__(self, cards: Cards) -> None:
        self._cards = cards

    async def ListCards(self, request: ListCardsRequest, context: Context) -> ListCardsResponse:
        """See the proto."""
        cards, token = await self._cards.list(request.consumer_id, optional(request, "page_token"), request.page_size)
        return ListCardsResponse(cards=[card_message(card) for card in cards], next_page_token=token)

    async def GetCard(self, request: GetCardRequest, context: Context) -> GetCardResponse:
        """See the proto."""
        return GetCardResponse(card=card_message(await self._cards.get(request.consumer_id, request.client_card_id)))

    async def PutCard(self, request: PutCardRequest, context: Context) -> PutCardResponse:
        """See the proto."""
        data = CardData(
            number=request.card.number,
            month=request.card.expiry.month,
            year=request.card.expiry.year,
            first_name=request.card.holder.first_name,
            last_name=request.card.holder.last_name,
        )
        card = await self._cards.put(
            request.consumer_id, data, optional(request, "email"), optional(request, "client_card_id")
        )
        return PutCardResponse(card=card_message(card))

    async def DeleteCard(self, request: DeleteCardRequest, context: Context) -> DeleteCardResponse:
        """See the proto."""
        await self._cards.delete(request.consumer_id, request.client_card_id)
        return DeleteCardResponse()

    async def SetCardEmail(self, request: SetCardEmailRequest, context: Context) -> SetCardEmailResponse:
        """See the proto."""
        card = await self._cards.set_email(request.consumer_id, request.client_card_id, optional(request, "email"))
        return SetCardEmailResponse(card=card_message(card))
