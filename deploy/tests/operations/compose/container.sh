#!/bin/sh
# Runs one service as a container engine would: with a network, mounts and processes of its own, and
# with no more files than programs and what it mounts. It is started in a network and mounts of its own.
#
#   container.sh IP NETWORK NAME ADDRESS ROOT USER:GROUP DIRECTORY [SOURCE TARGET OPTIONS]... -- COMMAND...
#
#   IP         the program `ip`
#   NETWORK    a process in the network that has the bridge `services`
#   ROOT       an empty directory for the container's files; ROOT.pid gets the number of the process
#              whose child is the first of the container
set -eu

ip=$1 network=$2 name=$3 address=$4 root=$5 user=$6 directory=$7
shift 7
echo $$ > "$root.pid"

"$ip" link set lo up
"$ip" link add eth0 type veth peer name "$name" netns "$network"
"$ip" address add "$address/24" dev eth0
"$ip" link set eth0 up
# Alertmanager advertises the address of the interface with the default route.
"$ip" route add default via "${address%.*}.1"
nsenter --net="/proc/$network/ns/net" "$ip" link set "$name" master services up

mount -t tmpfs -o mode=755 tmpfs "$root"
mkdir "$root/dev" "$root/etc" "$root/proc" "$root/root" "$root/sys"
mkdir -m 1777 "$root/tmp"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/dev/shm"
for system in bin lib lib32 lib64 sbin; do
    if [ -L "/$system" ]; then
        cp -P "/$system" "$root"
    elif [ -d "/$system" ]; then
        mkdir "$root/$system"
        mount --bind "/$system" "$root/$system"
    fi
done
cat > "$root/etc/passwd" <<'END'
root:x:0:0::/root:/bin/sh
grafana:x:472:0::/usr/share/grafana:/bin/sh
postgres:x:999:999::/var/lib/postgresql:/bin/sh
nobody:x:65534:65534::/:/bin/sh
END
echo 'hosts: files' > "$root/etc/nsswitch.conf"

while [ "$1" != -- ]; do
    source=$1 target=$root$2 options=$3
    shift 3
    if [ -f "$source" ]; then
        mkdir -p "${target%/*}"
        touch "$target"
    else
        mkdir -p "$target"
    fi
    case $source in
    tmpfs) mount -t tmpfs -o "$options" tmpfs "$target" ;;
    # Layers, the first over the second.
    *:*) mount -t overlay -o "lowerdir=$source,$options" overlay "$target" ;;
    *)
        mount --bind "$source" "$target"
        mount -o "remount,bind,$options" "$target"
        ;;
    esac
done
shift
if [ ! -d "$root$directory" ]; then
    mkdir -p "$root$directory"
    chown "$user" "$root$directory"
fi

exec unshare --pid --fork --kill-child sh -euc '
    root=$0 user=$1 directory=$2
    shift 2
    mount -t proc proc "$root/proc"
    cd "$root$directory"
    exec chroot --userspec="$user" --groups= "$root" env --chdir="$directory" "$@"
' "$root" "$user" "$directory" "$@"
