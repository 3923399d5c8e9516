# Two machines: knfsd on one, which the command on the other may kill and boot again.
# shellcheck shell=bash

# Of the pair that runs: its directory, job directories, machines, and QEMU
# arguments for the server's disk. server_machine is empty while it is dead.
pair='' server='' client='' server_machine='' client_machine='' server_boots=0
disk_args=()

run_two() { boot_until_up boot_two; }

boot_two() { # DIRECTORY
    pair=$1 client=$1/client
    mkdir -p "$pair"
    make_disk
    start_server
    start_client
    if server_started; then
        : >"$client/go"
        serve_client
    else
        finish_machine "$server_machine" "$server"
        ((crashed)) || say "the server ended, with status $result, before the client could start"
        result=125
        kill "$client_machine" 2>/dev/null || true
    fi
    wait
}

# What a killed machine had written to its disk is in this file: its guest's writes
# are the host's by then (cache=writeback). What it had only in memory is lost.
make_disk() {
    disk_args=()
    ((disk)) || return 0
    truncate -s "${disk}M" "$pair/disk"
    mkfs.ext4 -q -F "$pair/disk" || die "cannot make a file system of $disk MiB"
    disk_args=(-drive "file=$pair/disk,format=raw,if=none,id=disk,cache=writeback"
        -device virtio-blk-pci,drive=disk)
}

start_client() {
    make_job "$client" client 0 bash -c "$client_command"
    mkdir "$client/control"
    two_link client server 02 "$client"
    start_machine "$client" "${link[@]}"
    client_machine=$machine
    follow_all "$client_machine" "$client" cat
}

# Each boot of the server has a job directory of its own.
start_server() {
    server_boots=$((server_boots + 1))
    server=$pair/server.$server_boots
    make_job "$server" server 0 bash -c "$(server_job)"
    two_link server client 01 "$server"
    start_machine "$server" "${link[@]}" "${disk_args[@]}"
    server_machine=$machine
    follow_all "$server_machine" "$server" sed -u 's/^/server: /' >&2
}

# The server's command comes first and to its end, so that the client finds what
# it left in the background.
server_job() {
    printf '{\n%s\n} || exit\n: >/run/rxe-vm/started\nexec sleep infinity' "${server_command:-:}"
}

server_started() {
    while kill -0 "$server_machine" 2>/dev/null; do
        [[ ! -e $server/started ]] || return 0
        sleep 0.2
    done
    return 1
}

# Does what the client asks for by directories in its control/ (made in one step, unlike
# files), and takes each away when that is done; until the client ends.
serve_client() {
    while kill -0 "$client_machine" 2>/dev/null; do
        answer kill-server kill_server
        answer boot-server boot_server
        answer unplug cable off
        answer plug cable on
        ((!revive)) || revive_server
        sleep 0.1
    done
    finish_machine "$client_machine" "$client"
    [[ -z $server_machine ]] || kill "$server_machine" 2>/dev/null ||
        say "the server had ended before the client"
}

answer() { # REQUEST FUNCTION [ARGUMENT...]
    [[ -e $client/control/$1 ]] || return 0
    "${@:2}"
    rmdir "$client/control/$1"
}

# As if its plug were pulled: nothing in the guest gets to know.
kill_server() {
    [[ -n $server_machine ]] || { say "the client asked to kill a server that is dead"; return; }
    kill -KILL "$(<"$server/pid")" || say "the server had ended by itself"
    wait "$server_machine" 2>/dev/null || true
    unset "machines[$server_machine]"
    server_machine=''
    say "the server's machine is killed"
}

boot_server() {
    local boot
    [[ -z $server_machine ]] || { say "the client asked to boot a server that runs"; return; }
    for ((boot = 1; boot <= boots_max; boot++)); do
        start_server
        ! server_started || return 0
        finish_machine "$server_machine" "$server"
        ((crashed)) || break
    done
    server_machine=''
    say "the server does not come up again; the client is stopped"
    kill "$client_machine" 2>/dev/null || true
}

# One that ended without being killed.
revive_server() {
    [[ -n $server_machine ]] && ! kill -0 "$server_machine" 2>/dev/null || return 0
    grep -q 'Kernel panic' "$server/console" || return 0
    wait "$server_machine" || true
    unset "machines[$server_machine]"
    server_machine=''
    say_panic server "$server" "$out/server-panic.$server_boots.log" '; it is booted again'
    boot_server
}

# Pulls or plugs the cable between the two: both ends see their carrier go or come.
cable() { # off|on
    local end
    for end in "$client" ${server_machine:+"$server"}; do
        # Opened both ways, so as not to wait for a reader if that machine has ended.
        echo "set_link card $1" 1<>"$end/monitor.in"
    done
    say "the cable is $([[ $1 == on ]] && echo plugged in || echo unplugged)"
}

two_link() { # MINE OTHER LAST-OCTET DIRECTORY; sets link
    local local_end=local.type=unix,local.path=$pair/$1.sock
    local remote_end=remote.type=unix,remote.path=$pair/$2.sock
    mkfifo "$4/monitor.in" "$4/monitor.out"
    link=(-netdev "dgram,id=net,$local_end,$remote_end"
        -device "virtio-net-pci,id=card,netdev=net,mac=52:54:00:90:00:$3,host_mtu=4500"
        -chardev "pipe,id=monitor,path=$4/monitor" -mon chardev=monitor,mode=readline)
}
