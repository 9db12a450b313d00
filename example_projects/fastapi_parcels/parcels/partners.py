"""The companies that the shop calls: a bank and a carrier. Both misbehave in the ways that real ones do."""

from __future__ import annotations

from parcels.store import Store

BLOCKED_CARDS = frozenset({"4000-9999"})
SLOW_POSTCODES = frozenset({"28013", "100001"})


class CardDeclinedError(Exception):
    """The bank refuses this card; asking again does not help."""


class CarrierUnavailableError(Exception):
    """The carrier did not answer; asking again helps."""


def charge(store: Store, order_id: str, card: str, cents: int, reference: str) -> str:
    """Charge a card; the bank knows a reference that it has seen.

    Raises:
        CardDeclinedError: The card is blocked.
    """
    if card in BLOCKED_CARDS:
        raise CardDeclinedError(f"card {card} is blocked")
    store.record_payment(order_id, reference, cents)
    return reference


def print_label(store: Store, order_id: str, postcode: str) -> str:
    """Get a shipping label from the carrier.

    Raises:
        CarrierUnavailableError: The first two calls for some postcodes.
    """
    calls = store.count_carrier_call(order_id)
    if postcode in SLOW_POSTCODES and calls <= 2:
        raise CarrierUnavailableError(f"no answer from the carrier (call {calls})")
    store.log_effect(order_id, "label")
    return f"LBL-{order_id}-{postcode}"


def send_mail(store: Store, order_id: str, email: str, label: str) -> None:
    """Tell the customer that the parcel is on its way."""
    store.log_effect(order_id, "mail")
