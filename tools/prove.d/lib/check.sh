# What a proof asserts. Each line that is printed says what was seen; one that is not
# as it must be makes the verdict FAIL, and the others are still looked at.
# shellcheck shell=bash

checked=0 wrong=0

told() { printf '   %-58s %s\n' "$1" "$2"; }

judge() { # WHETHER WHAT SEEN WANTED
    checked=$((checked + 1))
    if (($1)); then
        told "$2" "$3"
    else
        wrong=$((wrong + 1))
        told "$2" "$3    WRONG: wanted $4"
    fi
}

equal() { judge "$([[ $2 == "$3" ]] && echo 1 || echo 0)" "$1" "$2" "$3"; } # WHAT SEEN WANTED
at_least() { judge "$(holds "$2" '>=' "$3")" "$1" "$2" "at least $3"; }    # WHAT SEEN WANTED
at_most() { judge "$(holds "$2" '<=' "$3")" "$1" "$2" "at most $3"; }      # WHAT SEEN WANTED

holds() { # A OPERATOR B; what is no number fails
    awk -v a="$1" -v b="$3" 'BEGIN { n = "^-?[0-9]+([.][0-9]+)?$"
        print (a ~ n && b ~ n && ("'"$2"'" == ">=" ? a + 0 >= b + 0 : a + 0 <= b + 0)) ? 1 : 0 }'
}

# What cannot go on at all.
give_up() {
    echo "   $*" >&2
    exit 1
}

verdict() {
    ((checked)) || give_up "this proof checked nothing"
    ((!wrong)) || give_up "$wrong of $checked checks failed"
}
