"""Signing in: passwords, bearer tokens, and the dependencies that ask for them."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import UTC, datetime
from typing import Annotated

import jwt
from fastapi import Depends, HTTPException
from fastapi.security import OAuth2PasswordBearer
from sqlalchemy import select

from shop.database import Database
from shop.models import Account
from shop.schemas import Buyer
from shop.settings import CurrentSettings, Settings

__all__ = ["CurrentBuyer", "Staff", "current_buyer", "hash_password", "is_password", "staff", "token_for"]

_ALGORITHM = "HS256"

bearer = OAuth2PasswordBearer(tokenUrl="token")


def hash_password(password: str) -> str:
    """Give what is kept of a password."""
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}:{_digest(password, salt)}"


def is_password(password: str, kept: str) -> bool:
    """Tell whether this is the password that was kept."""
    salt, _, digest = kept.partition(":")
    return hmac.compare_digest(_digest(password, bytes.fromhex(salt)), digest)


def _digest(password: str, salt: bytes) -> str:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1).hex()


def token_for(account: Account, settings: Settings) -> str:
    """Sign a token for an account."""
    claims = {"sub": account.name, "exp": datetime.now(UTC) + settings.token_lifetime}
    return jwt.encode(claims, settings.token_secret, _ALGORITHM)


def current_buyer(token: Annotated[str, Depends(bearer)], db: Database, settings: CurrentSettings) -> Buyer:
    """Give who sent the request.

    Raises:
        HTTPException: The token is not ours, is too old, or is of nobody.
    """
    stranger = HTTPException(401, "sign in first", {"www-authenticate": "Bearer"})
    try:
        name = jwt.decode(token, settings.token_secret, [_ALGORITHM])["sub"]
    except jwt.InvalidTokenError as problem:
        raise stranger from problem
    account = db.scalars(select(Account).where(Account.name == name)).one_or_none()
    if account is None:
        raise stranger
    return Buyer(id=account.id, name=account.name, email=account.email, is_staff=account.is_staff)


CurrentBuyer = Annotated[Buyer, Depends(current_buyer)]


def staff(buyer: CurrentBuyer) -> Buyer:
    """Let in only those who work here.

    Raises:
        HTTPException: They do not.
    """
    if not buyer.is_staff:
        raise HTTPException(403, "for staff only")
    return buyer


Staff = Annotated[Buyer, Depends(staff)]
