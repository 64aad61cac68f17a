"""What says that a machine is an EC2 instance, and which of its addresses are AWS's."""

from __future__ import annotations

import pytest

from imdsd.host.listening.ec2 import ec2_evidence, service_at

DMI = "sys/class/dmi/id"
NITRO = {
    f"{DMI}/sys_vendor": "Amazon EC2\n",
    f"{DMI}/board_asset_tag": "i-0af01c0123456789a\n",
    f"{DMI}/bios_version": "1.0\n",
    f"{DMI}/product_name": "m5.large\n",
}
XEN = {
    f"{DMI}/sys_vendor": "Xen\n",
    f"{DMI}/bios_version": "4.11.amazon\n",
    f"{DMI}/product_uuid": "EC2E1916-9099-7CAF-FD21-012345ABCDEF\n",
    "sys/hypervisor/uuid": "ec2e1916-9099-7caf-fd21-012345abcdef\n",
}


def machine(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (NITRO, f"/{DMI}/sys_vendor is Amazon EC2"),
        (XEN, f"/{DMI}/bios_version is 4.11.amazon"),
        ({f"{DMI}/sys_vendor": "Amazon EC2"}, f"/{DMI}/sys_vendor is Amazon EC2"),
        ({f"{DMI}/board_asset_tag": "i-0af01c01"}, f"/{DMI}/board_asset_tag is i-0af01c01"),
        ({"sys/hypervisor/uuid": "ec2e1916-9099"}, "/sys/hypervisor/uuid is ec2e1916-9099"),
        # Little-endian: EC2AE145 in reverse, as AWS's page has it.
        (
            {"sys/hypervisor/uuid": "45E12AEC-DCD1-B213"},
            "/sys/hypervisor/uuid is 45E12AEC-DCD1-B213",
        ),
        (
            {f"{DMI}/sys_vendor": "Xen", f"{DMI}/product_uuid": "EC2E1916-9099"},
            f"/{DMI}/product_uuid is EC2E1916-9099",
        ),
    ],
)
def test_an_instance_is_known_by_its_firmware(tmp_path, files, said):
    assert ec2_evidence(machine(tmp_path, files)) == said


@pytest.mark.parametrize(
    "files",
    [
        {},
        {f"{DMI}/sys_vendor": "QEMU", f"{DMI}/product_uuid": "ec2e1916-9099-7caf-fd21"},
        {f"{DMI}/sys_vendor": "Xen", f"{DMI}/bios_version": "4.11", f"{DMI}/product_uuid": "ac2e"},
        {f"{DMI}/sys_vendor": "Amazon EC2 of ours", f"{DMI}/board_asset_tag": "i-am-a-board"},
        {f"{DMI}/board_asset_tag": "i-0af01c0123456789a-2"},
        {f"{DMI}/sys_vendor": ""},
        {"sys/hypervisor/uuid": "00000000-0000-0000-0000-000000000000"},
        # Something else where a file should be.
        {f"{DMI}/sys_vendor/x": "a folder"},
    ],
)
def test_no_other_machine_is_taken_for_one(tmp_path, files):
    assert ec2_evidence(machine(tmp_path, files)) == ""


@pytest.mark.parametrize(
    ("host", "service"),
    [
        ("169.254.169.254", "the metadata service of the instance"),
        ("fd00:ec2::254", "the metadata service of the instance"),
        ("169.254.170.2", "the credentials and metadata of ECS tasks"),
        ("169.254.170.23", "the credentials of EKS pods"),
        ("fd00:ec2::23", "the credentials of EKS pods"),
        ("169.254.169.253", "a service of the instance, such as DNS and time"),
        ("fd00:ec2::253", "a service of the instance, such as DNS and time"),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("169.254.170.3", ""),
        ("169.254.1.1", ""),
        ("fe80::1%lo", ""),
        ("10.0.0.1", ""),
    ],
)
def test_the_services_of_an_instance_are_known_by_their_addresses(host, service):
    assert service_at(host) == service
