//go:build depskeep

// Temporary: keeps pinned requirements while the module is being written.
package depskeep

import (
	_ "google.golang.org/grpc"
	_ "google.golang.org/protobuf/proto"
	_ "github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	_ "github.com/nats-io/nats.go/jetstream"
	_ "github.com/nats-io/nats-server/v2/server"
	_ "github.com/sashabaranov/go-openai"
	_ "github.com/kaptinlin/jsonrepair"
	_ "github.com/santhosh-tekuri/jsonschema/v6"
	_ "github.com/elastic/go-seccomp-bpf"
	_ "golang.org/x/sys/unix"
	_ "go.opentelemetry.io/otel"
	_ "go.opentelemetry.io/otel/trace"
	_ "go.opentelemetry.io/otel/metric"
	_ "go.opentelemetry.io/otel/sdk/trace"
	_ "go.opentelemetry.io/otel/sdk/metric"
	_ "go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	_ "go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	_ "go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	_ "github.com/lmittmann/tint"
	_ "go.yaml.in/yaml/v3"
	_ "github.com/caarlos0/env/v11"
	_ "github.com/google/go-cmp/cmp"
	_ "pgregory.net/rapid"
	_ "go.uber.org/goleak"
	_ "golang.org/x/sync/errgroup"
	_ "github.com/google/uuid"
)
