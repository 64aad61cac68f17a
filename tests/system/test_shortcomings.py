"""A daemon on a machine that withholds something from it: it serves, and says what and to whom."""

import json
import sys

from tests.system.settings import settings

# The machine's answers, in the daemon's own process; what it makes of them is as it is.
LACKING = """
import sys
from imdsd.host import memory, peer
def refuse(table):
    raise OSError("Address family not supported by protocol")
peer.SockDiagTable.__init__ = refuse
memory.close_memory = lambda: "memory is open here"
from imdsd.cli import main
sys.exit(main())
"""


async def test_what_the_machine_lacks_is_in_the_log_the_status_and_the_doctors_report(
    daemons, sandbox
):
    config = str(daemons.configure(settings(sandbox)))
    program = [sys.executable, "-c", LACKING, "serve", "--config", config]
    daemon = await daemons.start(program).listening()
    told = [*daemon.events("memory_exposed"), *daemon.events("netlink_missing")]
    assert [event["level"] for event in told] == ["warning"] * 2
    warnings = [event["detail"] for event in told]
    assert (await daemon.status())["warnings"] == warnings
    done = await daemons.cli("doctor", "--json", "--offline", "--config", config)
    found = json.loads(done.stdout)["findings"]
    assert [each["found"] for each in found if each["code"] == "daemon.warned"] == warnings
    # The slower way still tells the daemon's own user from others.
    put = await daemon.ask("PUT", "/latest/api/token", X_aws_ec2_metadata_token_ttl_seconds="60")
    assert put.status == 200
