# report.awk: lines of cells.sh to the matrix, for people (-v form=md) or for programs (-v form=json).
#
# -v about='...' is a sentence on where and when.

BEGIN {
	FS = "\t"
	split("start running link port up client", phase, " ")
	split("asked|runs|answers ARP|port open|up|page", title, "|")
}

NF == 19 {
	cells++
	count[$6]++
	line[cells] = $0
}

function text(s) {
	gsub(/[\\"]/, "\\\\&", s)
	gsub(/[[:cntrl:]]/, " ", s)
	return "\"" s "\""
}

function times(first, at, i, out) {
	for (i = 1; i <= 6; i++)
		if (at[first + i - 1] != "-")
			out = out (out ? ", " : "") "\"" phase[i] "\": " at[first + i - 1]
	return "{" out "}"
}

function json(i, f) {
	printf "{\"about\": %s, \"pass\": %d, \"fail\": %d, \"skipped\": %d, \"cells\": [", text(about), count["pass"],
		count["fail"], count["skipped"]
	for (i = 1; i <= cells; i++) {
		split(line[i], f, "\t")
		printf "%s\n  {\"hypervisor\": %s, \"arch\": %s, \"guest\": %s, \"hold\": %s, \"stop\": %s, \"result\": %s", \
			(i > 1 ? "," : ""), text(f[1]), text(f[2]), text(f[3]), text(f[4]), text(f[5]), text(f[6])
		if (f[7] != "-")
			printf ", \"because\": %s", text(f[7])
		printf ", \"first_ms\": %s, \"again_ms\": %s}", times(8, f), times(14, f)
	}
	print "\n]}"
}

function head(i, dashes) {
	printf "\n| hypervisor | arch | guest | hold | stop | |"
	for (i = 1; i <= 6; i++)
		printf " %s |", title[i]
	print " up again | page again |"
	for (i = 1; i <= 14; i++)
		dashes = dashes "|---"
	print dashes "|"
}

function md(i, k, f) {
	print "# The boot matrix\n"
	print about "\n"
	printf "%d cells: %d pass, %d fail, %d skipped.\n", cells, count["pass"], count["fail"], count["skipped"]
	print "\nMilliseconds from the moment of a wake: a query where `hold` is off, else the client's SYN. \"page\" is"
	print "the client's own time, to the whole page. \"Again\" is the wake after the stop: a boot, or, where `stop`"
	print "is suspend, a resume; where it is save, a restore."
	head()
	for (i = 1; i <= cells; i++) {
		split(line[i], f, "\t")
		printf "| %s | %s | %s | %s | %s | %s |", f[1], f[2], f[3], f[4], f[5],
			(f[7] == "-" ? f[6] : f[6] ": " f[7])
		for (k = 8; k <= 13; k++)
			printf " %s |", f[k]
		print " " f[18] " | " f[19] " |"
	}
}

END {
	if (form == "json")
		json()
	else
		md()
}
