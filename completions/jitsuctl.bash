# bash completion for jitsuctl(8).  What may come, jitsuctl itself says (jitsuctl --complete WORD...).

_jitsuctl() {
    local current=${COMP_WORDS[COMP_CWORD]} line=${COMP_LINE:0:COMP_POINT} words=() word
    # Not COMP_WORDS: bash breaks words at '=' and ':', which are in ours.
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=('')
    [[ ${#words[@]} -gt 1 ]] || return 0
    # What bash took for words of their own, stays as it is.
    local whole=${words[-1]} done=
    [[ $current == '=' || $current == ':' ]] && current=
    [[ $whole == *"$current" ]] && done=${whole%"$current"}

    COMPREPLY=()
    while IFS=$'\t' read -r word _; do
        if [[ $word == ':files' ]]; then
            compopt -o filenames 2> /dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return 0
        fi
        word=${word#"$done"}
        [[ $word == *= ]] && compopt -o nospace 2> /dev/null
        COMPREPLY+=("$word")
    done < <("${words[0]}" --complete "${words[@]:1}" 2> /dev/null)
}

complete -F _jitsuctl jitsuctl
