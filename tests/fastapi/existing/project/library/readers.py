"""Who is calling."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, HTTPException, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

TOKENS = {"token-ada": "ada", "token-grace": "grace"}
bearer = HTTPBearer(auto_error=False)


class Reader(BaseModel):
    """A reader who has proved who she is."""

    name: str


def current_reader(credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]) -> Reader:
    """Give the caller.

    Raises:
        HTTPException: The token is missing or wrong.
    """
    name = TOKENS.get(credentials.credentials) if credentials else None
    if name is None:
        raise HTTPException(401, "who are you?", headers={"www-authenticate": "Bearer"})
    return Reader(name=name)


CurrentReader = Annotated[Reader, Depends(current_reader)]
