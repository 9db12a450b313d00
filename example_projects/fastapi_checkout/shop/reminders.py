"""What happens by itself, later: an order sends itself a message that arrives after a week."""

from __future__ import annotations

from durably import Context
from shop.post import CurrentPost
from shop.runtime import durably
from shop.schemas import ReviewRequest

__all__ = ["ask_for_review", "reminders"]

reminders = durably.service("Reminders")


@reminders.handler()
async def ask_for_review(ctx: Context, request: ReviewRequest, post: CurrentPost) -> None:
    """Ask a buyer what they think."""
    await ctx.run_typed(
        "mail",
        post.send,
        to=request.email,
        subject="Are you happy?",
        text=f"What do you think of order {request.number}?",
        reference=f"review-{request.number}",
    )
