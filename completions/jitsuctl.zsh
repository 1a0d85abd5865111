#compdef jitsuctl
# zsh completion for jitsuctl(8).  What may come, jitsuctl itself says (jitsuctl --complete WORD...).

local line
local -a plain open
for line in ${(f)"$(${words[1]} --complete "${(@)words[2,CURRENT]}" 2> /dev/null)"}; do
    case $line in
    :files) _files; return ;;
    *=$'\t'*) open+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
    *) plain+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
    esac
done
(( $#plain )) && _describe -t words jitsuctl plain
(( $#open )) && _describe -t options option open -S ''
