"""Which hosts are this machine itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.addresses import is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_this_machine_is_loopback(host):
    assert is_loopback(host)


@given(st.text(max_size=30).filter(lambda host: host != "localhost"))
def test_no_other_name_is_loopback(host):
    assert not is_loopback(f"x{host}")
