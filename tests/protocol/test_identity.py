"""Request identity accepts what a runtime signs, and nothing else."""

from __future__ import annotations

import random
import sys
from typing import Any

import base58
import pytest
from hypothesis import given
from hypothesis import strategies as st

from durably.errors import ConfigurationError, IdentityError, MissingExtraError
from durably.protocol.identity import KEY_PREFIX, SCHEME_HEADER, TOKEN_HEADER, RequestIdentity, signed_route
from tests.protocol.signing import NOW, ROUTE, Signer, claims, headers

SIGNER = Signer("ours")
OTHER = Signer("other")
IDENTITY = RequestIdentity([SIGNER.key])
FIELD_PRIME = 2**255 - 19


def accepts(
    token: str, path: str = ROUTE, *, now: float = NOW, scheme: str = "v1", identity: RequestIdentity = IDENTITY
) -> bool:
    """Tell whether a request with this token is accepted; anything but an `IdentityError` escapes."""
    try:
        identity.verify(headers(token, scheme), path, now=now)
    except IdentityError:
        return False
    return True


def test_a_signed_request_is_accepted():
    """What a runtime sends is accepted, from pairs and from a mapping."""
    IDENTITY.verify(headers(SIGNER.token()), ROUTE, now=NOW)
    IDENTITY.verify(dict(headers(SIGNER.token())), ROUTE, now=NOW)


def test_an_objects_key_in_the_token_is_accepted():
    """The runtime adds the key of an object as `sub`; up to 8 KiB of it fit."""
    assert accepts(SIGNER.token(claims(sub="k" * 8192)))


def test_discovery_is_signed_too():
    """A token for discovery opens discovery."""
    assert accepts(SIGNER.token(claims(aud="/discover")), "/restate/discover")


def test_without_keys_everything_is_accepted():
    """No keys means that the request's origin is checked elsewhere."""
    RequestIdentity([]).verify([], "/anything", now=NOW)
    RequestIdentity(()).verify(headers("nonsense"), ROUTE, now=NOW)


def test_each_of_several_keys_is_good():
    """Keys can be rotated: requests signed with any configured key pass, others do not."""
    both = RequestIdentity([SIGNER.key, OTHER.key])
    assert both.keys == (SIGNER.key, OTHER.key)
    assert accepts(SIGNER.token(), identity=both)
    assert accepts(OTHER.token(), identity=both)
    assert not accepts(Signer("stranger").token(), identity=both)


def test_another_runtimes_token_is_refused():
    """A good token of a stranger is no good here, whatever key it names."""
    assert not accepts(OTHER.token())
    assert not accepts(OTHER.token(kid=SIGNER.key))


def test_the_key_id_is_not_trusted():
    """A token is verified with the configured keys whatever `kid`, `jku` or `jwk` say."""
    assert accepts(SIGNER.token(kid=OTHER.key))
    own_key = {"kty": "OKP", "crv": "Ed25519", "x": base58.b58encode(OTHER.raw_key).decode()}
    assert not accepts(OTHER.token(jwk=own_key, jku="http://127.0.0.1:9/keys", x5u="http://127.0.0.1:9/"))


@pytest.mark.parametrize(
    "path",
    [
        "/invoke/Cart/add",
        "/restate/invoke/Cart/add",
        "/a/b/c/invoke/Cart/add",
        "/invoke/Other/add/invoke/Cart/add",
        "/x/../invoke/Cart/add",
        "/invoke/invoke/Cart/add",
    ],
)
def test_the_mount_prefix_is_not_signed(path: str):
    """Only what the routes look at takes part: the path from its last `/invoke/` on."""
    assert signed_route(path) == ROUTE
    assert accepts(SIGNER.token(), path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/invoke",
        "/invoke/Cart",
        "/invoke//add",
        "/invoke/Cart/",
        "/invoke/Cart/add/",
        "/invoke/Cart/add/more",
        "/invoke/Cart//add",
        "/invoke/Cart%2fadd",
        "/invoke/Cart/add%20",
        "/invoke/Cart/%61dd",
        "/invoke/Cart/add;x=1",
        "/invoke/Cart/add?x=1",
        "/invoke/Cart/add#x",
        "/invoke/Cart/add\n",
        "/invoke/Cart/ädd",
        "/INVOKE/Cart/add",
        "/Invoke/Cart/add",
        "/xinvoke/Cart/add",
        "/invoke/../add",
        "/invoke/./add",
        "/invoke/Cart/..",
        "/invoke/Cart/.",
        "/invoke/Cart/add/../remove",
        "/health",
        "/discover/",
        "/Discover",
        "/discovery",
        "/discover/x",
        "discover",
        "/xdiscover",
        "/discover\n",
    ],
)
def test_other_paths_are_refused_even_when_signed(path: str):
    """A path that no route serves is refused, also with a token that names it verbatim."""
    with pytest.raises(IdentityError):
        signed_route(path)
    assert not accepts(SIGNER.token(claims(aud=path)), path)
    assert not accepts(SIGNER.token(), path)


