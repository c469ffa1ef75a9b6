# Reads directories, one a line, until the process at the other end is gone. Then stops the Postgres in each of them,
# if there is one, and removes it. (See cluster.rs.)

# A number may have passed on to another process (where there is no /proc, we take the chance).
is_server_of() {
    [ ! -d /proc/self ] || grep -qF "$1" "/proc/$2/cmdline"
}

dirs=
while IFS= read -r dir; do
    dirs="$dirs$dir
"
done

printf %s "$dirs" | while IFS= read -r dir; do
    [ -d "$dir" ] || continue
    if read -r pid < "$dir/data/postmaster.pid" && is_server_of "$dir/data" "$pid"; then
        # It may be frozen. SIGQUIT is Postgres's immediate shutdown, after which it kills children that do not end.
        kill -CONT "$pid"
        kill -QUIT "$pid"
        tries=0
        while kill -0 "$pid" && [ "$tries" -lt 100 ]; do
            sleep 0.1
            tries=$((tries + 1))
        done
        kill -KILL "$pid"
    fi
    # Whoever was still writing, such as initdb, gives up when the directory is gone.
    tries=0
    until rm -rf "$dir" || [ "$tries" -ge 100 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
done 2> /dev/null
