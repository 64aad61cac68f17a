# Boots systemd as PID 1 over a copy of this machine's files; to be run as root, in namespaces of
# its own: boot.sh PLACE [FROM TO]... where PLACE is an empty folder, and each FROM is shown at TO.
set -eu
place=$1
shift
mount --make-rprivate /
mount -t tmpfs tmpfs "$place"
cd "$place"
mkdir upper work root
# What the machine writes is in memory, and gone with it.
mount -t overlay -o "lowerdir=/,upperdir=$PWD/upper,workdir=$PWD/work" overlay root
cd root

# Nothing that this machine would start by itself, touch in the kernel, or do to a device.
rm -rf etc/systemd/system/*.wants etc/systemd/system/*.requires usr/lib/systemd/system-generators/*
for unit in getty.target timers.target remote-fs.target systemd-modules-load.service \
  systemd-sysctl.service systemd-udevd.service systemd-networkd.service systemd-resolved.service; do
  ln -sf /dev/null "etc/systemd/system/$unit"
done
: >etc/machine-id
mkdir -p .old

while [ $# -gt 0 ]; do
  mkdir -p ".$2"
  mount --rbind "$1" ".$2"
  shift 2
done
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
# Whatever this machine is, the one in here has no firmware.
[ ! -d sys/class/dmi ] || mount -t tmpfs -o ro tmpfs sys/class/dmi
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
# A /dev of its own, since systemd puts sockets there.
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm
for node in null zero full random urandom tty; do
  : >"dev/$node"
  mount --bind "/dev/$node" "dev/$node"
done
ln -s /proc/self/fd dev/fd
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs dev/shm

# With chroot instead, systemd's own namespaces and credentials fail.
pivot_root . .old
umount -l /.old
mount --make-rshared /
cd /
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --unit=multi-user.target --log-target=journal --show-status=no
