# Reads directories, one a line, until the process at the other end is gone. Then ends whoever still works in one of
# them, a Postgres first of all, and removes it. A line `databases URL PREFIX` names databases on a server that is not
# ours: those are dropped. (See cluster.rs.)

# The processes that name the directory in their arguments or environment: Postgres, initdb, a server that is tested.
# Where there is no /proc, only Postgres. (A pattern from a pipe does not appear among grep's own arguments.)
users_of() {
    if [ -d /proc/self ]; then
        printf '%s/\n' "$1" | grep -l -a -F -f - /proc/[0-9]*/cmdline /proc/[0-9]*/environ | cut -d / -f 3
    else
        head -n 1 "$1/data/postmaster.pid"
    fi
}

signal() {
    for pid in $(users_of "$2"); do
        kill "$1" "$pid"
    done
}

clear() {
    # They may be frozen. SIGQUIT is Postgres's immediate shutdown, after which it kills children that do not end.
    signal -CONT "$1"
    signal -QUIT "$1"
    tries=0
    while [ -n "$(users_of "$1")" ] && [ "$tries" -lt 100 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    signal -KILL "$1"
    # Some are disks of their own.
    umount -l "$1"
    rm -rf "$1"
}

drop_databases() {
    echo "SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database WHERE starts_with(datname, '$2') \\gexec" | psql -X -q "$1"
}

dirs=
databases=
while IFS= read -r line; do
    case $line in
    'databases '*) databases=${line#databases } ;;
    *) dirs="$dirs$line
" ;;
    esac
done

[ -z "$databases" ] || drop_databases "${databases% *}" "${databases##* }" > /dev/null 2>&1

printf %s "$dirs" | while IFS= read -r dir; do
    [ ! -d "$dir" ] || clear "$dir"
done 2> /dev/null
