"""The settings of what is refused though it is right, and of guesses."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Annotated

from pydantic import Field

from gateway.program.settings import ConfigurationError, Section
from gateway.program.values import DurationSetting
from service.endpoints import MAX_AMOUNT_CENTIS
from service.guesses import Slowness
from service.sale_limits import LimitSubject, SaleLimit


class SaleLimitSettings(Section):
    """How much may be sold within a time; see `service.sale_limits.SaleLimit`."""

    per: LimitSubject
    window: Annotated[DurationSetting, Field(ge=timedelta(seconds=1), le=timedelta(days=366))]
    sales: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    centis: Annotated[int, Field(ge=1, le=MAX_AMOUNT_CENTIS)] | None = None
    endpoint_id: str | None = None

    def to_limit(self) -> SaleLimit:
        """Return the limit.

        Raises:
            ValueError: as of `SaleLimit`.
        """
        return SaleLimit(**self.model_dump())


class GuessSettings(Section):
    """How failed attempts are slowed; see `service.guesses.Slowness`."""

    slowed: bool = True
    """Whether they are."""
    free: Annotated[int, Field(ge=0, le=1_000_000)] = 5
    max_delay: Annotated[DurationSetting, Field(le=timedelta(seconds=10))] = timedelta(seconds=2)
    max_held: Annotated[int, Field(ge=0, le=4096)] = 32
    floor: Annotated[DurationSetting, Field(le=timedelta(seconds=1))] = timedelta(milliseconds=5)


def slowness_of(settings: GuessSettings, in_flight: int) -> Slowness | None:
    """Return how failed attempts are slowed; None if they are not.

    Args:
        settings: of that.
        in_flight: how many requests the gateway works on at once; one whose answer is held back is among them.

    Raises:
        ConfigurationError: whoever guesses could keep everybody else out.
    """
    if not settings.slowed:
        return None
    if 2 * settings.max_held > in_flight:
        raise ConfigurationError(
            f"guesses.max_held: {settings.max_held} is more than half of http.limits.in_flight, {in_flight}"
        )
    return Slowness(settings.free, settings.max_delay, settings.max_held, settings.floor)


def sale_limits_of(settings: Sequence[SaleLimitSettings], endpoint_ids: Collection[str]) -> tuple[SaleLimit, ...]:
    """Return the limits that the settings describe.

    Args:
        settings: of the limits.
        endpoint_ids: of all endpoints that there are.

    Raises:
        ConfigurationError: one makes no sense, or counts what another one does.
    """
    limits: list[SaleLimit] = []
    counted = set()
    for position, limit in enumerate(settings):
        try:
            limits.append(limit.to_limit())
        except ValueError as error:
            raise ConfigurationError(f"sale_limits[{position}].{error}") from None
        if limit.endpoint_id is not None and limit.endpoint_id not in endpoint_ids:
            raise ConfigurationError(f"sale_limits[{position}].endpoint_id: there is no endpoint {limit.endpoint_id}")
        for name in ("sales", "centis"):
            what = (limit.per, limit.window, limit.endpoint_id, name)
            if getattr(limit, name) is not None and what in counted:
                raise ConfigurationError(f"sale_limits[{position}].{name}: another limit counts the same")
            counted.update([what] if getattr(limit, name) is not None else [])
    return tuple(limits)
