#!/bin/sh
# Run a command that takes this machine for an instance: cloud-init, facter and ohai ask the
# metadata service of EC2 only where the firmware or the hypervisor says that it is EC2's.
# In a mount namespace of our own, /sys says so, and no container is recorded for process 1:
# facter takes a container for the whole truth, and a container may forbid to look.
#
#     unshare --mount sh as-on-ec2.sh COMMAND…
set -e
mount -t tmpfs tmpfs /sys
mkdir -p /sys/class/dmi/id /sys/hypervisor
echo "Amazon EC2" >/sys/class/dmi/id/bios_vendor
echo "ec200000-0000-4000-8000-000000000000" >/sys/hypervisor/uuid
for fact in cgroup environ; do
  mount --bind /dev/null "/proc/1/$fact"
done
exec "$@"
