"""Adapters make services and bind them in one call."""

from __future__ import annotations

from datetime import timedelta

import pytest

from durably import Service, VirtualObject, Workflow
from durably.endpoint import Endpoint
from durably.errors import RegistrationError
from durably.web.making import ServiceMaker


class Maker(ServiceMaker):
    """The least that an adapter adds."""

    def __init__(self) -> None:
        self.endpoint = Endpoint()

    @property
    def _registry(self) -> Endpoint:
        return self.endpoint


def test_what_is_made_is_bound():
    """Each kind takes the arguments of its class and is served from then on."""
    maker = Maker()
    made = [maker.service("a", inactivity_timeout=timedelta(seconds=1)), maker.object("b"), maker.workflow("c")]
    assert [type(each) for each in made] == [Service, VirtualObject, Workflow]
    assert list(maker.endpoint.services.values()) == made
    assert maker.service.__name__ == "service"


def test_a_name_is_given_once():
    """The second service of a name is refused."""
    maker = Maker()
    maker.bind(Service("a"))
    with pytest.raises(RegistrationError):
        maker.workflow("a")
