# apt_dates.sh -- apt on a day that a mirror's lists, or this machine's clock, did
# not foresee.  For scripts that source it, in sh or bash.
#
# The lists of Debian's fast suites (unstable, backports, security) name a day
# after which apt refuses them.  A mirror that stands still, or a wrong clock,
# would stop a set-up that needs no news.  So apt looks at signatures only, and
# where the day mattered, a message says so.
# shellcheck shell=sh

# What `apt-get update` must be told.  Older ones know only the second.
# shellcheck disable=SC2034
APT_ANY_DAY="-o Acquire::Check-Date=false -o Acquire::Check-Valid-Until=false"

# apt_date_of FIELD FILE -- a date in a (In)Release file, in seconds; nothing if
# there is none.
apt_date_of()
{
    apt_date=$(sed -n "s/^$1: *//p;/^SHA256:/q" "$2" | head -n 1)
    [ -z "$apt_date" ] || date -u -d "$apt_date" +%s 2>/dev/null || :
}

# apt_say_dates DIRECTORY [NAME] -- one line for each list in it that apt would
# have refused for its date.  NAME: what to call it, instead of its suite.
apt_say_dates()
{
    apt_now=$(date -u +%s)
    for apt_list in "$1"/*InRelease "$1"/*_Release; do
        [ -f "$apt_list" ] || continue
        apt_name=${2:-$(sed -n 's/^Codename: *//p' "$apt_list" | head -n 1)}
        apt_made=$(apt_date_of Date "$apt_list")
        apt_until=$(apt_date_of Valid-Until "$apt_list")
        if [ -n "$apt_until" ] && [ "$apt_until" -lt "$apt_now" ]; then
            echo "   apt: the lists of $apt_name were valid until" \
                "$(date -u -d "@$apt_until" '+%Y-%m-%d %H:%M UTC'):" \
                "used all the same, their signature is checked"
        elif [ -n "$apt_made" ] && [ "$apt_made" -gt $((apt_now + 10)) ]; then
            echo "   apt: the lists of $apt_name were made" \
                "$(date -u -d "@$apt_made" '+%Y-%m-%d %H:%M UTC'), which this" \
                "machine's clock says is to come:" \
                "used all the same, their signature is checked"
        fi
    done
}
