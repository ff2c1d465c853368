#!/usr/bin/env bash
# Fills fuzz/corpus from the seeds, what was found earlier, and the fixtures of the tests.
set -euo pipefail
cd "$(dirname "$0")/.."

# seed TARGET PATH...: copies all files below the paths; names may repeat, contents decide.
seed() {
    local target=$1 file
    shift
    mkdir -p "fuzz/corpus/$target"
    find "$@" -type f -size -64k 2> /dev/null | while read -r file; do
        cp "$file" "fuzz/corpus/$target/$(sha256sum "$file" | cut -c1-16)"
    done
}

for target in review patch policy exec lint fix; do
    seed "$target" "fuzz/seeds/$target" "fuzz/regressions/$target" || true
done
seed review tests/fixtures/admission-reviews
seed patch tests/fixtures/admission-reviews
seed lint examples tests/fix/cases tests/rules/fixtures
seed fix examples tests/fix/cases tests/rules/fixtures
