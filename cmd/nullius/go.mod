module nullius.dev/cmd/nullius

go 1.26.0

require (
	google.golang.org/grpc v1.85.0
	google.golang.org/protobuf v1.36.12
	github.com/nats-io/nats.go v1.55.0
	go.opentelemetry.io/otel/trace v1.47.0
	go.opentelemetry.io/otel v1.47.0
	github.com/google/go-cmp v0.7.0
	pgregory.net/rapid v1.3.0
	golang.org/x/sync v0.25.0
	go.yaml.in/yaml/v3 v3.0.6
	golang.org/x/text v0.44.0
	github.com/spf13/cobra v1.10.2
	charm.land/bubbletea/v2 v2.1.1
	charm.land/lipgloss/v2 v2.0.6
	github.com/sergi/go-diff v1.4.0
	github.com/google/uuid v1.6.0
	nullius.dev/proto v0.0.0
	nullius.dev/kit v0.0.0
	nullius.dev/gateway v0.0.0
	nullius.dev/templates v0.0.0
	nullius.dev/services/ideation v0.0.0
	nullius.dev/services/coder v0.0.0
	nullius.dev/services/executor v0.0.0
	nullius.dev/services/writer v0.0.0
	nullius.dev/services/reviewer v0.0.0
)

replace (
	nullius.dev/proto => ../../proto
	nullius.dev/kit => ../../kit
	nullius.dev/gateway => ../../gateway
	nullius.dev/templates => ../../templates
	nullius.dev/services/ideation => ../../services/ideation
	nullius.dev/services/coder => ../../services/coder
	nullius.dev/services/executor => ../../services/executor
	nullius.dev/services/writer => ../../services/writer
	nullius.dev/services/reviewer => ../../services/reviewer
)
