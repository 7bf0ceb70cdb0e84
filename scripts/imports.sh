#!/usr/bin/env bash
# The imports and names that docs and style forbid; each would be a habit soon.
set -euo pipefail
cd "$(dirname "$0")/.."
bad=0
forbid() { # pattern, where, why
  local hits
  hits=$(grep -rnE --include='*.go' --exclude='*_test.go' "$1" $2 2>/dev/null | grep -vE "${4:-^$}" || true)
  if [[ -n $hits ]]; then
    echo "$3:"; echo "$hits"; bad=1
  fi
}
forbid '"github.com/nats-io/nats-server' 'kit services gateway cmd' 'the NATS server is imported outside kit/natsd' '^kit/natsd/|/depskeep/'
forbid '^	"log"$' 'kit services gateway cmd templates' 'package log is used instead of slog'
forbid 'otel\.Tracer\(|otel\.SetTracerProvider' 'kit services gateway cmd' 'a global tracer is used'
forbid '^func init\(\)' 'kit services gateway cmd templates' 'init functions run behind the reader'"'"'s back'
forbid 'context\.Background\(\)' 'kit services gateway cmd' 'context.Background outside main' '(^|/)main\.go:|kit/app/process/|kit/kittest/|^[^:]*:[0-9]+:\s*//'
for s in ideation coder executor writer reviewer; do
  forbid "\"nullius.dev/services/(ideation|coder|executor|writer|reviewer)" "services/$s" "service $s imports another service" "nullius.dev/services/$s"
done
forbid '"nullius.dev/(proto|gateway|services)' 'kit' 'kit knows the domain'
exit $bad
