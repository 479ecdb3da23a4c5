#!/usr/bin/env bash
# Builds the image without a registry and runs it as the manifests do: no network, a read-only root file system, no
# capabilities, a user that it does not know. Opt-in, for it takes half an hour and 30 GB: bash k8s/image.sh FOLDER
#
# Needs root, Debian's debootstrap, buildah and podman, and what pip and apt need here to find packages. FOLDER is made, holds
# everything, and may be removed afterwards. Prints one JSON object as its last line; exits with 1 if a check fails.
set -euo pipefail
# crun wants one kind of control groups, and a machine may have both: in a mount namespace of our own there is one.
if [[ ${IN_NAMESPACE:-} != yes ]]; then IN_NAMESPACE=yes exec unshare --mount bash "${BASH_SOURCE[0]}" "$@"; fi
mount -t cgroup2 none /sys/fs/cgroup
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=${1:?name a folder to work in}
suite=${SUITE:-bookworm}
# The first address that apt takes packages from here.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
    sed -nE 's/^(deb|URIs:) (.* )?(https?:[^ ]+).*/\3/p' | sed -n 1p || true)
mkdir -p "$folder/storage" "$folder/run" "$folder/tmp"
export TMPDIR=$folder/tmp
storage=(--root "$folder/storage" --runroot "$folder/run" --storage-driver "${STORAGE_DRIVER:-overlay}")
image=localhost/neurosearch:$(sed -nE 's/^__version__ = "(.+)"/\1/p' "$root/neurosearch/__init__.py")-ray$(
    sed -nE 's/^ray==([0-9.]+).*/\1/p' "$root/constraints-image.txt")

say() { printf '\n==> %s\n' "$1" >&2; }

if [[ ! -e $folder/base/etc/debian_version ]]; then
    say "base: $suite"
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$folder/base" "$mirror" >"$folder/debootstrap.log"
fi
if ! buildah "${storage[@]}" inspect localhost/base:1 >/dev/null 2>&1; then
    say "base image"
    tar -C "$folder/base" -c . | podman "${storage[@]}" import - localhost/base:1 >&2
fi

build_seconds=null
if ! podman "${storage[@]}" image exists "$image"; then # one that is there is tried as it is
    say "build $image"
    mounts=(--volume /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro)
    for file in /etc/pip.conf "$HOME/.config/pip/pip.conf" "$HOME/.pip/pip.conf"; do
        if [[ -e $file ]]; then mounts+=(--volume "$file:/etc/pip.conf:ro"); fi
    done
    started=$SECONDS
    buildah "${storage[@]}" bud --format docker --isolation=chroot --pull-never --layers --build-arg BASE=localhost/base:1 \
        "${mounts[@]}" --tag "$image" "$root" >"$folder/build.log" 2>&1 || { tail -n 40 "$folder/build.log" >&2; exit 1; }
    build_seconds=$((SECONDS - started))
fi
image_bytes=$(podman "${storage[@]}" image inspect --format '{{.Size}}' "$image")

# As the manifests run a container: emptyDirs for /tmp and /scratch, and nothing else to write.
as_in_a_pod=(--rm --cgroups=disabled --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 --network none --read-only
    --read-only-tmpfs=false --cap-drop=ALL --security-opt no-new-privileges --user 54321:54321 --shm-size 512m
    --mount type=tmpfs,destination=/tmp,tmpfs-mode=1777 --mount type=tmpfs,destination=/scratch,tmpfs-mode=1777)
run() { # run COMMAND...: in the image; prints what it says
    podman "${storage[@]}" run --interactive "${as_in_a_pod[@]}" "$image" "$@" </dev/null
}

passed=()
failed=()
check() { # check NAME COMMAND...
    local name=$1
    shift
    say "$name"
    if "$@" >"$folder/$name.log" 2>&1; then passed+=("$name"); else failed+=("$name"); tail -n 20 "$folder/$name.log" >&2; fi
}

cat >"$folder/config.yaml" <<'YAML'
name: image
data: {kind: digits}
model: {kind: mlp, widths: [16]}
training: {epochs: 2, learning_rate: 0.01}
growth: {kind: static}
search: {trials: 1, finalists: 0, control: false}
tracking: {enabled: false}
YAML
lacks() { run bash -c "! command -v $1"; }
cannot_write() { run bash -c '! touch /opt/neurosearch/file'; }
searches() { # the config comes by the standard input, as no folder of the machine is mounted
    podman "${storage[@]}" run --interactive "${as_in_a_pod[@]}" "$image" \
        bash -c 'cat >config.yaml && neurosearch search config.yaml --progress json && neurosearch best image' \
        <"$folder/config.yaml"
}
check doctor run neurosearch doctor
check search searches
check ray run ray --version
check mlflow run mlflow server --help
check schema run python -c "import flask_wtf, pg8000, neurosearch.tracking.server_schema"
check login-shell run bash -lc "neurosearch --version"
check no-compiler lacks cc
check no-gcc lacks gcc
check no-pip lacks pip
check read-only cannot_write

listed() { printf '"%s",' "$@" | sed 's/,$//; s/^""$//'; }
printf '{"image": "%s", "image_bytes": %s, "build_seconds": %s, "passed": [%s], "failed": [%s]}\n' \
    "$image" "$image_bytes" "$build_seconds" "$(listed "${passed[@]:-}")" "$(listed "${failed[@]:-}")"
((${#failed[@]} == 0))
