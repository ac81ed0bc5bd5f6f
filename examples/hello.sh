#!/bin/sh
# A flow need not be Python: whatever is executable runs, if the image holds its interpreter.
#
#     sbrun submit --size small examples/hello.sh -- Ana Ben
set -eu

echo "hello from $(uname -n)"
for name in "${@:-world}"; do
    echo "hello $name"
done