@pytest.mark.parametrize(
    ("audience", "path"),
    [
        ("/invoke/Cart/remove", ROUTE),
        ("/invoke/Other/add", ROUTE),
        ("/invoke/cart/add", ROUTE),
        ("/discover", ROUTE),
        (ROUTE, "/discover"),
        ("/restate/invoke/Cart/add", "/restate/invoke/Cart/add"),
        ("/invoke/Cart/add/", ROUTE),
        ("invoke/Cart/add", ROUTE),
        ("", ROUTE),
        ("*", ROUTE),
        ([ROUTE], ROUTE),
        ([ROUTE, "/discover"], ROUTE),
        ({"aud": ROUTE}, ROUTE),
        (True, ROUTE),
        (None, ROUTE),
    ],
)
def test_a_token_opens_only_the_route_it_names(audience: Any, path: str):
    """Another handler's token, one for discovery, one with the prefix in it or with a list is refused."""
    assert not accepts(SIGNER.token(claims(aud=audience)), path)


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value",
    [None, float(NOW), NOW + 0.5, str(NOW), [NOW], {"t": NOW}, True, -1, 2**53, 2**63, 2**64, 10**40, "NaN"],
    ids=repr,
)
def test_times_are_whole_seconds(name: str, value: Any):
    """A time that is missing, a fraction, a text, negative or absurd is refused, in each of the three claims."""
    assert not accepts(SIGNER.token(claims(**{name: value})))


@pytest.mark.parametrize(
    ("changes", "now", "expected"),
    [
        ({}, NOW - 60, True),
        ({}, NOW - 60.001, False),
        ({}, NOW + 59.999, True),
        ({}, NOW + 60, False),
        ({}, NOW - 61, False),
        ({}, NOW + 61, False),
        ({"exp": NOW - 61, "iat": NOW - 61, "nbf": NOW - 121}, NOW, False),
        ({"nbf": NOW + 1}, NOW, False),
        ({"nbf": NOW + 61, "iat": NOW + 61, "exp": NOW + 121}, NOW, False),
        ({"iat": NOW + 60}, NOW, True),
        ({"iat": NOW + 61}, NOW, False),
        ({"iat": NOW - 61}, NOW, False),
        ({"exp": NOW - 1, "nbf": NOW + 1}, NOW, False),
        ({}, 0.0, False),
        ({}, float("inf"), False),
        ({}, float("-inf"), False),
        ({}, float("nan"), False),
    ],
)
def test_the_lifetime_has_no_leeway(changes: dict[str, int], now: float, expected: bool):
    """`nbf` is inclusive, `exp` exclusive, to the fraction of a second; `iat` lies between the two."""
    assert accepts(SIGNER.token(claims(**changes)), now=now) is expected


@pytest.mark.parametrize("scheme", ["", "V1", "v2", "v1 ", " v1", "v1,v1", "unsigned", "none", "v1\n"])
def test_only_scheme_v1_is_accepted(scheme: str):
    """Other schemes are refused with a good token at hand, `unsigned` above all."""
    assert not accepts(SIGNER.token(), scheme=scheme)


@pytest.mark.parametrize(
    "sent",
    [
        [],
        [(SCHEME_HEADER, "v1")],
        [(TOKEN_HEADER, SIGNER.token())],
        [(SCHEME_HEADER, "v1"), (TOKEN_HEADER, "")],
        [(SCHEME_HEADER, ""), (TOKEN_HEADER, SIGNER.token())],
        [(SCHEME_HEADER, "v1"), (SCHEME_HEADER, "v1"), (TOKEN_HEADER, SIGNER.token())],
        [(SCHEME_HEADER, "unsigned"), (SCHEME_HEADER, "v1"), (TOKEN_HEADER, SIGNER.token())],
        [(SCHEME_HEADER, "v1"), (TOKEN_HEADER, SIGNER.token()), (TOKEN_HEADER, SIGNER.token())],
        [(SCHEME_HEADER, "v1"), (TOKEN_HEADER, SIGNER.token()), (TOKEN_HEADER, "")],
        [(SCHEME_HEADER, "v1"), (TOKEN_HEADER, "x" * 16384)],
        [(SCHEME_HEADER, "v1"), (TOKEN_HEADER, "." * 16384)],
        [(SCHEME_HEADER, "v1" * 8192), (TOKEN_HEADER, SIGNER.token())],
        [(SCHEME_HEADER, "v1"), ("authorization", f"Bearer {SIGNER.token()}")],
    ],
)
def test_both_headers_must_be_there_exactly_once(sent: list[tuple[str, str]]):
    """Missing, doubled, empty and huge headers are refused."""
    with pytest.raises(IdentityError):
        IDENTITY.verify(sent, ROUTE, now=NOW)


