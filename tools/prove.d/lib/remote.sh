# What the client's machine has the server's do. It goes through files that both see:
# the client leaves an order, the server its output and then its status.
# shellcheck shell=bash

orders=${INITIATOR_OUT:?}/on-server
order_number=0

# On the server's machine: does what is asked for, one order after the other.
serve_orders() {
    local order status
    mkdir -p "$orders"
    while :; do
        for order in "$orders"/*.order; do
            [[ -e $order ]] || continue
            # shellcheck disable=SC1090
            (set +e; source "$order") >"${order%.order}.said" 2>&1 && status=0 || status=$?
            echo "$status" >"${order%.order}.now"
            rm "$order"
            mv "${order%.order}.now" "${order%.order}.status"
        done
        sleep 0.1
    done
}

# On the client's: prints what the server's machine said; its status. It knows the
# functions of these parts. There is time enough to boot that machine again.
on_server() { # COMMAND...
    local order=$orders/$$.$BASHPID.$RANDOM.$((order_number += 1)) limit=$((SECONDS + 120)) status
    until [[ -d $orders ]]; do sleep 0.1; done
    printf '%s\n' "$*" >"$order.draft"
    mv "$order.draft" "$order.order"
    until [[ -s $order.status ]]; do
        ((SECONDS < limit)) || give_up "the server's machine does not do within 120 s: $*"
        sleep 0.1
    done
    status=$(<"$order.status")
    cat "$order.said"
    rm "$order".*
    return "$status"
}
