#!/bin/bash
# Boots a real systemd over a copy-on-write view of this machine, in namespaces of its own.
#   box.sh up DIR           boot; everything it writes stays in a tmpfs below DIR
#   box.sh exec DIR CMD …   run a command in it
#   box.sh down DIR         power off
# Needs root, util-linux and systemd. Limits of memory and tasks have no effect in it.
set -eu
SELF=$(readlink -f "$0")
ACTION=$1
DIR=$(readlink -m "$2")
shift 2

cgroups() {
    local mounted
    mounted=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    if [ -z "$mounted" ]; then
        mounted=$DIR/cgroup2
        mkdir -p "$mounted"
        mount -t cgroup2 cgroup2 "$mounted"
    fi
    echo "$mounted"
}

up() {
    mkdir -p "$DIR"
    local group
    group=$(cgroups)/push-agent-box-$$
    mkdir -p "$group"
    echo "$group" >"$DIR/cgroup"
    # The shell enters the cgroup first, so that the cgroup namespace begins there.
    setsid bash -c "echo \$BASHPID > '$group/cgroup.procs'
        exec unshare --pid --mount --uts --ipc --cgroup --net --fork --kill-child=SIGKILL '$SELF' inside '$DIR'" \
        >"$DIR/console" 2>&1 </dev/null &
    local outer=$!
    echo "$outer" >"$DIR/outer"
    for _ in $(seq 400); do
        kill -0 "$outer" 2>/dev/null || { tail -n 20 "$DIR/console"; exit 1; }
        local init
        init=$(pgrep -P "$outer" | head -n 1 || true)
        if [ -n "$init" ] && [ "$(cat "/proc/$init/comm")" = systemd ]; then
            case $(nsenter -t "$init" -m -p systemctl is-system-running 2>/dev/null || true) in
                running | degraded) echo "$init" >"$DIR/init"; exit 0 ;;
            esac
        fi
        sleep 0.05
    done
    tail -n 20 "$DIR/console"
    exit 1
}

inside() {
    mount --make-rprivate /
    local top=$DIR/tree
    mkdir -p "$top"
    mount -t tmpfs -o mode=755 tmpfs "$top"
    mkdir "$top/upper" "$top/work" "$top/root"
    mount -t overlay -o "lowerdir=/,upperdir=$top/upper,workdir=$top/work" overlay "$top/root"
    cd "$top/root"
    : >etc/fstab
    : >etc/machine-id
    mkdir -p etc/systemd/system
    # Nothing of the machine's own services: the box is for one unit.
    rm -rf etc/systemd/system/*.wants
    local unit
    for unit in console-getty getty@ serial-getty@ systemd-timesyncd systemd-networkd systemd-resolved \
        systemd-udevd systemd-modules-load systemd-logind ssh cron; do
        ln -sf /dev/null "etc/systemd/system/$unit.service"
    done
    ln -sf /lib/systemd/system/multi-user.target etc/systemd/system/default.target
    mount -t proc -o nosuid,nodev,noexec proc proc
    mount --bind proc/sys proc/sys
    mount -o remount,bind,ro proc/sys
    mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
    mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
    mount -t tmpfs -o mode=755,nosuid tmpfs dev
    # New nodes, never the machine's own: systemd changes owner and mode of what it finds here.
    local node
    for node in null:3 zero:5 full:7 random:8 urandom:9; do
        mknod -m 666 "dev/${node%:*}" c 1 "${node#*:}"
    done
    mknod -m 666 dev/tty c 5 0
    mkdir dev/pts dev/shm
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
    ln -s pts/ptmx dev/ptmx
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs dev/shm
    ln -s /proc/self/fd dev/fd
    ln -s fd/0 dev/stdin
    ln -s fd/1 dev/stdout
    ln -s fd/2 dev/stderr
    mount -t tmpfs -o mode=755,nosuid,nodev tmpfs run
    mkdir run/lock
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs tmp
    mkdir -p .before
    pivot_root . .before
    umount -l /.before
    rmdir /.before || true
    # Without shared propagation LoadCredential= has no mount of its own and cannot be read.
    mount --make-rshared /
    exec env -i container=push-agent-box PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERM=dumb \
        setpriv --bounding-set=-sys_module,-sys_time,-sys_rawio,-mac_admin,-mac_override,-syslog --inh-caps=-all \
        -- /lib/systemd/systemd --system --log-target=console --show-status=0
}

case $ACTION in
up) up ;;
inside) inside ;;
exec)
    exec setsid -w nsenter -t "$(cat "$DIR/init")" -a -- \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERM=dumb "$@"
    ;;
down)
    kill -s RTMIN+4 "$(cat "$DIR/init")" 2>/dev/null || true # poweroff.target
    for _ in $(seq 100); do
        kill -0 "$(cat "$DIR/outer")" 2>/dev/null || break
        sleep 0.1
    done
    kill -9 "$(cat "$DIR/outer")" 2>/dev/null || true
    find "$(cat "$DIR/cgroup")" -depth -type d -exec rmdir {} + 2>/dev/null || true
    umount "$DIR/cgroup2" 2>/dev/null || true
    ;;
esac
