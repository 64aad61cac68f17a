"""cloud-init's EC2 datasource, as a boot has it crawl, printed as JSON; its files go to argv[1].

For the system's own Python, which has cloud-init. Networking is left as it is.
"""

import json
import logging
import sys
from pathlib import Path

from cloudinit import distros, helpers
from cloudinit.sources.DataSourceEc2 import DataSourceEc2, convert_ec2_metadata_network_config


class Complaints(logging.Handler):
    """Keep what cloud-init has to warn of."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


complaints = Complaints()
logging.getLogger().addHandler(complaints)
place = Path(sys.argv[1])
paths = helpers.Paths({"cloud_dir": str(place), "run_dir": str(place)})
distro = distros.fetch("debian")("debian", {}, paths)
source = DataSourceEc2({}, distro, paths)
found = source.get_data()
crawled = source.metadata
# The interfaces of a namespace have other addresses than those of the instance.
nics = {mac: f"eth{index}" for index, mac in enumerate(sys.argv[2:])}
network = crawled.get("network")
report = {
    "found": found,
    "cloud": source.cloud_name,
    "crawled": crawled,
    "identity": source.identity,
    "instance_id": source.get_instance_id(),
    "region": source.region,
    "availability_zone": source.availability_zone,
    "hostname": source.get_hostname()[0],
    "public_keys": source.get_public_ssh_keys(),
    "user_data": source.get_userdata_raw() and source.get_userdata_raw().decode(),
    "network": network and convert_ec2_metadata_network_config(network, nics),
    "complaints": complaints.texts,
}
print(json.dumps(report))
