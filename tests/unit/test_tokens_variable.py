import pytest

from imdsd.errors import MintError
from imdsd.tokens.variable import VariableSource
from tests.fakes.web_identity import make_token

TOKEN = make_token()


async def test_the_token_in_the_variable_is_handed_on():
    source = VariableSource("ID_TOKEN", environ={"ID_TOKEN": TOKEN})
    assert (await source.mint()).reveal() == TOKEN
    assert not source.renewable
    assert source.description == "variable ID_TOKEN"


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({}, "the variable ID_TOKEN is not set"),
        ({"ID_TOKEN": ""}, "variable ID_TOKEN gave nothing"),
        ({"ID_TOKEN": "no token here"}, "variable ID_TOKEN gave 'no token here'"),
        ({"ID_TOKEN": "\udcff"}, "variable ID_TOKEN gave 1 bytes that are not text"),
    ],
)
async def test_what_is_no_token_is_refused(environ, reason):
    with pytest.raises(MintError) as caught:
        await VariableSource("ID_TOKEN", environ=environ).mint()
    assert caught.value.reason.startswith(reason)
    assert "ID_TOKEN" in caught.value.remedy


async def test_the_token_is_in_no_output():
    source = VariableSource("ID_TOKEN", environ={"ID_TOKEN": f"{TOKEN} {TOKEN}"})
    with pytest.raises(MintError) as caught:
        await source.mint()
    assert TOKEN not in f"{source!r} {caught.value} {source.description}"
