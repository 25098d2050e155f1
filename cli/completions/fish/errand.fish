# fish completion for errand and its daemons. What there is to complete says the command
# itself (errand __complete), from its own tables and from the running service.

function __errand_complete
	set -l words (commandline -opc)
	set -l current (commandline -ct)
	test (count $current) -gt 0; or set current ''
	set -l program $words[1]
	string match -q -- '*errand-*' $program; and set program errand
	for line in ($program __complete $words $current 2>/dev/null)
		switch $line
			case :files
				__fish_complete_path (string replace -r -- '^--[^=]*=' '' $current)
			case :dirs
				__fish_complete_directories (string replace -r -- '^--[^=]*=' '' $current)
			case :commands
				__fish_complete_command
			case '*'
				echo $line
		end
	end
end

for program in errand errand-gateway errand-service
	complete -c $program -f -a '(__errand_complete)'
end