def test_a_token_that_is_too_long_is_refused_though_signed():
    """The limit holds for good tokens as well, so that it bounds the work."""
    assert not accepts(SIGNER.token(claims(sub="k" * 16384)))
    assert not accepts(SIGNER.token(kid="k" * 1024))


def test_a_random_fuzz_of_two_thousand_tokens_accepts_none():
    """Edits of a good token at every level of its structure: none of 2,000 gets through."""
    chooser = random.Random(20_260_801)
    good = SIGNER.token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n\0é"
    tried: set[str] = set()
    while len(tried) < 2000:
        characters = list(good)
        for _ in range(chooser.choice([1, 1, 1, 2, 5])):
            place = chooser.randrange(len(characters))
            match chooser.randrange(5):
                case 0:
                    characters[place] = chooser.choice(alphabet)
                case 1:
                    characters.insert(place, chooser.choice(alphabet))
                case 2:
                    del characters[place]
                case 3:
                    other = chooser.randrange(len(characters))
                    characters[place], characters[other] = characters[other], characters[place]
                case _:
                    characters = characters[:place] or ["."]
        token = "".join(characters)
        if token != good:
            tried.add(token)
    assert [token for token in tried if accepts(token)] == []
    assert accepts(good)


@given(token=st.text(max_size=200), path=st.sampled_from([ROUTE, "/discover", "/x"]))
def test_any_text_as_token_only_ever_raises_identity_errors(token: str, path: str):
    """No text, in whatever script, is accepted or breaks the verification."""
    assert not accepts(token, path)


@given(path=st.text(max_size=60))
def test_any_path_only_ever_raises_identity_errors(path: str):
    """Only paths that end in the token's route are accepted."""
    assert accepts(SIGNER.token(), path) is path.endswith(ROUTE)


@pytest.mark.parametrize(
    "key",
    [
        "",
        SIGNER.key.removeprefix(KEY_PREFIX),
        SIGNER.key.replace("v1_", "v2_"),
        SIGNER.key.upper(),
        KEY_PREFIX,
        KEY_PREFIX + base58.b58encode(b"\x09" * 31).decode(),
        KEY_PREFIX + base58.b58encode(b"\x09" * 33).decode(),
        SIGNER.key + "1",
        "1" + SIGNER.key,
        SIGNER.key + "\n",
        " " + SIGNER.key,
        SIGNER.key[:-1] + "0",
        SIGNER.key[:-1] + "O",
        SIGNER.key[:-1] + "I",
        SIGNER.key[:-1] + "l",
        SIGNER.key[:-1] + "é",
        SIGNER.key[:-1] + "+",
    ],
)
def test_malformed_keys_are_refused_at_once(key: str):
    """A wrong prefix, length or alphabet is found when the keys are configured, not at the first request."""
    with pytest.raises(ConfigurationError, match="request identity key"):
        RequestIdentity([SIGNER.key, key])


@pytest.mark.parametrize(
    "ordinate",
    [
        0,
        1,
        FIELD_PRIME - 1,
        FIELD_PRIME,
        FIELD_PRIME + 1,
        2**255 - 1,
        2707385501144840649318225287225658788936804267575313519463743609750303402022,
        55188659117513257062467267217118295137698188065244968500265048394206261417927,
    ],
)
@pytest.mark.parametrize("sign", [0, 1])
def test_keys_under_which_anyone_could_sign_are_refused(ordinate: int, sign: int):
    """Points of small order and second spellings of points are not accepted as keys."""
    raw = (ordinate | sign << 255).to_bytes(32, "little")
    with pytest.raises(ConfigurationError, match="trusted"):
        RequestIdentity([KEY_PREFIX + base58.b58encode(raw).decode()])


def test_a_text_instead_of_a_list_of_keys_is_refused():
    """A forgotten list would otherwise be a list of letters."""
    with pytest.raises(ConfigurationError):
        RequestIdentity(SIGNER.key)


def test_a_public_key_from_the_documentation_is_read():
    """The spelling that runtimes print is understood."""
    key = "publickeyv1_AfQwmwfgEZhrWpvv8N52SHpRtZqGGaFr4AZN6qtYWSiY"
    assert RequestIdentity([key]).keys == (key,)


@pytest.mark.parametrize("module", ["base58", "jwt"])
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, module: str):
    """Keys without the packages to check them stop the start, and say what to install."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"durably\[identity\]"):
        RequestIdentity([SIGNER.key])
    RequestIdentity([])
