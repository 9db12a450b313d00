"""What is in the database."""

from __future__ import annotations

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from reports.extensions import Base

__all__ = ["DoneStep", "Report", "Sale", "Subscription", "User"]


class User(Base):
    """Somebody who can log in; approvers release the reports of others."""

    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    email: Mapped[str]
    password_hash: Mapped[str]
    is_approver: Mapped[bool] = mapped_column(default=False)


class Sale(Base):
    """The sales of a day."""

    __tablename__ = "sale"
    id: Mapped[int] = mapped_column(primary_key=True)
    month: Mapped[str] = mapped_column(index=True)
    region: Mapped[str]
    cents: Mapped[int]


class Report(Base):
    """A report: `building`, then `waiting`, at last `released` or `refused`."""

    __tablename__ = "report"
    id: Mapped[str] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    month: Mapped[str]
    region: Mapped[str]
    status: Mapped[str] = mapped_column(default="building")
    cents: Mapped[int] = mapped_column(default=0)
    cents_before: Mapped[int] = mapped_column(default=0)
    text: Mapped[str] = mapped_column(default="")
    owner: Mapped[User] = relationship()

    def as_dict(self) -> dict[str, object]:
        """Give what clients see."""
        names = ("id", "month", "region", "status", "cents", "cents_before", "text")
        return {name: getattr(self, name) for name in names}


class Subscription(Base):
    """The released reports of a region, by mail, again and again."""

    __tablename__ = "subscription"
    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    region: Mapped[str]
    user: Mapped[User] = relationship()


class DoneStep(Base):
    """What a step has done to the database, written in the same transaction: the row makes it happen once.

    Attributes:
        repeats: How often the step came again because a crash had come between its commit and its record.
    """

    __tablename__ = "done_step"
    subject: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    about: Mapped[str]
    process: Mapped[int]
    repeats: Mapped[int] = mapped_column(default=0)
