module nullius.dev/services/reviewer

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
	nullius.dev/proto v0.0.0
	nullius.dev/kit v0.0.0
)

replace (
	nullius.dev/proto => ../../proto
	nullius.dev/kit => ../../kit
)
