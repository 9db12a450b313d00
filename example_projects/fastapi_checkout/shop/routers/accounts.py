"""Signing up and signing in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException
from fastapi.security import OAuth2PasswordRequestForm
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from durably_fastapi import DurableBackgroundTasks
from shop.database import Database
from shop.models import Account
from shop.post import CurrentPost
from shop.runtime import durably
from shop.schemas import Buyer, NewAccount, Token
from shop.security import CurrentBuyer, hash_password, is_password, token_for
from shop.settings import CurrentSettings

__all__ = ["router"]

router = APIRouter(tags=["accounts"])


@router.post("/accounts", status_code=201)
def sign_up(account: NewAccount, db: Database, tasks: DurableBackgroundTasks) -> Buyer:
    """Open an account, and send a welcome after the answer."""
    row = Account(name=account.name, email=account.email, password_hash=hash_password(account.password))
    db.add(row)
    try:
        db.commit()
    except IntegrityError as taken:
        raise HTTPException(409, f"{account.name} is taken") from taken
    tasks.add_task(send_welcome, row.name, row.email)
    return Buyer(id=row.id, name=row.name, email=row.email)


@durably.task
def send_welcome(name: str, email: str, post: CurrentPost) -> None:
    """Send the first mail of an account. Once the sign-up is answered, it is sent whatever happens to the process."""
    post.send(to=email, subject="Welcome", text=f"Welcome, {name}.", reference=f"welcome-{name}")


@router.post("/token")
def sign_in(form: Annotated[OAuth2PasswordRequestForm, Depends()], db: Database, settings: CurrentSettings) -> Token:
    """Exchange name and password for a token."""
    account = db.scalars(select(Account).where(Account.name == form.username)).one_or_none()
    if account is None or not is_password(form.password, account.password_hash):
        raise HTTPException(401, "name or password is wrong", {"www-authenticate": "Bearer"})
    return Token(access_token=token_for(account, settings))


@router.get("/me")
def me(buyer: CurrentBuyer) -> Buyer:
    """Tell who is signed in."""
    return buyer
