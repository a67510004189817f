#!/bin/bash
# Makes the calling mount namespace look like a node: the machine's files, with a writable and private
# /etc, /opt, /run, /tmp and /var, so that CNI configuration, plugins and sockets of one node are no other's
# and none of them is the machine's. Prints "ready" and stays as the node's PID 1, reaping what is orphaned.
#
#   unshare --net --mount --uts --pid --fork --kill-child --mount-proc node-init.sh NAME DIRECTORY VISIBLE_PATH...
#
# Works with and without user namespace: binds are recursive because the kernel locks a less privileged
# namespace's view of nested mounts.
set -eu
name=$1 directory=$2
shift 2

hostname "$name"
root=$directory/root
mkdir -p "$root" "$directory/var" "$directory/tmp"
mount -t tmpfs -o mode=0755 "weft-$name" "$root"
# The state directory is bound into the node below, but not with the node inside it once more.
mount --make-unbindable "$root"

for path in /* /.[!.]*; do
  entry=${path#/}
  if [ -L "$path" ]; then
    cp -P "$path" "$root/"
  elif [ -d "$path" ]; then
    mkdir "$root/$entry"
    case $entry in
      etc | opt | run | tmp | var) ;;
      # A directory that refuses the bind (an automount, say) is left empty rather than failing the node.
      *) mount --rbind "$path" "$root/$entry" || echo "node $name goes without $path" >&2 ;;
    esac
  fi
done

# The machine's files stay visible below what the node writes. Where the kernel refuses the overlay
# (submounts in a user namespace), every entry is bound on its own.
writable() {
  local target=$root/$1 layer=$root/run/.weft/$1
  mkdir -p "$layer/upper" "$layer/work" "$target"
  if ! mount -t overlay overlay -o "lowerdir=/$1,upperdir=$layer/upper,workdir=$layer/work" "$target" 2>/dev/null; then
    mount -t tmpfs -o mode=0755 "weft-$name-$1" "$target"
    local path
    for path in "/$1"/*; do
      if [ -L "$path" ]; then
        cp -P "$path" "$target/"
      elif [ -d "$path" ]; then
        mkdir "$target/${path##*/}" && mount --rbind "$path" "$target/${path##*/}"
      elif [ -e "$path" ]; then
        : >"$target/${path##*/}" && mount --bind "$path" "$target/${path##*/}"
      fi
    done
  fi
}
mkdir -p "$root/run" "$root/tmp" "$root/var"
mount -t tmpfs -o mode=0755 "weft-$name-run" "$root/run"
mount --bind "$directory/var" "$root/var"
mount --bind "$directory/tmp" "$root/tmp"
chmod 1777 "$root/tmp"
writable etc
[ -d /opt ] || mkdir -p "$root/opt"
if [ -d /opt ]; then writable opt; fi
mkdir -p "$root"/var/{cache,lib/cni,lib/kubelet,log/pods,tmp} "$root/run/netns" "$root/run/lock" \
  "$root/etc/cni/net.d" "$root/opt/cni/bin"
chmod 1777 "$root/var/tmp"
ln -sfn /run "$root/var/run"
ln -sfn /run/lock "$root/var/lock"

# State directory, product, Node.js and image files may lie under what the node has of its own.
for path in "$@"; do
  case $path in
    /run/* | /tmp/* | /var/*)
      # Visible already, below another of these paths: making a mount point there would write to the machine's file.
      if [ "$path" -ef "$root$path" ]; then
        continue
      elif [ -d "$path" ]; then
        mkdir -p "$root$path" && mount --rbind "$path" "$root$path"
      elif [ -e "$path" ]; then
        mkdir -p "$root${path%/*}"
        [ -e "$root$path" ] || : >"$root$path"
        mount --bind "$path" "$root$path"
      fi
      ;;
  esac
done

mkdir "$root/.old"
cd "$root"
pivot_root . .old
cd /
umount -l /.old
rmdir /.old
mount --make-private /
# Network namespaces that the kubelet adds later must appear inside pods that mount /run HostToContainer.
mount --make-rshared /run

echo ready
exec >/dev/null
while :; do
  sleep infinity &
  wait "$!"
done
