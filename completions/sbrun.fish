# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_sbrun_global_optspecs
    string join \n o/output= map= context= n/namespace= q/quiet v/verbose color= y/yes h/help V/version
end

function __fish_sbrun_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_sbrun_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_sbrun_using_subcommand
    set -l cmd (__fish_sbrun_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c sbrun -n "__fish_sbrun_needs_command" -s o -l output -d 'Output format' -r -f -a "table\t'For people'
json\t'One JSON document'
yaml\t'One YAML document'
name\t'Names only'
jsonl\t'One JSON document a line, as things happen'"
complete -c sbrun -n "__fish_sbrun_needs_command" -l map -d 'Instance map to use' -r -F
complete -c sbrun -n "__fish_sbrun_needs_command" -l context -d 'Context of the kubeconfig to use' -r
complete -c sbrun -n "__fish_sbrun_needs_command" -s n -l namespace -d 'Namespace of the jobs' -r
complete -c sbrun -n "__fish_sbrun_needs_command" -l color -d 'Colour the output' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sbrun -n "__fish_sbrun_needs_command" -s q -l quiet -d 'Say only what was asked for'
complete -c sbrun -n "__fish_sbrun_needs_command" -s v -l verbose -d 'Say more (can be repeated)'
complete -c sbrun -n "__fish_sbrun_needs_command" -s y -l yes -d 'Answer every question with yes'
complete -c sbrun -n "__fish_sbrun_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sbrun -n "__fish_sbrun_needs_command" -s V -l version -d 'Print version'
complete -c sbrun -n "__fish_sbrun_needs_command" -f -a "submit" -d 'Run a flow on a machine of its size'
complete -c sbrun -n "__fish_sbrun_needs_command" -f -a "logs" -d 'Print the output of a job'
complete -c sbrun -n "__fish_sbrun_needs_command" -f -a "wait" -d 'Wait until jobs have finished'
complete -c sbrun -n "__fish_sbrun_needs_command" -f -a "why" -d 'Explain a job: where it stands, why, and what to do next'
complete -c sbrun -n "__fish_sbrun_needs_command" -f -a "list" -d 'List jobs'
complete -c sbrun -n "__fish_sbrun_needs_command" -f -a "cancel" -d 'Stop jobs and keep their record'
complete -c sbrun -n "__fish_sbrun_needs_command" -f -a "rerun" -d 'Run a job again, with the code and arguments that it recorded'
complete -c sbrun -n "__fish_sbrun_needs_command" -f -a "clean" -d 'Remove finished jobs and whatever belongs to them'
complete -c sbrun -n "__fish_sbrun_needs_command" -f -a "nodes" -d 'Show node groups: what each has, whether it grows, why it cannot, when idle nodes go'
complete -c sbrun -n "__fish_sbrun_needs_command" -f -a "sizes" -d 'Show the sizes that the instance map offers'
complete -c sbrun -n "__fish_sbrun_needs_command" -f -a "prefect" -d 'Make the instance map a work pool of Prefect; run a scheduled run at another size'
complete -c sbrun -n "__fish_sbrun_needs_command" -f -a "setup" -d 'Print or apply what a cluster needs: namespace, rights, admission policy'
complete -c sbrun -n "__fish_sbrun_needs_command" -f -a "init" -d 'Make an instance map of the node groups that are there'
complete -c sbrun -n "__fish_sbrun_needs_command" -f -a "doctor" -d 'Find what is wrong with map, account, autoscaler and cluster, and what mends it'
complete -c sbrun -n "__fish_sbrun_needs_command" -f -a "config" -d 'Show settings with their origin'
complete -c sbrun -n "__fish_sbrun_needs_command" -f -a "version" -d 'Show the versions of sbrun and of the cluster'
complete -c sbrun -n "__fish_sbrun_needs_command" -f -a "completions" -d 'Print the completion script of a shell'
complete -c sbrun -n "__fish_sbrun_needs_command" -f -a "man" -d 'Print the manual page of a command'
complete -c sbrun -n "__fish_sbrun_needs_command" -f -a "generate" -d 'Write completions and manual pages into a folder'
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -s s -l size -d 'Size profile of the instance map' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l cpu -d 'CPU request, within the size (such as `2` or `1500m`)' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l memory -d 'Memory request and limit, within the size (such as `6Gi`)' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l image -d 'Container image' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l template -d 'Job manifest to merge under what sbrun sets' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l deployment -d 'Run a deployment of Prefect instead of a file, as FLOW/DEPLOYMENT' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -s p -l parameter -d 'Parameter of a Prefect flow: text, or JSON where it reads as such (can be repeated)' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l retries -d 'How often Prefect starts a run again whose flow failed; while sbrun follows, no run has more attempts than that allows' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l prefect -d 'Whether a Prefect flow is tracked by a run in Prefect: where that is possible, never, or else nothing is launched' -r -f -a "auto\t'Where an API is known here, and the map says how a pod reaches it'
off\t'Never'
required\t'Or launch nothing'"
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l name -d 'Name of the job, instead of the flow\'s' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l key -d 'Idempotency key: the same key never makes a second job' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -s l -l label -d 'Label of the job (can be repeated)' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -s e -l env -d 'Environment variable of the flow (can be repeated)' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l env-file -d 'File with lines NAME=VALUE (can be repeated)' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l secret -d 'Secret: NAME takes the value of that variable here, else of standard input; NAME=SECRET/KEY an existing one (can be repeated)' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l root -d 'Folder that travels with the flow and is its working directory' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l include -d 'Send these files although they are ignored (can be repeated)' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l exclude -d 'Do not send these files (can be repeated)' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l timeout -d 'Longest run of one attempt (such as `90s`, `15m`, `2h`, `1d`)' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l pending-timeout -d 'Longest wait for a node, once it is our turn' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l queue-timeout -d 'Longest wait for our turn behind a group at its maximum' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l stall-timeout -d 'Longest silence while it runs' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l infrastructure-retries -d 'How often a running pod that the infrastructure took is replaced' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l on-interrupt -d 'What an interruption without a terminal does; `cancel` in a pipeline, else `detach`' -r -f -a "cancel\t'End the job'
detach\t'Let it go on'"
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l on-no-capacity -d 'What to do when there is no machine of the size: wait for one, fail at once, or take the size\'s `fallback`' -r -f -a "wait\t'Wait until the pending timeout'
fail\t'End the job at once'
fallback\t'Submit it once at the size\'s fallback'"
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l on-oom -d 'What to do when the flow runs out of memory: fail, or run it once more at the next larger size' -r -f -a "fail\t'End as out of memory'
next-size\t'Run it once more, at the next larger size'"
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l lease -d 'How long the job outlives a vanished sbrun, with --on-interrupt cancel' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l log-file -d 'Also write the flow\'s output to this file' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l dry-run -d 'Show what would be sent and send nothing; `server` lets the API server check it' -r -f -a "client\t'Nothing is sent'
server\t'The API server checks it and keeps nothing'"
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -s o -l output -d 'Output format' -r -f -a "table\t'For people'
json\t'One JSON document'
yaml\t'One YAML document'
name\t'Names only'
jsonl\t'One JSON document a line, as things happen'"
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l map -d 'Instance map to use' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l context -d 'Context of the kubeconfig to use' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -s n -l namespace -d 'Namespace of the jobs' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l color -d 'Colour the output' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l local -d 'Run here instead of on a cluster, under the same limits'
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l in-place -d 'With --local: run in the flow\'s own folder instead of an unpacked copy'
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -s d -l detach -d 'Create the job and do not wait for it'
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -l raw -d 'Let every escape sequence of the flow through to the terminal'
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -s q -l quiet -d 'Say only what was asked for'
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -s v -l verbose -d 'Say more (can be repeated)'
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -s y -l yes -d 'Answer every question with yes'
complete -c sbrun -n "__fish_sbrun_using_subcommand submit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sbrun -n "__fish_sbrun_using_subcommand logs" -l tail -d 'Only the last lines' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand logs" -l since -d 'Only output of this last time' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand logs" -l attempt -d 'Only of this attempt, counted from 1' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand logs" -l log-file -d 'Also write the output to this file' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand logs" -s o -l output -d 'Output format' -r -f -a "table\t'For people'
json\t'One JSON document'
yaml\t'One YAML document'
name\t'Names only'
jsonl\t'One JSON document a line, as things happen'"
complete -c sbrun -n "__fish_sbrun_using_subcommand logs" -l map -d 'Instance map to use' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand logs" -l context -d 'Context of the kubeconfig to use' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand logs" -s n -l namespace -d 'Namespace of the jobs' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand logs" -l color -d 'Colour the output' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sbrun -n "__fish_sbrun_using_subcommand logs" -s f -l follow -d 'Go on until the job ends, and exit as it did'
complete -c sbrun -n "__fish_sbrun_using_subcommand logs" -l timestamps -d 'Write the time before each line'
complete -c sbrun -n "__fish_sbrun_using_subcommand logs" -l raw -d 'Let every escape sequence of the flow through to the terminal'
complete -c sbrun -n "__fish_sbrun_using_subcommand logs" -s q -l quiet -d 'Say only what was asked for'
complete -c sbrun -n "__fish_sbrun_using_subcommand logs" -s v -l verbose -d 'Say more (can be repeated)'
complete -c sbrun -n "__fish_sbrun_using_subcommand logs" -s y -l yes -d 'Answer every question with yes'
complete -c sbrun -n "__fish_sbrun_using_subcommand logs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sbrun -n "__fish_sbrun_using_subcommand wait" -l timeout -d 'Stop waiting after this time, with exit code 124; the jobs go on' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand wait" -s o -l output -d 'Output format' -r -f -a "table\t'For people'
json\t'One JSON document'
yaml\t'One YAML document'
name\t'Names only'
jsonl\t'One JSON document a line, as things happen'"
complete -c sbrun -n "__fish_sbrun_using_subcommand wait" -l map -d 'Instance map to use' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand wait" -l context -d 'Context of the kubeconfig to use' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand wait" -s n -l namespace -d 'Namespace of the jobs' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand wait" -l color -d 'Colour the output' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sbrun -n "__fish_sbrun_using_subcommand wait" -s q -l quiet -d 'Say only what was asked for'
complete -c sbrun -n "__fish_sbrun_using_subcommand wait" -s v -l verbose -d 'Say more (can be repeated)'
complete -c sbrun -n "__fish_sbrun_using_subcommand wait" -s y -l yes -d 'Answer every question with yes'
complete -c sbrun -n "__fish_sbrun_using_subcommand wait" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sbrun -n "__fish_sbrun_using_subcommand why" -s o -l output -d 'Output format' -r -f -a "table\t'For people'
json\t'One JSON document'
yaml\t'One YAML document'
name\t'Names only'
jsonl\t'One JSON document a line, as things happen'"
complete -c sbrun -n "__fish_sbrun_using_subcommand why" -l map -d 'Instance map to use' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand why" -l context -d 'Context of the kubeconfig to use' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand why" -s n -l namespace -d 'Namespace of the jobs' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand why" -l color -d 'Colour the output' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sbrun -n "__fish_sbrun_using_subcommand why" -s q -l quiet -d 'Say only what was asked for'
complete -c sbrun -n "__fish_sbrun_using_subcommand why" -s v -l verbose -d 'Say more (can be repeated)'
complete -c sbrun -n "__fish_sbrun_using_subcommand why" -s y -l yes -d 'Answer every question with yes'
complete -c sbrun -n "__fish_sbrun_using_subcommand why" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sbrun -n "__fish_sbrun_using_subcommand list" -s s -l size -d 'Only of this size' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand list" -l since -d 'Only created within this time' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand list" -s l -l label -d 'Only with this label (can be repeated)' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand list" -l state -d 'Only in this state: active, finished, unsuccessful, or an outcome such as out_of_memory' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand list" -s o -l output -d 'Output format' -r -f -a "table\t'For people'
json\t'One JSON document'
yaml\t'One YAML document'
name\t'Names only'
jsonl\t'One JSON document a line, as things happen'"
complete -c sbrun -n "__fish_sbrun_using_subcommand list" -l map -d 'Instance map to use' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand list" -l context -d 'Context of the kubeconfig to use' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand list" -s n -l namespace -d 'Namespace of the jobs' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand list" -l color -d 'Colour the output' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sbrun -n "__fish_sbrun_using_subcommand list" -l all -d 'Every job there is, not only active and recent ones'
complete -c sbrun -n "__fish_sbrun_using_subcommand list" -l mine -d 'Only mine'
complete -c sbrun -n "__fish_sbrun_using_subcommand list" -s q -l quiet -d 'Say only what was asked for'
complete -c sbrun -n "__fish_sbrun_using_subcommand list" -s v -l verbose -d 'Say more (can be repeated)'
complete -c sbrun -n "__fish_sbrun_using_subcommand list" -s y -l yes -d 'Answer every question with yes'
complete -c sbrun -n "__fish_sbrun_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sbrun -n "__fish_sbrun_using_subcommand cancel" -s m -l message -d 'Why, for whoever looks at the job later' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand cancel" -s o -l output -d 'Output format' -r -f -a "table\t'For people'
json\t'One JSON document'
yaml\t'One YAML document'
name\t'Names only'
jsonl\t'One JSON document a line, as things happen'"
complete -c sbrun -n "__fish_sbrun_using_subcommand cancel" -l map -d 'Instance map to use' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand cancel" -l context -d 'Context of the kubeconfig to use' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand cancel" -s n -l namespace -d 'Namespace of the jobs' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand cancel" -l color -d 'Colour the output' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sbrun -n "__fish_sbrun_using_subcommand cancel" -l wait -d 'Return only when nothing of the jobs runs any more'
complete -c sbrun -n "__fish_sbrun_using_subcommand cancel" -s q -l quiet -d 'Say only what was asked for'
complete -c sbrun -n "__fish_sbrun_using_subcommand cancel" -s v -l verbose -d 'Say more (can be repeated)'
complete -c sbrun -n "__fish_sbrun_using_subcommand cancel" -s y -l yes -d 'Answer every question with yes'
complete -c sbrun -n "__fish_sbrun_using_subcommand cancel" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sbrun -n "__fish_sbrun_using_subcommand rerun" -s s -l size -d 'At another size' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand rerun" -l log-file -d 'Also write the flow\'s output to this file' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand rerun" -s o -l output -d 'Output format' -r -f -a "table\t'For people'
json\t'One JSON document'
yaml\t'One YAML document'
name\t'Names only'
jsonl\t'One JSON document a line, as things happen'"
complete -c sbrun -n "__fish_sbrun_using_subcommand rerun" -l map -d 'Instance map to use' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand rerun" -l context -d 'Context of the kubeconfig to use' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand rerun" -s n -l namespace -d 'Namespace of the jobs' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand rerun" -l color -d 'Colour the output' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sbrun -n "__fish_sbrun_using_subcommand rerun" -s d -l detach -d 'Create the job and do not wait for it'
complete -c sbrun -n "__fish_sbrun_using_subcommand rerun" -l raw -d 'Let every escape sequence of the flow through to the terminal'
complete -c sbrun -n "__fish_sbrun_using_subcommand rerun" -s q -l quiet -d 'Say only what was asked for'
complete -c sbrun -n "__fish_sbrun_using_subcommand rerun" -s v -l verbose -d 'Say more (can be repeated)'
complete -c sbrun -n "__fish_sbrun_using_subcommand rerun" -s y -l yes -d 'Answer every question with yes'
complete -c sbrun -n "__fish_sbrun_using_subcommand rerun" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sbrun -n "__fish_sbrun_using_subcommand clean" -l older -d 'Only jobs that ended at least this long ago' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand clean" -l state -d 'Only in this state: finished, unsuccessful, or an outcome such as succeeded' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand clean" -s o -l output -d 'Output format' -r -f -a "table\t'For people'
json\t'One JSON document'
yaml\t'One YAML document'
name\t'Names only'
jsonl\t'One JSON document a line, as things happen'"
complete -c sbrun -n "__fish_sbrun_using_subcommand clean" -l map -d 'Instance map to use' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand clean" -l context -d 'Context of the kubeconfig to use' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand clean" -s n -l namespace -d 'Namespace of the jobs' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand clean" -l color -d 'Colour the output' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sbrun -n "__fish_sbrun_using_subcommand clean" -l all-users -d 'Everybody\'s jobs, not only mine'
complete -c sbrun -n "__fish_sbrun_using_subcommand clean" -l dry-run -d 'Show what would be removed and remove nothing'
complete -c sbrun -n "__fish_sbrun_using_subcommand clean" -s q -l quiet -d 'Say only what was asked for'
complete -c sbrun -n "__fish_sbrun_using_subcommand clean" -s v -l verbose -d 'Say more (can be repeated)'
complete -c sbrun -n "__fish_sbrun_using_subcommand clean" -s y -l yes -d 'Answer every question with yes'
complete -c sbrun -n "__fish_sbrun_using_subcommand clean" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sbrun -n "__fish_sbrun_using_subcommand nodes" -s s -l size -d 'Only the node groups of this size' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand nodes" -l history -d 'How many machines there were within this time, up to six weeks (42d), as a chart' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand nodes" -l svg -d 'Write the chart of --history to this file, as SVG' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand nodes" -s o -l output -d 'Output format' -r -f -a "table\t'For people'
json\t'One JSON document'
yaml\t'One YAML document'
name\t'Names only'
jsonl\t'One JSON document a line, as things happen'"
complete -c sbrun -n "__fish_sbrun_using_subcommand nodes" -l map -d 'Instance map to use' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand nodes" -l context -d 'Context of the kubeconfig to use' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand nodes" -s n -l namespace -d 'Namespace of the jobs' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand nodes" -l color -d 'Colour the output' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sbrun -n "__fish_sbrun_using_subcommand nodes" -l all -d 'Also node groups that no size of the instance map names'
complete -c sbrun -n "__fish_sbrun_using_subcommand nodes" -s w -l watch -d 'Keep looking: a live view on a terminal, with `-o jsonl` a document for each change'
complete -c sbrun -n "__fish_sbrun_using_subcommand nodes" -s q -l quiet -d 'Say only what was asked for'
complete -c sbrun -n "__fish_sbrun_using_subcommand nodes" -s v -l verbose -d 'Say more (can be repeated)'
complete -c sbrun -n "__fish_sbrun_using_subcommand nodes" -s y -l yes -d 'Answer every question with yes'
complete -c sbrun -n "__fish_sbrun_using_subcommand nodes" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sbrun -n "__fish_sbrun_using_subcommand sizes" -s o -l output -d 'Output format' -r -f -a "table\t'For people'
json\t'One JSON document'
yaml\t'One YAML document'
name\t'Names only'
jsonl\t'One JSON document a line, as things happen'"
complete -c sbrun -n "__fish_sbrun_using_subcommand sizes" -l map -d 'Instance map to use' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand sizes" -l context -d 'Context of the kubeconfig to use' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand sizes" -s n -l namespace -d 'Namespace of the jobs' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand sizes" -l color -d 'Colour the output' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sbrun -n "__fish_sbrun_using_subcommand sizes" -l offline -d 'Show the map only, without asking the cluster what is warm'
complete -c sbrun -n "__fish_sbrun_using_subcommand sizes" -s q -l quiet -d 'Say only what was asked for'
complete -c sbrun -n "__fish_sbrun_using_subcommand sizes" -s v -l verbose -d 'Say more (can be repeated)'
complete -c sbrun -n "__fish_sbrun_using_subcommand sizes" -s y -l yes -d 'Answer every question with yes'
complete -c sbrun -n "__fish_sbrun_using_subcommand sizes" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and not __fish_seen_subcommand_from pool resize" -s o -l output -d 'Output format' -r -f -a "table\t'For people'
json\t'One JSON document'
yaml\t'One YAML document'
name\t'Names only'
jsonl\t'One JSON document a line, as things happen'"
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and not __fish_seen_subcommand_from pool resize" -l map -d 'Instance map to use' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and not __fish_seen_subcommand_from pool resize" -l context -d 'Context of the kubeconfig to use' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and not __fish_seen_subcommand_from pool resize" -s n -l namespace -d 'Namespace of the jobs' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and not __fish_seen_subcommand_from pool resize" -l color -d 'Colour the output' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and not __fish_seen_subcommand_from pool resize" -s q -l quiet -d 'Say only what was asked for'
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and not __fish_seen_subcommand_from pool resize" -s v -l verbose -d 'Say more (can be repeated)'
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and not __fish_seen_subcommand_from pool resize" -s y -l yes -d 'Answer every question with yes'
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and not __fish_seen_subcommand_from pool resize" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and not __fish_seen_subcommand_from pool resize" -f -a "pool" -d 'Make the instance map a work pool, and keep the pool as the map is'
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and not __fish_seen_subcommand_from pool resize" -f -a "resize" -d 'Run the next scheduled run of a deployment at another size'
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from pool" -s o -l output -d 'Output format' -r -f -a "table\t'For people'
json\t'One JSON document'
yaml\t'One YAML document'
name\t'Names only'
jsonl\t'One JSON document a line, as things happen'"
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from pool" -l map -d 'Instance map to use' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from pool" -l context -d 'Context of the kubeconfig to use' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from pool" -s n -l namespace -d 'Namespace of the jobs' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from pool" -l color -d 'Colour the output' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from pool" -s q -l quiet -d 'Say only what was asked for'
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from pool" -s v -l verbose -d 'Say more (can be repeated)'
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from pool" -s y -l yes -d 'Answer every question with yes'
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from pool" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from pool" -f -a "create" -d 'Make the pool'
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from pool" -f -a "show" -d 'Show what the pool is: sizes, choices, edits by hand, workers'
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from pool" -f -a "diff" -d 'Show what updating would change, and change nothing; exits 1 when something would'
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from pool" -f -a "update" -d 'Make the pool what the map says: shows the difference and asks first'
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from resize" -s s -l size -d 'Size of the run' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from resize" -l next -d 'How many of the next runs' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from resize" -s o -l output -d 'Output format' -r -f -a "table\t'For people'
json\t'One JSON document'
yaml\t'One YAML document'
name\t'Names only'
jsonl\t'One JSON document a line, as things happen'"
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from resize" -l map -d 'Instance map to use' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from resize" -l context -d 'Context of the kubeconfig to use' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from resize" -s n -l namespace -d 'Namespace of the jobs' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from resize" -l color -d 'Colour the output' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from resize" -s q -l quiet -d 'Say only what was asked for'
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from resize" -s v -l verbose -d 'Say more (can be repeated)'
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from resize" -s y -l yes -d 'Answer every question with yes'
complete -c sbrun -n "__fish_sbrun_using_subcommand prefect; and __fish_seen_subcommand_from resize" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sbrun -n "__fish_sbrun_using_subcommand setup" -l user-group -d 'Group of people who use sbrun (can be repeated) [default: sbrun-users]' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand setup" -l ci-group -d 'Group of pipelines that use sbrun (can be repeated)' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand setup" -l ci-service-account -d 'ServiceAccount of pipelines (can be repeated) [default: sbrun-ci, unless there is a --ci-group]' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand setup" -l worker-service-account -d 'ServiceAccount of the Prefect worker [default: prefect-worker]' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand setup" -l worker-image -d 'Image of the Prefect worker [default: the newest that is tested]' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand setup" -l pod-security -d 'Pod Security of the namespace' -r -f -a "restricted\t'The strictest, which sbrun\'s pods keep'
baseline\t'Without known ways out of a container'
privileged\t'Anything'"
complete -c sbrun -n "__fish_sbrun_using_subcommand setup" -l quota -d 'Most that all jobs together may ask for (can be repeated), such as requests.memory=512Gi or pods=20' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand setup" -s o -l output -d 'Output format' -r -f -a "table\t'For people'
json\t'One JSON document'
yaml\t'One YAML document'
name\t'Names only'
jsonl\t'One JSON document a line, as things happen'"
complete -c sbrun -n "__fish_sbrun_using_subcommand setup" -l map -d 'Instance map to use' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand setup" -l context -d 'Context of the kubeconfig to use' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand setup" -s n -l namespace -d 'Namespace of the jobs' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand setup" -l color -d 'Colour the output' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sbrun -n "__fish_sbrun_using_subcommand setup" -l apply -d 'Apply it to the cluster: shows the difference and asks first'
complete -c sbrun -n "__fish_sbrun_using_subcommand setup" -l diff -d 'Show what applying would change, and change nothing; exits 1 when something would'
complete -c sbrun -n "__fish_sbrun_using_subcommand setup" -l force-conflicts -d 'Take over fields that somebody else manages'
complete -c sbrun -n "__fish_sbrun_using_subcommand setup" -l warn-only -d 'Let the policy warn, and note it in the audit log, where it would refuse'
complete -c sbrun -n "__fish_sbrun_using_subcommand setup" -s q -l quiet -d 'Say only what was asked for'
complete -c sbrun -n "__fish_sbrun_using_subcommand setup" -s v -l verbose -d 'Say more (can be repeated)'
complete -c sbrun -n "__fish_sbrun_using_subcommand setup" -s y -l yes -d 'Answer every question with yes'
complete -c sbrun -n "__fish_sbrun_using_subcommand setup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sbrun -n "__fish_sbrun_using_subcommand init" -s g -l group -d 'Node group or node pool to make a size of (can be repeated) [default: all that rest at 0]' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand init" -l name -d 'Name of the size of a group (can be repeated)' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand init" -l image -d 'Container image for all sizes' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand init" -l region -d 'AWS region of the groups' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand init" -l cluster -d 'Name of the EKS cluster' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand init" -s o -l output -d 'Output format' -r -f -a "table\t'For people'
json\t'One JSON document'
yaml\t'One YAML document'
name\t'Names only'
jsonl\t'One JSON document a line, as things happen'"
complete -c sbrun -n "__fish_sbrun_using_subcommand init" -l map -d 'Instance map to use' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand init" -l context -d 'Context of the kubeconfig to use' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand init" -s n -l namespace -d 'Namespace of the jobs' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand init" -l color -d 'Colour the output' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sbrun -n "__fish_sbrun_using_subcommand init" -l print -d 'Print the map instead of writing it'
complete -c sbrun -n "__fish_sbrun_using_subcommand init" -l from-scratch -d 'Make the map anew instead of adding to it'
complete -c sbrun -n "__fish_sbrun_using_subcommand init" -s q -l quiet -d 'Say only what was asked for'
complete -c sbrun -n "__fish_sbrun_using_subcommand init" -s v -l verbose -d 'Say more (can be repeated)'
complete -c sbrun -n "__fish_sbrun_using_subcommand init" -s y -l yes -d 'Answer every question with yes'
complete -c sbrun -n "__fish_sbrun_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sbrun -n "__fish_sbrun_using_subcommand doctor" -s s -l size -d 'Only this size; of one that the map does not have, everything that it still lacks' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand doctor" -s o -l output -d 'Output format' -r -f -a "table\t'For people'
json\t'One JSON document'
yaml\t'One YAML document'
name\t'Names only'
jsonl\t'One JSON document a line, as things happen'"
complete -c sbrun -n "__fish_sbrun_using_subcommand doctor" -l map -d 'Instance map to use' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand doctor" -l context -d 'Context of the kubeconfig to use' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand doctor" -s n -l namespace -d 'Namespace of the jobs' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand doctor" -l color -d 'Colour the output' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sbrun -n "__fish_sbrun_using_subcommand doctor" -l offline -d 'Look at the map alone, not at cluster and account'
complete -c sbrun -n "__fish_sbrun_using_subcommand doctor" -s q -l quiet -d 'Say only what was asked for'
complete -c sbrun -n "__fish_sbrun_using_subcommand doctor" -s v -l verbose -d 'Say more (can be repeated)'
complete -c sbrun -n "__fish_sbrun_using_subcommand doctor" -s y -l yes -d 'Answer every question with yes'
complete -c sbrun -n "__fish_sbrun_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sbrun -n "__fish_sbrun_using_subcommand config" -s s -l size -d 'As if this size were asked for' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand config" -s o -l output -d 'Output format' -r -f -a "table\t'For people'
json\t'One JSON document'
yaml\t'One YAML document'
name\t'Names only'
jsonl\t'One JSON document a line, as things happen'"
complete -c sbrun -n "__fish_sbrun_using_subcommand config" -l map -d 'Instance map to use' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand config" -l context -d 'Context of the kubeconfig to use' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand config" -s n -l namespace -d 'Namespace of the jobs' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand config" -l color -d 'Colour the output' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sbrun -n "__fish_sbrun_using_subcommand config" -s q -l quiet -d 'Say only what was asked for'
complete -c sbrun -n "__fish_sbrun_using_subcommand config" -s v -l verbose -d 'Say more (can be repeated)'
complete -c sbrun -n "__fish_sbrun_using_subcommand config" -s y -l yes -d 'Answer every question with yes'
complete -c sbrun -n "__fish_sbrun_using_subcommand config" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sbrun -n "__fish_sbrun_using_subcommand version" -s o -l output -d 'Output format' -r -f -a "table\t'For people'
json\t'One JSON document'
yaml\t'One YAML document'
name\t'Names only'
jsonl\t'One JSON document a line, as things happen'"
complete -c sbrun -n "__fish_sbrun_using_subcommand version" -l map -d 'Instance map to use' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand version" -l context -d 'Context of the kubeconfig to use' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand version" -s n -l namespace -d 'Namespace of the jobs' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand version" -l color -d 'Colour the output' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sbrun -n "__fish_sbrun_using_subcommand version" -l client -d 'Do not ask the cluster'
complete -c sbrun -n "__fish_sbrun_using_subcommand version" -s q -l quiet -d 'Say only what was asked for'
complete -c sbrun -n "__fish_sbrun_using_subcommand version" -s v -l verbose -d 'Say more (can be repeated)'
complete -c sbrun -n "__fish_sbrun_using_subcommand version" -s y -l yes -d 'Answer every question with yes'
complete -c sbrun -n "__fish_sbrun_using_subcommand version" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sbrun -n "__fish_sbrun_using_subcommand completions" -s o -l output -d 'Output format' -r -f -a "table\t'For people'
json\t'One JSON document'
yaml\t'One YAML document'
name\t'Names only'
jsonl\t'One JSON document a line, as things happen'"
complete -c sbrun -n "__fish_sbrun_using_subcommand completions" -l map -d 'Instance map to use' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand completions" -l context -d 'Context of the kubeconfig to use' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand completions" -s n -l namespace -d 'Namespace of the jobs' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand completions" -l color -d 'Colour the output' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sbrun -n "__fish_sbrun_using_subcommand completions" -s q -l quiet -d 'Say only what was asked for'
complete -c sbrun -n "__fish_sbrun_using_subcommand completions" -s v -l verbose -d 'Say more (can be repeated)'
complete -c sbrun -n "__fish_sbrun_using_subcommand completions" -s y -l yes -d 'Answer every question with yes'
complete -c sbrun -n "__fish_sbrun_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sbrun -n "__fish_sbrun_using_subcommand man" -s o -l output -d 'Output format' -r -f -a "table\t'For people'
json\t'One JSON document'
yaml\t'One YAML document'
name\t'Names only'
jsonl\t'One JSON document a line, as things happen'"
complete -c sbrun -n "__fish_sbrun_using_subcommand man" -l map -d 'Instance map to use' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand man" -l context -d 'Context of the kubeconfig to use' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand man" -s n -l namespace -d 'Namespace of the jobs' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand man" -l color -d 'Colour the output' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sbrun -n "__fish_sbrun_using_subcommand man" -s q -l quiet -d 'Say only what was asked for'
complete -c sbrun -n "__fish_sbrun_using_subcommand man" -s v -l verbose -d 'Say more (can be repeated)'
complete -c sbrun -n "__fish_sbrun_using_subcommand man" -s y -l yes -d 'Answer every question with yes'
complete -c sbrun -n "__fish_sbrun_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sbrun -n "__fish_sbrun_using_subcommand generate" -s o -l output -d 'Output format' -r -f -a "table\t'For people'
json\t'One JSON document'
yaml\t'One YAML document'
name\t'Names only'
jsonl\t'One JSON document a line, as things happen'"
complete -c sbrun -n "__fish_sbrun_using_subcommand generate" -l map -d 'Instance map to use' -r -F
complete -c sbrun -n "__fish_sbrun_using_subcommand generate" -l context -d 'Context of the kubeconfig to use' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand generate" -s n -l namespace -d 'Namespace of the jobs' -r
complete -c sbrun -n "__fish_sbrun_using_subcommand generate" -l color -d 'Colour the output' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c sbrun -n "__fish_sbrun_using_subcommand generate" -s q -l quiet -d 'Say only what was asked for'
complete -c sbrun -n "__fish_sbrun_using_subcommand generate" -s v -l verbose -d 'Say more (can be repeated)'
complete -c sbrun -n "__fish_sbrun_using_subcommand generate" -s y -l yes -d 'Answer every question with yes'
complete -c sbrun -n "__fish_sbrun_using_subcommand generate" -s h -l help -d 'Print help (see more with \'--help\')'
