"""The people who sign up. They have a browser and a mailbox; when a request is cut, they look, and try again."""

from __future__ import annotations

import enum
import re
import threading
import time
from dataclasses import dataclass, field

import httpx

from demo.place import PATIENCE_SECONDS, Place, until

__all__ = ["Browser", "Habit", "Person"]

PASSWORD = "correct horse battery"
_AGAIN_AFTER_SECONDS = 0.1
_LINK = re.compile(r"http://\S+/accounts/confirm/\S+")
_IS_THERE = "Your account is there"
_ENDS = re.compile(f"{_IS_THERE}|Nobody opened the link")
_BAD_REQUEST, _GONE = 400, 410


class Habit(enum.Enum):
    """What somebody does with the mail; the value is for people."""

    QUICK = "opens the link"
    LATE = "opens it after the crash"
    NEVER = "never opens it"


@dataclass
class Browser:
    """A browser: cookies, forms, and somebody who presses the button again."""

    url: str
    cuts: int = 0
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        """Open it."""
        self.http = httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    def get(self, path: str) -> httpx.Response:
        """Look at a page, until it is there."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                return self.http.get(path)
            except httpx.TransportError:
                self.cuts += 1
                time.sleep(_AGAIN_AFTER_SECONDS)
        raise TimeoutError(f"no answer from {path}")

    def post(self, path: str, form: dict[str, str] | None = None, page: str | None = None) -> httpx.Response | None:
        """Fill in the form of a page and send it; None if that was cut, and nobody knows what came of it."""
        self.get(page or path)
        data = {"csrfmiddlewaretoken": self.http.cookies.get("csrftoken") or "", **(form or {})}
        try:
            return self.http.post(path, data=data, headers={"Referer": self.url})
        except httpx.TransportError:
            self.cuts += 1
            return None

    def sign_in(self, name: str, password: str, path: str = "/accounts/login/") -> bool:
        """Sign in; gives whether it worked."""
        answer = self.post(path, {"username": name, "password": password})
        return answer is not None and answer.is_redirect


@dataclass
class Person:
    """Somebody, and what came of it.

    Attributes:
        place: Where the project is.
        name: Their name, and that of their mailbox.
        habit: What they do with the mail.
        orders: What they want: products, and how many of each.
        gives_back: Whether they give the first order back.
        restarted: Set when the project runs again.
        was_gone: The link did not work any more when they opened it.
        refused: Orders that the shop did not take.
    """

    place: Place
    name: str
    habit: Habit
    restarted: threading.Event
    orders: tuple[tuple[str, int], ...] = ()
    gives_back: bool = False
    was_gone: bool = False
    refused: int = 0
    browser: Browser = field(init=False)

    def __post_init__(self) -> None:
        """Open a browser."""
        self.browser = Browser(self.place.url)

    @property
    def email(self) -> str:
        """Their mailbox."""
        return f"{self.name}@home.example"

    def live(self) -> None:
        """Do everything, from the form to what was ordered."""
        self.sign_up()
        if self.habit is Habit.NEVER:
            return
        link = until(f"the mail to {self.name}", self._link)
        if self.habit is Habit.LATE:
            self.restarted.wait(PATIENCE_SECONDS)
        page = self._confirm(link.removeprefix(self.place.url))
        if not self.was_gone:
            found = until(f"the account of {self.name}", lambda: _ENDS.search(self.browser.get(page).text))
            self.was_gone = found[0] != _IS_THERE
        if self.was_gone:
            return
        until(f"{self.name} to be let in", lambda: self.browser.sign_in(self.name, PASSWORD))
        for sku, quantity in self.orders:
            self._order(sku, quantity)
        if self.gives_back:
            page = until(f"the parcel to {self.name}", self._return_form)
            self._until_answered(page, "/orders/")

    def sign_up(self) -> None:
        """Fill in the form; "taken" after a cut says that the first time had worked."""
        form = {"username": self.name, "email": self.email, "password": PASSWORD}
        while (answer := self.browser.post("/accounts/sign-up/", form)) is None:
            time.sleep(_AGAIN_AFTER_SECONDS)
        if answer.status_code == _BAD_REQUEST and self.browser.cuts and "taken" in answer.text:
            return
        if not answer.is_redirect:
            raise RuntimeError(f"{self.name} could not sign up: {answer.status_code} {answer.text[:500]}")

    def _link(self) -> str | None:
        mine = [mail.text for mail in self.place.mails() if mail.to == self.email and mail.key.startswith("confirm-")]
        return _LINK.findall(mine[0])[0] if mine else None

    def _confirm(self, path: str) -> str:
        """Press the button, and give the page that it leads to."""
        answer = self._until_answered(path, path)
        self.was_gone = answer.status_code == _GONE
        return answer.headers.get("location", "")

    def _until_answered(self, path: str, page: str) -> httpx.Response:
        while (answer := self.browser.post(path, page=page)) is None:
            time.sleep(_AGAIN_AFTER_SECONDS)
        return answer

    def _order(self, sku: str, quantity: int) -> None:
        """Order something; after a cut look whether it is in the list, and order again if it is not."""
        before = self._listed()
        while True:
            answer = self.browser.post("/orders/", {"product": sku, "quantity": str(quantity)})
            if answer is not None:
                self.refused += answer.status_code == _BAD_REQUEST
                return
            if self._listed() > before:
                return

    def _listed(self) -> int:
        return self.browser.get("/orders/").text.count("<tr>")

    def _return_form(self) -> str | None:
        found = re.search(r'action="(/orders/[^"]+/return/)"', self.browser.get("/orders/").text)
        return found[1] if found else None
